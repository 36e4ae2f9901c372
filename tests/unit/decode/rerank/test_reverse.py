"""Both directions have a say, as much as the weight gives them."""

from dataclasses import replace

import pytest

from mt.decode.rerank.reverse import rerank
from mt.decode.rerank.scorer import PairScore, Scorer
from mt.decode.translation import EMPTY, Translation


class Backwards(Scorer):
    """Finds a source the likelier the longer the translation; `too long` it cannot read."""

    def __init__(self):
        self.pairs = []

    def score_all(self, sources, targets):
        self.pairs += zip(sources, targets, strict=True)
        return [
            "has 99 and 1 tokens, but the model takes at most 9 a side" if text == "too long"
            else PairScore(-4.0 / len(text), ["▁x"], [-2.0 / len(text)] * 2)
            for text in sources
        ]  # fmt: skip


def said(text, *pieces):
    return Translation(text, sum(pieces) / len(pieces), sum(pieces), [text] * len(pieces), list(pieces), True)


def rescored(lists):
    return [[(t.text, pytest.approx(t.score)) for t in translations] for translations in lists]


SHORT, LONG = said("a", -0.5, -0.5), said("bbbb", -1.0, -0.6, -0.8)  # means -0.5 and -0.8; backwards -2 and -0.5


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [
        (0.0, [("a", -0.5), ("bbbb", -0.8)]),
        (0.1, [("a", -0.65), ("bbbb", -0.77)]),
        (0.5, [("bbbb", -0.65), ("a", -1.25)]),
        (1.0, [("bbbb", -0.5), ("a", -2.0)]),
    ],
)
def test_the_two_means_are_weighed(weight, wanted):
    assert rescored(rerank(["src"], [[SHORT, LONG]], Backwards(), weight=weight)) == [wanted]


def test_translations_are_asked_for_their_own_source_and_keep_the_rest():
    reverse = Backwards()
    lists = [[SHORT, LONG], [EMPTY], [LONG]]
    found = rerank(["one", " ", "two"], lists, reverse, weight=1.0)
    assert reverse.pairs == [("a", "one"), ("bbbb", "one"), ("bbbb", "two")]
    assert found[1] == [EMPTY]
    assert found[0][0].piece_log_probs == LONG.piece_log_probs and found[0][0].log_prob == LONG.log_prob


def test_equal_ones_stay_in_their_order():
    twins = [said("aa", -1.0), said("bb", -1.0), said("cc", -1.0)]
    assert [t.text for t in rerank(["x"], [twins], Backwards(), weight=0.3)[0]] == ["aa", "bb", "cc"]


def test_one_translation_twice_stays_in_its_order_whatever_rounding_says():
    twins = [replace(said("aa", -0.3), pieces=["first"]), replace(said("aa", -0.1, -0.2), pieces=["second"])]
    twins[1] = replace(twins[1], piece_log_probs=[-0.1 - 0.2], log_prob=-0.1 - 0.2)
    for order in (twins, twins[::-1]):
        found = rerank(["x"], [order], Backwards(), weight=0.3)[0]
        assert [t.pieces for t in found] == [t.pieces for t in order]


def test_a_list_that_cannot_be_scored_stays_as_it_is(caplog):
    lists = [[SHORT, said("too long", -1.0), LONG], [SHORT, LONG]]
    first, second = rerank(["one", "two"], lists, Backwards(), weight=1.0)
    assert first == lists[0] and [t.text for t in second] == ["bbbb", "a"]
    assert [record.getMessage() for record in caplog.records] == [
        "input 1 is not reranked: with a translation it has 99 and 1 tokens, but the model takes at most 9 a "
        "side."
    ]  # fmt: skip
