"""Matching in an update: the loss of right and wrong pairs, each read alone; what does not go together is refused."""

import pytest
import torch
from test_step import gradients
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from toy import number_corpus, number_tokenizer, tiny_model, updater_of

from mt.build import check
from mt.config import AlignmentConfig, BatchConfig, Config, ModelConfig, Positions, Sharding, TrainConfig
from mt.data.batching import fill_up
from mt.errors import ConfigError
from mt.nn.ragged import pack
from mt.nn.source import TokenSource
from mt.train.matching_loss import MatchingLoss

PAIRS = 12


def matching(model=None, *, weight=0.5, **options):
    tokenizer = number_tokenizer()

    def guide(translation):
        return MatchingLoss(translation, weight=weight, bos=tokenizer.bos, eos=tokenizer.eos)

    return updater_of(model or tiny_model(), guide=guide, **options)


def alone(model, source, target) -> tuple[torch.Tensor, torch.Tensor]:
    """The translation loss of one pair, and the head's logit, without packing."""
    tokenizer = number_tokenizer()
    rows, layout = pack([[tokenizer.bos, *target, tokenizer.eos]])
    logits = model.logits(model(TokenSource.pack([source]), rows, layout))
    loss = cross_entropy(logits[:-1], torch.tensor([*target, tokenizer.eos]), reduction="sum", label_smoothing=0.1)
    return loss, logits[-1, tokenizer.eos] - logits[-1, tokenizer.bos]


@pytest.mark.parametrize("count", [1, 2, PAIRS])
def test_the_loss_is_that_of_each_pair_alone(count):
    corpus, updater = number_corpus(PAIRS), matching(weight=0.7)
    objective, model = updater.objective, updater.model
    batch = corpus.batch(range(count))
    torch.manual_seed(3)
    order = objective.prepare(batch).tolist()
    assert sorted(order) == list(range(count)) and (count == 1 or all(i != other for i, other in enumerate(order)))
    found = objective(model, batch, torch.tensor(order))
    right = [alone(model, corpus.source[i], corpus.target[i]) for i in range(count)]
    wrong = [alone(model, corpus.source[i], corpus.target[order[i]])[1] for i in range(count if count > 1 else 0)]
    logits = torch.stack([*(logit for _, logit in right), *wrong])
    labels = torch.tensor([1.0] * count + [0.0] * len(wrong))
    head = binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    translated = sum(loss for loss, _ in right)
    torch.testing.assert_close(found.total, translated + 0.7 * head, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.sums[0], translated.detach(), rtol=1e-4, atol=1e-4)
    rightly = int(((logits > 0) == labels.bool()).sum())
    assert objective.metrics(found.sums[2:].tolist()) == {
        "matching": pytest.approx(head.item() / len(logits), rel=1e-4),
        "matched": rightly / len(logits),
    }


def test_padding_changes_nothing(monkeypatch):
    corpus = number_corpus(PAIRS)
    batch = corpus.batch(range(PAIRS))
    torch.manual_seed(1)
    plain, before = gradients(matching(), [batch])
    monkeypatch.setattr("mt.data.batching.blocks.WORTH_IT", 1)
    assert fill_up(batch).target_layout.num_sentences > PAIRS
    torch.manual_seed(1)
    padded, after = gradients(matching(), [batch])
    assert after.loss == pytest.approx(before.loss, rel=1e-5) and after.extra == pytest.approx(before.extra, rel=1e-5)
    for name, gradient in plain.items():
        torch.testing.assert_close(padded[name], gradient, rtol=1e-3, atol=1e-6)


def test_the_head_learns_which_pairs_belong_together():
    corpus, updater = number_corpus(60), matching(tiny_model(decoder_layers=2), weight=2.0)
    seen = [updater([corpus.batch(range(60))], 3e-3, seeds=[step]).read().extra for step in range(150)]
    assert seen[0]["matching"] > 0.5 and seen[0]["matched"] < 0.7
    assert seen[-1]["matching"] < 0.2 and seen[-1]["matched"] > 0.9


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"alignment": AlignmentConfig(links=["a.links"])},
            "`model.matching` does not go together with `alignment.links`. hint: leave out one of the two.",
        ),
        (
            {"train": TrainConfig(steps=1, sharding=Sharding.full)},
            "`model.matching` does not go together with `train.sharding=full`. hint: leave out one of the two.",
        ),
        (
            {"batch": BatchConfig(tokens=4096, max_length=512)},
            "`model.matching` needs a position more than the longest target: `batch.max_length` must be below "
            "`model.max_length`, which is 512. hint: raise `model.max_length`.",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sections, message):
    with pytest.raises(ConfigError) as refused:
        check(Config(model=ModelConfig(matching=1.0), **sections))
    assert str(refused.value) == message
    check(Config(**sections))
    check(Config(model=ModelConfig(matching=1.0, positions=Positions.rotary), batch=BatchConfig(max_length=512)))
