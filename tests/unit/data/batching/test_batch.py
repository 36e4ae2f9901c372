"""A batch: its rows by hand, its halves, and the cut that makes it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from letters import BOS, EOS, corpus_of, plain

from mt.data.batching import make_batch
from mt.data.batching.batch import cut_sorted
from mt.nn.ragged import cut


def test_a_batch_by_hand():
    batch = make_batch([[5, 6, EOS], [EOS]], [[7], []], [4, 9], bos=BOS, eos=EOS)
    assert plain(batch) == ((4, 9), [5, 6, EOS, EOS], [BOS, 7, BOS], [7, EOS, EOS], [3, 1], [2, 1])
    assert batch.to(torch.device("cpu")) is batch


def test_a_batch_moves_as_a_whole():
    moved = make_batch([[5, 6, EOS], [EOS]], [[7], []], [4, 9], bos=BOS, eos=EOS).to(torch.device("meta"))
    tensors = (
        moved.source.rows,
        moved.target_in,
        moved.target_out,
        moved.source.layout.lengths,
        moved.target_layout.lengths,
    )
    assert all(tensor.is_meta for tensor in tensors)
    assert (moved.source.layout.num_rows, moved.source.layout.max_length, moved.target_layout.num_rows) == (4, 3, 3)
    assert moved.indices == (4, 9)


sizes = st.lists(st.tuples(st.integers(2, 12), st.integers(2, 12)), min_size=2, max_size=12)


@given(sizes)
def test_halves_hold_every_sentence_in_order_and_differ_by_one_sentence_at_most(sizes):
    batch = corpus_of(sizes).batch(range(len(sizes)))
    first, second = batch.halves()
    assert [a + b for a, b in zip(plain(first), plain(second), strict=True)] == list(plain(batch))
    rows = [sum(map(sum, sizes[: len(first.indices)])), sum(map(sum, sizes[len(first.indices) :]))]
    assert abs(rows[0] - rows[1]) <= max(map(sum, sizes))
    every = [abs(2 * sum(map(sum, sizes[:n])) - sum(rows)) for n in range(1, len(sizes))]
    assert abs(rows[0] - rows[1]) == min(every)


def test_one_sentence_has_no_halves():
    assert corpus_of([(3, 3)]).batch([0]).halves() is None


def test_halves_of_one_long_and_three_short_sentences():
    first, second = corpus_of([(9, 9), (3, 3), (3, 3), (3, 3)]).batch([0, 1, 2, 3]).halves()
    assert (first.indices, second.indices) == ((0,), (1, 2, 3))


lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40)


@given(lengths, st.integers(9, 30))
def test_the_fast_cut_is_the_slow_one(lengths, budget):
    src, tgt = (np.array(side) for side in zip(*lengths, strict=True))
    ends = cut_sorted(src, tgt, budget)
    slow = cut(range(len(lengths)), budget, src.tolist(), tgt.tolist())
    assert [list(range(a, b)) for a, b in pairwise(ends)] == slow


def test_a_sentence_over_the_budget_is_a_fault_of_ours():
    with pytest.raises(AssertionError, match="a sentence is over the budget"):
        cut_sorted(np.array([3, 5]), np.array([1, 1]), 4)
