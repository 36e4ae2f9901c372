"""Each rule by hand: the score, and which side of the threshold it falls on."""

import pytest

from mt.data.clean.dedupe import Duplicate
from mt.data.clean.rules import Copy, Empty, Ratio, TooLong
from mt.data.corpus.pair import Origin, Pair


def pair_of(src, tgt):
    return Pair(src, tgt, Origin("a.tsv", 1))


@pytest.mark.parametrize(
    ("rule", "src", "tgt", "score", "accepted"),
    [
        (Empty(), "one", "ei", 2, True),
        (Empty(), "one", "", 0, False),
        (Empty(), " \t\u3000\u00a0", "eins", 0, False),
        (TooLong(4), "four", "vier", 4, True),
        (TooLong(4), "four", "fünf!", 5, False),
        (TooLong(4), "five!", "", 5, False),
        (Ratio(2.0), "", "x" * 10, 2.0, True),
        (Ratio(2.0), "x" * 11, "", 2.1, False),
        (Ratio(9.0), "x" * 80, "", 9.0, True),
        (Ratio(9.0), "", "", 1.0, True),
        (Copy(), "one", "eins", 0, True),
        (Copy(), "No.", "no!", 1, False),
        (Copy(), "?", "!", 0, True),
    ],
)
def test_rule(rule, src, tgt, score, accepted):
    assert rule.score(pair_of(src, tgt)) == pytest.approx(score)
    assert rule.accept(rule.score(pair_of(src, tgt))) is accepted


def test_a_duplicate_is_seen_before_letter_by_letter():
    rule = Duplicate()
    rows = [("ab", "c"), ("a", "bc"), ("ab", "c"), ("ab", "C"), ("a", "bc"), ("\ud800", "")]
    assert [rule.score(pair_of(src, tgt)) for src, tgt in rows] == [0, 0, 1, 0, 1, 0]
    assert rule.accept(0)
    assert not rule.accept(1)


def test_rules_have_names_of_their_own():
    rules = [Empty(), TooLong(1), Ratio(1), Copy(), Duplicate()]
    assert [rule.name for rule in rules] == ["empty", "too_long", "ratio", "copy", "duplicate"]
