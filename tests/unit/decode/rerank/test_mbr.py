"""The translation that is most like all of them."""

import math

import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.decode.rerank.mbr import mbr, shares_of
from mt.decode.rerank.utility import bleu, chrf


def same_length(texts):
    """1 for equally long texts, less by the tenth for each sign of difference."""
    lengths = torch.tensor([len(text) for text in texts], dtype=torch.float64)
    return 1 - (lengths[:, None] - lengths).abs() / 10


def test_the_middle_one_wins():
    # a: (1 + .8 + .6) / 3, ccc: (.8 + 1 + .8) / 3, eeeee: as a, which is earlier
    assert mbr(["a", "ccc", "eeeee"], same_length) == [
        (1, pytest.approx(2.6 / 3)), (0, pytest.approx(0.8)), (2, pytest.approx(0.8))
    ]  # fmt: skip


def test_what_was_drawn_twice_counts_twice():
    # a twice: (2 + .8 + .6) / 4; ccc: (1.6 + 1 + .8) / 4; eeeee: (1.2 + .8 + 1) / 4
    found = mbr(["eeeee", "a", "ccc", "a"], same_length)
    assert [place for place, _ in found] == [1, 2, 3, 0]  # 0.85 three times: by place
    assert [value for _, value in found] == pytest.approx([0.85, 0.85, 0.85, 0.75])


@pytest.mark.parametrize("weights", [None, [0.25, 0.75], [3.0, 1e-3]])
def test_equal_ones_stay_in_their_order_whatever_rounding_says(weights):
    def rounded(up):
        def utility(texts):
            values = torch.full((len(texts), len(texts)), 0.3, dtype=torch.float64)
            values[up] = 0.1 + 0.2
            return values

        return utility

    for up in (0, 1):
        found = mbr(["a", "b"], rounded(up), weights)
        assert [place for place, _ in found] == [0, 1] and found[0][1] == found[1][1]


def test_weights_say_how_likely_each_is():
    found = mbr(["a", "ccc", "eeeee"], same_length, weights=[1.0, 2.0, 7.0])
    assert found[0] == (2, pytest.approx((0.6 * 1 + 0.8 * 2 + 7) / 10))
    texts = ["a", "ccc", "a"]
    one, other = mbr(texts, same_length, [2.0, 3.0, 1.0]), mbr(texts, same_length, [20.0, 30.0, 10.0])
    assert [place for place, _ in one] == [place for place, _ in other]
    assert [value for _, value in one] == pytest.approx([value for _, value in other])


def test_the_utility_is_asked_once_for_each_different_text():
    calls = []

    def utility(texts):
        calls.append(list(texts))
        return same_length(texts)

    mbr(["b", "aa", "b", "b"], utility)
    assert calls == [["b", "aa"]]
    assert mbr([], utility) == [] and len(calls) == 1


@pytest.mark.parametrize(
    ("utility", "slow"),
    [(chrf, sacrebleu.CHRF().sentence_score), (bleu, sacrebleu.sentence_bleu)],
)
@given(texts=st.lists(st.lists(st.sampled_from(["ein", "Mann", "läuft."]), max_size=4).map(" ".join), min_size=1))
def test_the_expected_utility_is_a_plain_mean(utility, slow, texts):
    found = mbr(texts, utility)
    plain = [sum(slow(text, [other]).score for other in texts) / len(texts) for text in texts]
    assert sorted(place for place, _ in found) == list(range(len(texts)))
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    for place, value in found:
        assert value == pytest.approx(plain[place], abs=1e-9)


def test_shares_are_probabilities_of_one_of_these():
    assert shares_of([math.log(0.03), math.log(0.01), math.log(0.06)]) == pytest.approx([0.3, 0.1, 0.6])
    # so small that their exponentials are 0
    assert shares_of([-2000.0, -2000.0 + math.log(3)]) == pytest.approx([0.25, 0.75])
