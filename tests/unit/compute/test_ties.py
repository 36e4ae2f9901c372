"""Equal values are equal however they were added up."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.compute.ties import FLOAT64, first_best, levelled

TERMS = st.lists(st.integers(-1000, 1000).map(lambda n: n / 7), min_size=3, max_size=5)


def added(terms):
    total = 0.0
    for term in terms:
        total += term
    return total


def test_by_hand():
    assert 0.1 + 0.2 > 0.3
    assert first_best([0.3, 0.1 + 0.2], FLOAT64) == 0
    assert levelled([0.3, 1.0, 0.1 + 0.2], FLOAT64) == [0.1 + 0.2, 1.0, 0.1 + 0.2]
    assert levelled([3.0, 2.0, 1.0], 0.4) == [3.0, 3.0, 3.0]  # each is near its neighbour
    assert levelled([3.0, 2.0, 1.0], 0.3) == [3.0, 2.0, 1.0]
    assert levelled([], FLOAT64) == []
    with pytest.raises(ValueError):
        first_best([], FLOAT64)


def test_infinite_values_are_equal_to_themselves_and_to_nothing_else():
    assert levelled([-math.inf, 1.0, -math.inf, math.inf], 0.5) == [-math.inf, 1.0, -math.inf, math.inf]
    assert first_best([-math.inf, -math.inf], FLOAT64) == 0


@given(TERMS)
def test_a_sum_in_any_order_is_the_same_value(terms):
    sums = [added(order) for order in itertools.permutations(terms)]
    if abs(sum(map(Fraction, terms))) > 1:  # of terms that nearly cancel, only rounding is left
        assert len(set(levelled(sums, FLOAT64))) == 1
        assert first_best(sums, FLOAT64) == 0


@given(st.lists(st.integers(-50, 50)))
def test_values_that_differ_keep_their_order(values):
    assert levelled(values, FLOAT64) == values
    if values:
        assert first_best(values, FLOAT64) == values.index(max(values))
