"""Several models as one: the two means by hand, and the same verbs for all members."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from table import BOS, EOS, A, B, TableStepper, drawn, found, settings, written

from mt.decode.beam import beam_search
from mt.decode.ensemble import Ensemble, Mean
from mt.errors import ConfigError

SURE = written({(): [0.0, 0.8, 0.2], (A,): [1.0, 0.0, 0.0], (B,): [1.0, 0.0, 0.0]})
UNSURE = written({(): [0.5, 0.05, 0.45], (A,): [1.0, 0.0, 0.0], (B,): [1.0, 0.0, 0.0]})


def first_step(mean):
    ensemble = Ensemble([TableStepper(SURE), TableStepper(UNSURE)], mean=mean)
    ensemble.start([[EOS]])
    return ensemble.step(torch.tensor([BOS]))[0, EOS:].exp().tolist()


def test_the_mean_of_probabilities():
    assert first_step(Mean.probabilities) == pytest.approx([0.25, 0.425, 0.325])


def test_the_mean_of_log_probabilities_gives_every_member_a_veto():
    assert first_step(Mean.log_probs) == pytest.approx([0.0, math.sqrt(0.8 * 0.05), math.sqrt(0.2 * 0.45)])


def test_the_means_choose_differently():
    search = settings(beam=2)
    members = [TableStepper(SURE), TableStepper(UNSURE)]
    assert found(beam_search(Ensemble(members), [[EOS]], search=search)) == [[[A]]]
    assert found(beam_search(Ensemble(members, mean=Mean.log_probs), [[EOS]], search=search)) == [[[B]]]


@given(st.integers(0, 10**6), st.sampled_from(Mean), st.integers(1, 3))
def test_a_model_agrees_with_itself(seed, mean, beam):
    source = [[3, EOS], [4, 5, EOS], [EOS]]
    search = settings(beam=beam, nbest=beam)
    alone = beam_search(TableStepper(drawn(seed)), source, search=search)
    twice = Ensemble([TableStepper(drawn(seed)), TableStepper(drawn(seed))], mean=mean)
    assert twice.device == torch.device("cpu")
    together = beam_search(twice, source, search=search)
    assert found(together) == found(alone)
    scores = [h.score for hypotheses in together for h in hypotheses]
    assert scores == pytest.approx([h.score for hypotheses in alone for h in hypotheses], rel=1e-5)


def test_an_ensemble_needs_a_member():
    with pytest.raises(ConfigError, match=r"^`ensemble.members` must name at least one model, but is 0\.$"):
        Ensemble([])


def test_an_ensemble_needs_one_vocabulary():
    ensemble = Ensemble([TableStepper(drawn(1)), TableStepper(drawn(1, num_words=3))])
    message = r"^The models of an ensemble must share one target vocabulary, but theirs have \[5, 6\] pieces\.$"
    with pytest.raises(ConfigError, match=message):
        beam_search(ensemble, [[EOS]], search=settings(beam=2))
