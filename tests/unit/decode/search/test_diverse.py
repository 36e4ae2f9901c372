"""Diverse beam search against hand-worked tables and a slow search in plain Python."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from table import EOS, A, B, TableStepper, drawn, found, patient_search, settings, written

from mt.decode.search.beam import beam_search
from mt.decode.search.diverse import expand_groups
from mt.decode.search.rules import ForcedPrefix

seeds = st.integers(0, 10**6)
sources = st.lists(st.lists(st.integers(3, 9), min_size=1, max_size=4), min_size=1, max_size=4)

# A is a little likelier than B at every place; two pieces, then the end
NEAR = written({(): [0.0, 0.6, 0.4], (A,): [0.0, 0.6, 0.4], (B,): [0.0, 0.6, 0.4]} | {
    (x, y): [1.0, 0.0, 0.0] for x in (A, B) for y in (A, B)
})  # fmt: skip


def search_one(table, **changes):
    return beam_search(TableStepper(table), [[3, EOS]], search=settings(**changes))[0]


def test_the_second_group_keeps_out_of_the_first_one_s_way():
    # log 0.6 - log 0.4 = 0.405: with a cost above it the second group takes B where the first took A
    assert found([search_one(NEAR, beam=2, groups=2, nbest=2, diversity=0.5)]) == [[[A, A], [B, B]]]
    both = search_one(NEAR, beam=2, groups=2, nbest=2, diversity=0.4)
    assert found([both]) == [[[A, A]]]  # the same twice is said once


def test_scores_are_the_model_s_own():
    first, second = search_one(NEAR, beam=2, groups=2, nbest=2, diversity=9.0, length_penalty=0.0)
    assert (first.score, second.score) == (pytest.approx(2 * math.log(0.6)), pytest.approx(2 * math.log(0.4)))
    assert second.token_log_probs == pytest.approx([math.log(0.4), math.log(0.4), 0.0])


def test_the_cost_is_paid_for_every_beam_that_goes_on_with_the_piece():
    probs = [-math.inf, -math.inf, -9.0, math.log(0.55), math.log(0.45)]  # pad, bos, eos, A, B
    chosen = expand_groups(torch.zeros(3, 2), torch.tensor([probs] * 6), 4, groups=3, diversity=0.15, eos=EOS)
    # both beams of the first group take A; for the second A costs 0.3 and B is best; then both cost 0.3
    assert chosen.token[:, :2].tolist() == [[A, A], [B, B], [A, A]]
    assert chosen.total[1, 0].item() == pytest.approx(math.log(0.45))


def test_an_end_is_no_piece_that_others_pay_for():
    ends = [-math.inf, -math.inf, math.log(0.6), math.log(0.4), -math.inf]
    chosen = expand_groups(torch.zeros(2, 1), torch.tensor([ends] * 2), 2, groups=2, diversity=5.0, eos=EOS)
    assert chosen.token.tolist() == [[EOS, A], [EOS, A]]


@given(seeds, st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.sampled_from([0.0, 1.0, 2.5]), st.data())
def test_groups_are_those_of_a_search_in_plain_python(seed, groups, width, longest, diversity, data):
    beam = groups * width
    if beam == 1:
        return
    nbest = data.draw(st.integers(1, beam))
    table = drawn(seed, coarse=True)
    search = settings(beam=beam, groups=groups, nbest=nbest, diversity=diversity, max_length=longest)
    hypotheses = beam_search(TableStepper(table), [[3, EOS]], search=search)[0]
    patient = patient_search(table, [3, EOS], search)
    assert [(h.tokens, h.finished) for h in hypotheses] == [(tokens, finished) for _, tokens, finished in patient]
    assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in patient])


@given(seeds, sources, st.booleans())
def test_a_sentence_does_not_depend_on_its_batch(seed, source, coarse):
    search = settings(beam=4, groups=2, nbest=3, diversity=1.0, max_ratio=1.5, max_extra=1, max_length=None)
    stepper = TableStepper(drawn(seed, coarse=coarse))
    together = beam_search(stepper, source, search=search)
    assert together == [beam_search(stepper, [sentence], search=search)[0] for sentence in source]


def test_rules_know_whose_row_they_look_at():
    rules = [ForcedPrefix([[A], [B], []])]
    search = settings(beam=4, groups=2, nbest=2)
    results = beam_search(TableStepper(NEAR), [[3, EOS]] * 3, search=search, rules=rules)
    assert [[h.tokens[0] for h in lists] for lists in results[:2]] == [[A, A], [B, B]]


def test_a_group_that_dies_leaves_its_last_hypotheses():
    dead_end = written({(): [0.0, 1.0, 0.0]})  # nothing may follow A
    [best] = search_one(dead_end, beam=4, groups=2, nbest=2)
    assert (best.tokens, best.finished) == ([A], False)
