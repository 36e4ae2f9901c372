"""Numbers are compared by value, codes as they stand; a share of those that a translation kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import in_linear_time

from mt.text.numerals import Survival, lost, numerals, survival


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no number", {}),
        ("3 apples", {"3": 1}),
        ("007", {"7": 1}),
        ("1,000.50", {"1000.5": 1}),
        ("1.000,50", {"1000.5": 1}),
        ("1 000,5", {"1000.5": 1}),
        ("1\u202f000\u202f000", {"1000000": 1}),
        ("1’234’567.8", {"1234567.8": 1}),
        ("1.234", {"1234": 1}),  # a group in one language, a decimal in another: equal on both sides either way
        ("1.5 and 1,5", {"1.5": 2}),
        ("12.05.2024", {"12": 1, "5": 1, "2024": 1}),
        ("2024-05-12", {"2024": 1, "5": 1, "12": 1}),
        ("at 14:30", {"14": 1, "30": 1}),
        ("items 3 45 and 6", {"3": 1, "45": 1, "6": 1}),
        ("١٠٠٠٫٥", {"1000.5": 1}),
        ("३ और ४", {"3": 1, "4": 1}),
        ("code A-17b, X200!", {"a-17b": 1, "x200": 1}),
        ("3个苹果", {"3": 1}),
        ("$5, 5%, 5", {"5": 3}),
        ("½ m²", {}),
        ("\U00010d41\U00010d40 or \U000116e3", {"10": 1, "9": 1}),  # newer than the tables of some Pythons
        ("a--1 漢--2", {"a": 1, "1": 1, "2": 1}),  # what is in a code's run
        ("漢1.5漢b2", {"1.5": 1, "漢b2": 1}),
    ],
)
def test_numerals(text, found):
    assert dict(numerals(text)) == found


def test_survival_counts_each_as_often_as_it_stands_in_its_own_line():
    assert survival(["2 and 2", "1.000,5"], ["2 y 3", "1,000.5"], ["2 2", "1000.5"]) == Survival(2, 3)
    assert survival(["2"], ["zwei"], ["zwei"]) == Survival(0, 0)
    assert survival(["2 or 7"], ["7"], ["zwei oder 7"]) == Survival(1, 1)
    assert str(Survival(2, 3)) == "numerals kept = 66.7 % (2 of 3)"
    assert Survival(0, 0).share == 1.0


def test_lost():
    assert lost("12345 and 12345 of X1", "1966000000 of 12345") == ["12345", "x1"]


@given(st.integers(0, 10**12), st.sampled_from([",", ".", " ", "\u00a0", "’"]))
def test_grouping_changes_no_number(value, mark):
    assert dict(numerals(f"{value:,}".replace(",", mark))) == {str(value): 1}


@pytest.mark.parametrize("text", ["1-", "a", "漢", "-", "a--", "1.1a", "a1 ", "1 "])
@pytest.mark.parametrize("end", ["", "1", "a1"])
def test_no_line_takes_long(text, end):
    with in_linear_time():  # minutes, where each place reads the rest of the line
        numerals(text * (100_000 // len(text)) + end)
