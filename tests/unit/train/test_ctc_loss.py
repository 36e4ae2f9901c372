"""CTC in an update: its loss is that of all paths, by enumeration; what does not go together is refused."""

import itertools
import math

import numpy as np
import pytest
import torch
from test_step import gradients
from toy import number_tokenizer, tiny_config, updater_of

from mt.build import check
from mt.config import (
    BatchConfig,
    Config,
    DataConfig,
    Input,
    InputKind,
    LossConfig,
    ModelConfig,
    Sharding,
    TokenizerConfig,
    TrainConfig,
)
from mt.data.batching import TokenizedCorpus, fill_up
from mt.data.corpus.pair import Origin, Pair
from mt.errors import ConfigError
from mt.inputs.reader import InputReader
from mt.nn.encoders import input_model
from mt.train.ctc_loss import CtcLoss

WORDS = ["eins", "zwei", "drei", "zwei zwei", "drei eins", "vier"]
INPUT = Input(column="rows", kind=InputKind.features, size=2, scale=1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> TokenizedCorpus:
    """Six pairs of four rows, or of one: the last has fewer rows than labels."""
    folder, tokenizer = tmp_path_factory.mktemp("rows"), number_tokenizer()
    np.save(folder / "rows.npy", np.random.default_rng(1).normal(size=(24, 2)))
    spans = [(4 * place, 4 * place + (4 if place < 5 else 1)) for place in range(6)]
    pairs = [
        Pair(f"{folder}/rows.npy:{start}:{end}", words, Origin("t.tsv", start))
        for (start, end), words in zip(spans, [*WORDS[:5], "vier vier"], strict=True)
    ]
    return TokenizedCorpus(pairs, tokenizer, reader=InputReader([INPUT], tokenizer.encode_source))


def with_ctc(*, weight=0.5, prefix=(), **options):
    tokenizer = number_tokenizer()
    torch.manual_seed(0)
    model = input_model(tiny_config(**options), [INPUT], src_size=tokenizer.tgt_size, tgt_size=tokenizer.tgt_size)
    return updater_of(model, guide=lambda loss: CtcLoss(loss, weight=weight, bos=tokenizer.bos, prefix=prefix))


def read_off(path: tuple[int, ...], blank: int) -> list[int]:
    """The labels of a path, by definition: repetitions become one, then blanks go."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def by_enumeration(log_probs: torch.Tensor, labels: list[int], blank: int) -> float:
    """-log p(labels), summed over every path of labels and blanks."""
    alphabet = sorted({*labels, blank})
    paths = [path for path in itertools.product(alphabet, repeat=len(log_probs)) if read_off(path, blank) == labels]
    found = [sum(log_probs[row, label].item() for row, label in enumerate(path)) for path in paths]
    return -math.log(sum(map(math.exp, found))) if found else 0.0


def test_the_loss_is_that_of_all_paths_together(corpus):
    updater, tokenizer = with_ctc(weight=0.7, output_bias=True), number_tokenizer()
    objective, model = updater.objective, updater.model.eval()
    torch.nn.init.normal_(model.decoder.output.bias)
    batch = corpus.batch(range(6))
    found = objective(model, batch, objective.prepare(batch))
    memory = model.encode(batch.source)
    rows = model.logits(memory.rows).log_softmax(-1).split(memory.layout.lengths.tolist())
    targets = [list(corpus.target[place]) for place in range(6)]
    alone = [by_enumeration(*one, tokenizer.bos) for one in zip(rows, targets, strict=True)]
    assert len(targets[3]) > 1 and alone[5] == 0 and min(alone[:5]) > 0  # "vier vier" does not fit into one row
    plain = objective.translation(model, batch, None)
    torch.testing.assert_close(found.total, plain.total + 0.7 * sum(alone), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.sums[:2], plain.sums, rtol=1e-4, atol=1e-4)
    assert objective.metrics(found.sums[2:].tolist()) == {
        "ctc": pytest.approx(sum(alone) / sum(map(len, targets[:5])), rel=1e-4)
    }


def test_only_targets_that_begin_with_the_tag_are_read_and_without_it(corpus):
    tag = int(corpus.target[1][0])  # of "zwei", which begins two targets
    objective = with_ctc(prefix=[tag]).objective
    labels = objective.prepare(corpus.batch(range(6)))
    begun = [place for place in range(6) if int(corpus.target[place][0]) == tag and len(corpus.target[place]) > 1]
    assert labels.items.tolist() == begun and 3 in begun
    assert labels.tokens.tolist() == [token for place in begun for token in corpus.target[place][1:]]
    assert objective.prepare_largest(corpus.batch([0, 1])).items.tolist() == [0, 1]


def test_a_batch_without_labels_has_the_translation_loss_alone(corpus):
    objective = with_ctc(prefix=[number_tokenizer().eos]).objective
    batch = corpus.batch(range(6))
    found = objective(objective.model.eval(), batch, objective.prepare(batch))
    plain = objective.translation(objective.model, batch, None)
    assert found.total.item() == pytest.approx(plain.total.item(), rel=1e-6)
    assert objective.metrics(found.sums[2:].tolist()) == {}


def test_padding_and_splitting_change_nothing(corpus, monkeypatch):
    batch = corpus.batch(range(6))
    plain, before = gradients(with_ctc(), [batch])
    halves, apart = gradients(with_ctc(), [batch.part(0, 2), batch.part(2, 6)])
    monkeypatch.setattr("mt.data.batching.blocks.WORTH_IT", 1)
    assert fill_up(batch).target_layout.num_sentences > 6
    padded, after = gradients(with_ctc(), [batch])
    for other, update in ((padded, after), (halves, apart)):
        assert update.loss == pytest.approx(before.loss, rel=1e-5) and update.extra == pytest.approx(before.extra)
        for name, gradient in plain.items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-3, atol=1e-6)


def test_the_encoder_learns_to_spell(corpus):
    updater = with_ctc(weight=1.0)
    batch = corpus.batch(range(5))
    seen = [updater([batch], 1e-2, seeds=[step]).read().extra["ctc"] for step in range(150)]
    assert seen[0] > 2 and seen[-1] < 0.1


SPEECH = {"data": DataConfig(inputs=["a:audio"], target="b", tgt="de", train=["t.tsv"], dev=["d.tsv"])}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"data": DataConfig()},
            "`loss.ctc` needs a source whose rows follow each other in time: one input of audio or features in "
            "`data.inputs`.",
        ),
        (
            {"model": ModelConfig(matching=1.0)},
            "`loss.ctc` does not go together with `model.matching`. hint: leave out one of the two.",
        ),
        (
            {"train": TrainConfig(steps=1, sharding=Sharding.full)},
            "`loss.ctc` does not go together with `train.sharding=full`. hint: leave out one of the two.",
        ),
        (
            {"loss": LossConfig(ctc=0.3, ctc_tag="<2de>"), "tokenizer": TokenizerConfig(tags=["<a>", "<b>"])},
            "`loss.ctc_tag` must be one of `tokenizer.tags`, which are <a>, <b>, but is <2de>.",
        ),
        (
            {"loss": LossConfig(ctc=0.3, ctc_tag="<2de>")},
            "`loss.ctc_tag` must be one of `tokenizer.tags`, which are none, but is <2de>.",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sections, message):
    given = {"loss": LossConfig(ctc=0.3), "batch": BatchConfig(max_length=128), **SPEECH}
    check(Config(**given))
    with pytest.raises(ConfigError) as refused:
        check(Config(**{**given, **sections}))
    assert str(refused.value) == message
    check(Config(**{**given, **sections, "loss": LossConfig()}))
