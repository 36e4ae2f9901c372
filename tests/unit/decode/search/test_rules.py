"""Every rule on a vocabulary of four words, worked by hand: eos is 0, the words are 1, 2 and 3."""

import pytest
import torch

from mt.decode.search.rules import BanTokens, ForcedPrefix, MinLength, NoRepeatNgram, apply_rules
from mt.errors import ConfigError


def allowed(rules, prefixes, owner=None):
    """The pieces that rules leave to each row; what is left must keep its log-probability."""
    prefix = torch.tensor(prefixes, dtype=torch.long).view(len(prefixes), -1)
    before = torch.tensor([[-1.0, -2.0, -3.0, -4.0]]).repeat(len(prefixes), 1)
    owner = torch.arange(len(prefixes)) if owner is None else torch.tensor(owner)
    after = apply_rules(rules, prefix, before.clone(), owner)
    left = after > -torch.inf
    assert torch.equal(after[left], before[left])
    return [row.nonzero().flatten().tolist() for row in left]


def test_no_rule_leaves_everything():
    assert allowed([], [[1], [2]]) == [[0, 1, 2, 3]] * 2


def test_banned_pieces_never_come():
    assert allowed([BanTokens([3, 1])], [[], []]) == [[0, 2], [0, 2]]
    assert allowed([BanTokens([])], [[1]]) == [[0, 1, 2, 3]]


def test_the_end_waits_for_the_minimum_length():
    rule = MinLength(2, eos=0)
    assert allowed([rule], [[]]) == [[1, 2, 3]]
    assert allowed([rule], [[1]]) == [[1, 2, 3]]
    assert allowed([rule], [[1, 2]]) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("size", "prefix", "left"),
    [
        (1, [], [0, 1, 2, 3]),
        (1, [2, 2], [0, 1, 3]),  # 2 has been said
        (2, [1], [0, 1, 2, 3]),
        (2, [1, 2, 1], [0, 1, 3]),  # 1 2 has been said, and 1 is last
        (2, [1, 2, 1, 3, 1], [0, 1]),  # so has 1 3
        (2, [1, 2, 3], [0, 1, 2, 3]),  # nothing followed 3 yet
        (2, [1, 1], [0, 2, 3]),  # 1 1 has been said, its second half is its first again
        (3, [1, 2, 3, 1, 2], [0, 1, 2]),
        (3, [1, 2, 3, 2], [0, 1, 2, 3]),  # 3 2 is new
        (3, [1, 2], [0, 1, 2, 3]),  # too short to hold one
    ],
)
def test_no_ngram_comes_twice(size, prefix, left):
    assert allowed([NoRepeatNgram(size)], [prefix]) == [left]


def test_ngrams_are_counted_row_by_row():
    assert allowed([NoRepeatNgram(2)], [[1, 2, 1], [2, 1, 1], [3, 2, 3]]) == [[0, 1, 3], [0, 2, 3], [0, 1, 3]]


def test_a_forced_prefix_belongs_to_its_sentence():
    rule = ForcedPrefix([[3, 1], [], [2]])
    assert allowed([rule], [[], [], []]) == [[3], [0, 1, 2, 3], [2]]
    assert allowed([rule], [[3], [1], [2]]) == [[1], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert allowed([rule], [[3, 1], [1, 1], [2, 2]]) == [[0, 1, 2, 3]] * 3
    assert allowed([rule], [[2], [3], [3]], owner=[2, 0, 0]) == [[0, 1, 2, 3], [1], [1]]


def test_rules_after_a_prefix_hold_behind_it():
    rule = ForcedPrefix([[3, 3], []], then=[BanTokens([3])])
    assert allowed([rule], [[], []]) == [[3], [0, 1, 2]]
    assert allowed([rule], [[3], [1]]) == [[3], [0, 1, 2]]
    assert allowed([rule], [[3, 3], [1, 1]]) == [[0, 1, 2]] * 2


def test_no_prefix_forces_nothing():
    assert allowed([ForcedPrefix([[], []])], [[], []]) == [[0, 1, 2, 3]] * 2


def test_what_one_rule_forbids_no_other_allows():
    assert allowed([BanTokens([3]), ForcedPrefix([[3]])], [[]]) == [[]]
    assert allowed([ForcedPrefix([[3]]), BanTokens([3])], [[]]) == [[]]
    assert allowed([MinLength(1, eos=0), BanTokens([1, 2])], [[]]) == [[3]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinLength(-1, eos=0), "`decode.min_length` must not be negative, but is -1."),
        (lambda: NoRepeatNgram(0), "`decode.no_repeat_ngram` must be positive, but is 0."),
        (
            lambda: ForcedPrefix([[1], [2, -4]]),
            "`decode.prefix` must hold token ids, which are not negative, but is -4.",
        ),
    ],
)
def test_rules_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        make()


def test_each_sentence_has_its_own_minimum_length():
    rule = MinLength([0, 2, 1], eos=0)
    assert allowed([rule], [[], [], []]) == [[0, 1, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert allowed([rule], [[1], [1], [1]]) == [[0, 1, 2, 3], [1, 2, 3], [0, 1, 2, 3]]
    assert allowed([rule], [[1], [1]], owner=[1, 1]) == [[1, 2, 3], [1, 2, 3]]
    with pytest.raises(ConfigError, match=r"^`decode\.min_length` must not be negative, but is -2\.$"):
        MinLength([1, -2], eos=0)
