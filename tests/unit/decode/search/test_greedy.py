"""Greedy search against one beam, and its closing of ranks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table import BOS, EOS, A, B, TableStepper, allowed, drawn, found, settings, written

from mt.decode.search.beam import beam_search
from mt.decode.search.greedy import greedy_search
from mt.decode.search.rules import MinLength, NoRepeatNgram

seeds = st.integers(0, 10**6)
sources = st.lists(st.lists(st.integers(3, 9), min_size=1, max_size=4), min_size=1, max_size=9)


def slow_greedy(table, source, search):
    """One sentence in plain Python."""
    tokens, pieces = [], []
    for _ in range(search.max_lengths([source])[0]):
        p, token = max(allowed(table, tuple(source), tuple(tokens)), key=lambda entry: (entry[0], -entry[1]))
        pieces.append(p)
        if token == EOS:
            return tokens, pieces, True
        tokens.append(token)
    return tokens, pieces, False


@given(seeds, sources, st.sampled_from([0.0, 1.0]), st.booleans())
def test_every_piece_is_the_best_one(seed, source, penalty, coarse):
    table = drawn(seed, num_words=3, coarse=coarse)
    search = settings(beam=1, length_penalty=penalty, max_ratio=1.5, max_extra=1, max_length=None)
    results = greedy_search(TableStepper(table), source, search=search)
    for sentence, [best] in zip(source, results, strict=True):
        tokens, pieces, finished = slow_greedy(table, sentence, search)
        assert (best.tokens, best.finished) == (tokens, finished)
        assert best.token_log_probs == pytest.approx(pieces)
        assert best.log_prob == pytest.approx(sum(pieces), rel=1e-5)
        assert best.score == pytest.approx(sum(pieces) / len(pieces) ** penalty, rel=1e-5)


@given(seeds, sources, st.sampled_from([0.0, 1.0]))
def test_greedy_search_is_beam_search_with_one_beam(seed, source, penalty):
    stepper = TableStepper(drawn(seed, num_words=3))
    search = settings(beam=1, length_penalty=penalty, max_length=5)
    rules = [MinLength(2, eos=EOS), NoRepeatNgram(2)]
    greedy = greedy_search(stepper, source, search=search, rules=rules)
    assert greedy == beam_search(stepper, source, search=search, rules=rules)


def test_sentences_that_have_ended_leave_at_once():
    def as_long_as_the_source(source, prefix):
        ended = len(prefix) + 1 >= len(source)
        return [-math.inf, -math.inf, 0.0 if ended else -math.inf, -math.inf if ended else 0.0, -math.inf]

    stepper = TableStepper(as_long_as_the_source)
    source = [[3] * length + [EOS] for length in (3, 1, 4, 2, 5, 5, 5, 5)]
    results = greedy_search(stepper, source, search=settings(max_length=9))
    assert found(results) == [[[A] * length] for length in (3, 1, 4, 2, 5, 5, 5, 5)]
    assert stepper.num_rows == [8, 8, 7, 6, 5, 4]


def test_the_maximum_length_is_each_sentence_s_own():
    endless = written({(B,) * n: [0.1, 0.2, 0.7] for n in range(9)})
    search = settings(beam=1, max_ratio=1.0, max_extra=0, max_length=None)
    results = greedy_search(TableStepper(endless), [[EOS], [3, 3, EOS], [BOS, EOS]], search=search)
    assert found(results) == [[[B]], [[B, B, B]], [[B, B]]]
    assert not any(best.finished for [best] in results)
    assert [best.score for [best] in results] == pytest.approx([math.log(0.7)] * 3)
