"""Each rule by hand, on both sides of its threshold."""

import pytest

from mt.config import CleanConfig
from mt.data.clean.rules import REASONS, Duplicates, length_ratio, rules_of
from mt.data.corpus.pair import Origin, Pair


def pair_of(src, tgt):
    return Pair(src, tgt, Origin("a.tsv", 1))


@pytest.mark.parametrize(
    ("name", "settings", "src", "tgt", "removed"),
    [
        ("empty", {}, "one", "ei", False),
        ("empty", {}, "one", "", True),
        ("empty", {}, " \t\u3000\u00a0", "eins", True),
        ("too_long", {"max_chars": 4}, "four", "vier", False),
        ("too_long", {"max_chars": 4}, "four", "fünf!", True),
        ("too_long", {"max_chars": 4}, "five!", "", True),
        ("ratio", {"max_ratio": 2.0}, "", "x" * 10, False),
        ("ratio", {"max_ratio": 2.0}, "x" * 11, "", True),
        ("ratio", {"max_ratio": 9.0}, "x" * 80, "", False),
        ("ratio", {"max_ratio": 9.0}, "", "", False),
        ("copy", {"drop_copies": True}, "one", "eins", False),
        ("copy", {"drop_copies": True}, "No.", "no!", True),
        ("copy", {"drop_copies": True}, "?", "!", False),
    ],
)
def test_rule(name, settings, src, tgt, removed):
    assert rules_of(CleanConfig(**settings))[name](pair_of(src, tgt)) is removed


@pytest.mark.parametrize(("src", "tgt", "ratio"), [("", "x" * 10, 2.0), ("x" * 11, "", 2.1), ("x" * 80, "", 9.0)])
def test_the_ratio_of_lengths_has_a_margin(src, tgt, ratio):
    assert length_ratio(pair_of(src, tgt)) == pytest.approx(ratio)


def test_a_duplicate_is_the_same_letter_by_letter():
    seen_before = Duplicates()
    rows = [("ab", "c"), ("a", "bc"), ("ab", "c"), ("ab", "C"), ("a", "bc"), ("\ud800", "")]
    assert [seen_before(pair_of(src, tgt)) for src, tgt in rows] == [False, False, True, False, True, False]


def test_every_rule_has_a_reason():
    assert list(rules_of(CleanConfig(drop_copies=True, drop_duplicates=True))) == list(REASONS)[:5]
