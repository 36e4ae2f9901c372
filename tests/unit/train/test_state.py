"""The counters of a run: what is best, how long ago, and the way through JSON."""

import json
import math

import pytest

from mt.errors import CheckpointError
from mt.train.state import TrainState, decisive


def test_the_best_is_kept_and_validations_since_are_counted():
    state = TrainState()
    seen = []
    for state.step, score in ((10, 3.0), (20, 2.0), (30, 3.0), (40, 4.0), (50, 1.0)):
        state.record(score)
        seen.append((state.best_score, state.best_step, state.stale))
    assert seen == [
        (3.0, 10, 0),
        (3.0, 10, 1),
        (3.0, 10, 2),
        (4.0, 40, 0),
        (4.0, 40, 1),
    ]


def test_negative_scores_of_losses_compare_too():
    state = TrainState()
    for loss in (5.0, 4.0, 4.5):
        state.record(-loss)
    assert (state.best_score, state.stale) == (-4.0, 1)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_the_best(odd):
    state = TrainState()
    assert not state.is_best(odd)
    state.record(odd)
    assert state.best_score is None and state.stale == 1
    state.record(1.0)
    state.record(odd)
    assert state.best_score == 1.0 and state.stale == 1


def test_it_is_restored_from_json():
    state = TrainState(step=7, seconds=0.1 + 0.2, best_score=-1 / 3, finished="because")
    assert TrainState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_a_state_of_another_version_is_refused():
    with pytest.raises(CheckpointError, match=r"of another version of mt: .*unheard_of"):
        TrainState.from_dict({"step": 1, "unheard_of": 2})


def test_ties_are_broken_by_what_follows_the_score():
    state, seen = TrainState(), []
    validations = [(0.0, 12.0, -5.0), (0.0, 11.0, -4.0), (0.0, 12.0, -4.5), (0.0, 12.0, -4.5), (2.0, 3.0, -9.0)]
    for state.step, rank in enumerate(validations, 1):
        state.record(*rank)
        seen.append((state.best_step, state.stale))
    assert seen == [(1, 0), (1, 1), (3, 0), (3, 1), (5, 0)]
    assert (state.best_score, state.best_ties) == (2.0, [3.0, -9.0])


def test_a_score_that_cannot_tell_does_not_count_against_a_run_that_learns():
    state, seen = TrainState(), []
    for state.step, (loss, tells) in enumerate([(5.0, False), (4.0, False), (3.0, False), (3.5, False), (2.0, True)]):
        state.record(0.0, 0.0, tells=tells, loss=loss)
        seen.append(state.stale)
    assert seen == [0, 0, 0, 1, 2] and state.lowest_loss == 2.0
    state.record(0.0, 0.0, tells=False, loss=math.nan)
    assert state.stale == 3 and state.lowest_loss == 2.0


def test_a_state_without_ties_is_restored_and_the_same_score_is_better_with_them():
    state = TrainState.from_dict({"step": 3, "best_score": 0.0})
    assert state.is_best(0.0, 10.0) and not state.is_best(-1.0, 99.0)


def test_the_score_that_decided_is_shown_not_a_bleu_that_cannot_tell():
    assert decisive("bleu", 0.0, 17.5, -3.0) == ("chrf", 17.5)
    assert decisive("bleu", 3.25, 17.5) == ("bleu", 3.25)
    assert decisive("bleu", 0.0) == ("bleu", 0.0)  # of an older version, which kept no other score
    assert decisive("loss", -2.5, 17.5) == ("loss", 2.5)
