"""Rows, sentences and the grid between them."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.nn.ragged import Ragged, cut, joined, pack

lengths_of = st.lists(st.integers(1, 7), min_size=1, max_size=6)


def test_three_sentences_by_hand():
    rows = Ragged.from_lengths([2, 1, 3])
    assert (rows.num_sentences, rows.num_rows, rows.max_length) == (3, 6, 3)
    assert rows.offsets.tolist() == [0, 2, 3, 6]
    assert rows.offsets.dtype == torch.int32  # what variable-length kernels take
    assert rows.owners.tolist() == [0, 0, 1, 2, 2, 2]
    assert rows.positions.tolist() == [0, 1, 0, 0, 1, 2]
    assert rows.last_rows.tolist() == [1, 2, 5]
    assert rows.width == 16  # no narrower, whatever the sentences
    assert rows.row_to_grid.tolist() == [0, 1, 16, 32, 33, 34]
    assert rows.filled[:, :3].int().tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert not rows.filled[:, 3:].any()
    assert rows.grid_to_row[:, :4].tolist() == [[0, 1, 1, 1], [2, 2, 2, 2], [3, 4, 5, 5]]


def test_a_grid_is_a_multiple_of_8_wide_and_at_least_16():
    assert [Ragged.from_lengths([2, n]).width for n in (3, 16, 17, 24, 40, 41)] == [16, 16, 24, 24, 40, 48]


@given(lengths_of)
def test_every_row_has_one_place_and_empty_places_repeat_their_own_sentence(lengths):
    rows = Ragged.from_lengths(lengths)
    assert rows.grid_to_row.flatten()[rows.row_to_grid].tolist() == list(range(sum(lengths)))
    assert rows.filled.flatten()[rows.row_to_grid].all()
    assert int(rows.filled.sum()) == sum(lengths)
    assert (rows.owners[rows.grid_to_row] == torch.arange(len(lengths))[:, None]).all()


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=5), min_size=1, max_size=5))
def test_pack_splits_back_into_the_sentences(sentences):
    flat, rows = pack(sentences)
    assert flat.dtype == torch.int64
    assert [part.tolist() for part in flat.split(rows.lengths.tolist())] == sentences


def test_moving_to_the_device_it_is_on_copies_nothing():
    rows = Ragged.from_lengths([2, 1])
    assert rows.to("cpu") is rows


def test_what_is_derived_from_a_layout_made_on_the_host_needs_no_values_of_the_device():
    """A tensor on device `meta` has none, and asking for them is an error."""
    rows = Ragged.from_lengths([5, 2, 1]).to("meta")
    part, taken = rows.part(0, 2)
    half = rows.halved()
    whole = joined([rows, half])
    assert {one.lengths.device.type for one in (part, half, whole)} == {"meta"}
    assert (part.on_host.tolist(), part.num_rows, part.max_length, taken) == ([5, 2], 7, 5, slice(0, 7))
    assert (half.on_host.tolist(), half.num_rows, half.max_length) == ([3, 1, 1], 5, 3)
    assert (whole.on_host.tolist(), whole.num_rows, whole.max_length) == ([8, 3, 2], 13, 8)
    assert half.part(1, 3)[0].on_host.tolist() == [1, 1]


@given(lengths_of)
def test_half_of_a_layout_has_every_second_row(lengths):
    half = Ragged.from_lengths(lengths).halved()
    assert half.lengths.tolist() == half.on_host.tolist() == [len(range(0, n, 2)) for n in lengths]
    assert (half.num_rows, half.max_length) == (sum(half.lengths.tolist()), max(half.lengths.tolist()))


def test_cut_by_hand():
    assert cut([3, 0, 1, 2], 5, [2, 3, 3, 3]) == [[3, 0], [1], [2]]
    assert cut([0, 1, 2], 4, [1, 1, 1], [1, 4, 1]) == [[0], [1], [2]]  # the second side decides
    assert cut([0, 1], 4, [2, 2], [2, 2]) == [[0, 1]]  # the budget may be used up
    assert cut([], 4, []) == []


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=20), st.integers(9, 30), st.randoms())
def test_cut_keeps_the_order_and_the_budget_and_fills_each_run(sizes, budget, random):
    order = random.sample(range(len(sizes)), len(sizes))
    sides = [a for a, _ in sizes], [b for _, b in sizes]
    runs = cut(order, budget, *sides)
    assert [i for run in runs for i in run] == order
    assert all(sum(side[i] for i in run) <= budget for run in runs for side in sides)
    for run, following in pairwise(runs):
        assert any(sum(side[i] for i in [*run, following[0]]) > budget for side in sides)
