"""Two readings of each pair in an update: the loss is that of each pair alone; what does not go together is refused."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_step import gradients
from torch.nn.functional import cross_entropy, kl_div
from toy import number_corpus, number_pairs, number_tokenizer, tiny_config, tiny_model, updater_of

from mt.build import check
from mt.config import (
    AlignmentConfig,
    BatchConfig,
    Config,
    DataConfig,
    Input,
    InputKind,
    LossConfig,
    ModelConfig,
    Sharding,
    TrainConfig,
)
from mt.data.batching import TokenizedCorpus, fill_up
from mt.data.corpus.pair import Pair
from mt.errors import ConfigError
from mt.inputs.reader import InputReader
from mt.inputs.several import SeveralInputs
from mt.nn.encoders import input_model
from mt.nn.source import pack_items
from mt.train.consistency import Consistency, choose_one

INPUTS = [Input(column=name, kind=InputKind.text) for name in ("en", "de", "fr")]
PAIRS = 8


def two_texts(count: int = PAIRS) -> TokenizedCorpus:
    """Number words in English and, as a second input, in German; every fourth item lacks the second."""
    pairs = [
        Pair(f"{pair.src}\t{pair.tgt if place % 4 else ''}", pair.tgt, pair.origin)
        for place, pair in enumerate(number_pairs(count))
    ]
    return TokenizedCorpus(pairs, number_tokenizer(), reader=InputReader(INPUTS[:2], number_tokenizer().encode_source))


def consistent(model=None, *, weight=0.5, **options):
    size = number_tokenizer().tgt_size
    torch.manual_seed(0)
    model = model or input_model(tiny_config(**options), INPUTS[:2], src_size=size, tgt_size=size)
    return updater_of(model, guide=lambda loss: Consistency(loss, weight=weight))


def items_of(corpus, left_out) -> list[SeveralInputs]:
    """The sources as the reader gives them, without those inputs."""
    pairs = zip(corpus.pairs, left_out.tolist(), strict=False)
    return [corpus.reader.item(pair.src, left_out=out) for pair, out in pairs]


def test_the_loss_is_that_of_each_pair_alone():
    corpus, updater = two_texts(), consistent(weight=0.7)
    objective, model = updater.objective, updater.model
    batch = corpus.batch(range(PAIRS))
    torch.manual_seed(3)
    second = objective.prepare(batch)
    left_out = batch.source.present & ~second.present
    assert left_out.any(0).all() and not left_out[::4].any()  # nothing is left out of those that have one input
    found = objective(model, batch, second)
    total = nll = divergence = 0.0
    nothing = torch.zeros_like(left_out)
    for place, readings in enumerate(zip(items_of(corpus, nothing), items_of(corpus, left_out), strict=True)):
        one = corpus.batch([place])
        logits = [
            model.logits(model(pack_items([item]), one.target_in, one.target_layout)).double() for item in readings
        ]
        losses = [cross_entropy(x, one.target_out, label_smoothing=0.1, reduction="sum") for x in logits]
        p, q = (x.log_softmax(-1) for x in logits)
        apart = sum(kl_div(a, b, log_target=True, reduction="sum") for a, b in ((p, q), (q, p))) / 2
        total, divergence = total + sum(losses) / 2 + 0.7 * apart, divergence + apart.item()
        nll += cross_entropy(logits[0], one.target_out, reduction="sum").item()
    assert found.total.item() == pytest.approx(total.item(), rel=1e-5)
    assert found.sums[1].item() == pytest.approx(nll, rel=1e-5) and divergence > 0
    assert objective.metrics(found.sums[2:].tolist()) == {
        "divergence": pytest.approx(divergence / len(batch.target_out), rel=1e-4)
    }
    assert objective.prepare_largest(batch) is None


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_text_is_read_twice_with_other_dropout(dropout):
    updater, batch = consistent(tiny_model(dropout=dropout)), number_corpus(PAIRS).batch(range(PAIRS))
    objective, model = updater.objective, updater.model.train()
    found = objective(model, batch, objective.prepare(batch))
    assert (found.sums[2] > 0.01) == (dropout > 0)
    if not dropout:
        torch.testing.assert_close(found.total, objective.translation(model, batch, None).total)


def test_padding_and_splitting_change_nothing(monkeypatch):
    monkeypatch.setattr("mt.train.consistency.choose_one", lambda present: present & present.new_tensor([False, True]))
    batch = two_texts().batch(range(PAIRS))
    plain, before = gradients(consistent(), [batch])
    halves, apart = gradients(consistent(), [batch.part(0, 3), batch.part(3, PAIRS)])
    monkeypatch.setattr("mt.data.batching.blocks.WORTH_IT", 1)
    assert fill_up(batch).target_layout.num_sentences > PAIRS
    padded, after = gradients(consistent(), [batch])
    for other, update in ((padded, after), (halves, apart)):
        assert update.loss == pytest.approx(before.loss, rel=1e-5)
        assert update.extra == pytest.approx(before.extra, rel=1e-4)
        for name, gradient in plain.items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-3, atol=1e-6)


@given(st.integers(0, 2**16), st.integers(1, 5))
def test_a_source_without_inputs_is_that_of_items_that_lack_them(seed, count):
    draw = random.Random(seed)

    def frames() -> torch.Tensor:
        return torch.tensor([[draw.random() for _ in range(2)] for _ in range(draw.randint(1, 3))])

    items = [
        SeveralInputs(([draw.randrange(9) for _ in range(draw.randint(1, 4))], frames()), (True, draw.random() < 0.8))
        for _ in range(count)
    ]
    left_out = torch.tensor([[draw.random() < 0.5 for _ in range(2)] for _ in range(count)])
    lacking = [
        SeveralInputs(
            tuple(part[:1] if gone else part for part, gone in zip(item.parts, out, strict=True)),
            tuple(here and not gone for here, gone in zip(item.present, out, strict=True)),
        )
        for item, out in zip(items, left_out.tolist(), strict=True)
    ]
    found, expected = pack_items(items).without(left_out), pack_items(lacking)
    assert found.present.equal(expected.present)
    for mine, theirs in zip(found.parts, expected.parts, strict=True):
        assert mine.rows.equal(theirs.rows) and mine.layout.lengths.equal(theirs.layout.lengths)
        assert (mine.layout.num_rows, mine.layout.max_length) == (theirs.layout.num_rows, theirs.layout.max_length)


def test_one_input_is_left_out_the_first_one_less_often():
    torch.manual_seed(1)
    assert choose_one(torch.ones(4000, 2).bool()).float().mean(0).tolist() == pytest.approx([0.2, 0.8], abs=0.03)
    three = choose_one(torch.ones(4000, 3).bool())
    assert three.float().mean(0).tolist() == pytest.approx([0.2, 0.4, 0.4], abs=0.03) and (three.sum(1) == 1).all()
    some = torch.tensor([[True, False, False], [False, False, True], [False, False, False], [False, True, True]])
    left_out = torch.stack([choose_one(some) for _ in range(50)])
    assert not left_out[:, :3].any() and left_out[:, 3].any(0).tolist() == [False, True, True]


def test_a_model_learns_to_do_without_an_input():
    corpus, updater = two_texts(60), consistent(decoder_layers=2, weight=0.25)
    objective, model = updater.objective, updater.model
    batch = corpus.batch([place for place in range(60) if place % 4])  # those with both
    seen = [updater([batch], 1e-2, seeds=[step]).read() for step in range(150)]
    assert seen[-1].loss < seen[0].loss / 2
    missing = batch.source.without(torch.ones_like(batch.source.present) & torch.tensor([False, True]))
    with torch.no_grad():
        alone = objective.translation(model.eval(), type(batch)(**{**vars(batch), "source": missing}), None)
    assert alone.sums[0] / len(batch.target_out) < seen[0].loss / 2


@pytest.mark.parametrize(
    ("sections", "other"),
    [
        ({"alignment": AlignmentConfig(links=["a.links"])}, "alignment.links"),
        ({"model": ModelConfig(matching=1.0)}, "model.matching"),
        ({"train": TrainConfig(steps=1, sharding=Sharding.full)}, "train.sharding=full"),
        (
            {
                "loss": LossConfig(consistency=0.5, ctc=0.3),
                "batch": BatchConfig(max_length=128),
                "data": DataConfig(inputs=["a:audio"], target="b", tgt="de", train=["t.tsv"], dev=["d.tsv"]),
            },
            "loss.ctc",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sections, other):
    given = {"loss": LossConfig(consistency=0.5), "batch": BatchConfig(max_length=128)}
    check(Config(**given))
    with pytest.raises(ConfigError) as refused:
        check(Config(**{**given, **sections}))
    assert (
        str(refused.value) == f"`loss.consistency` does not go together with `{other}`. hint: leave out one of the two."
    )
