"""The likelihoods of all sources with all targets are those of `Scorer`, pair by pair; ranks are by hand."""

import math

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_model

from mt.config import DecodeConfig
from mt.decode.rerank.rank import Likelihoods, likelihoods, ranked, recall
from mt.decode.rerank.scorer import Scorer
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import DataError


@pytest.fixture(scope="module")
def translator():
    return Translator(CachedStepper(tiny_model()), number_tokenizer(), DecodeConfig(batch_tokens=40), max_length=30)


def test_every_pair_has_the_score_of_a_pass_of_its_own(translator):
    pairs = number_pairs(7)
    sources, targets = [*(pair.src for pair in pairs), ""], [*(pair.tgt for pair in pairs[:5]), ""]
    done = []
    found = likelihoods(translator, sources, targets, done.append)
    assert done == list(range(1, 9))
    for source, row in zip(sources, found.log_probs, strict=True):
        alone = Scorer(translator).score([source] * len(targets), targets)
        assert row.tolist() == pytest.approx([score.log_prob for score in alone], abs=1e-4)
        assert found.tokens.tolist() == [len(score.piece_log_probs) for score in alone]


def test_scores_by_hand():
    found = Likelihoods(torch.tensor([[0.5, 0.125], [0.25, 0.125]]).log(), torch.tensor([1.0, 3.0]))
    assert found.mean()[0].tolist() == pytest.approx([math.log(0.5), math.log(0.5)])
    assert found.marginal().exp().tolist() == pytest.approx([0.375, 0.125])
    assert found.against(found.marginal()).exp()[0].tolist() == pytest.approx([4 / 3, 1])


def test_the_best_comes_first_and_of_equal_ones_the_first():
    assert ranked(torch.tensor([-2.0, -1.0, -1.0 - 1e-7, -3.0])) == [(1, -1.0), (2, -1.0), (0, -2.0), (3, -3.0)]


def test_recall_by_hand():
    assert [recall([1, 3, 5, 11], at) for at in (1, 5, 10)] == [25, 75, 75]


@pytest.mark.parametrize(
    ("sources", "targets", "side"),
    [(["one", "one " * 40], ["eins"], "source"), (["one"], ["eins", "eins " * 40], "target")],
)
def test_too_long(translator, sources, targets, side):
    with pytest.raises(DataError, match=rf"{side} 2 has \d+ tokens, but the model takes at most 30"):
        likelihoods(translator, sources, targets)
