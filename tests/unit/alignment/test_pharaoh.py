"""Links on paper, and AER by hand."""

import pytest

from mt.alignment.pharaoh import Gold, check_gold, compare, parse_gold, pharaoh, read_gold
from mt.errors import DataError


def test_aer_precision_and_recall_by_hand():
    """|A| = 4, |S| = 3, A∩S = 2, A∩P = 3: AER = 1 - 5/7, precision 3/4, recall 2/3."""
    gold = [Gold({(0, 0), (1, 1)}, {(0, 0), (1, 1), (1, 2)}), Gold({(0, 0)}, {(0, 0)})]
    found = [{(0, 0), (1, 2), (3, 3)}, {(0, 0)}]
    result = compare(found, gold)
    assert (result.links, result.sure) == (4, 3)
    assert result.aer == pytest.approx(1 - 5 / 7)
    assert result.precision == pytest.approx(3 / 4)
    assert result.recall == pytest.approx(2 / 3)


def test_where_all_links_are_sure_aer_is_one_minus_f1():
    gold = [Gold({(0, 0), (1, 1), (2, 2)}, {(0, 0), (1, 1), (2, 2)})]
    result = compare([{(0, 0), (5, 5)}], gold)
    f1 = 2 * result.precision * result.recall / (result.precision + result.recall)
    assert result.aer == pytest.approx(1 - f1)


def test_perfect_links_and_none():
    gold = [Gold({(0, 0)}, {(0, 0)})]
    assert compare([{(0, 0)}], gold).aer == 0
    nothing = compare([set()], gold)
    assert (nothing.aer, nothing.precision, nothing.recall) == (1, 0, 0)
    assert compare([set()], [Gold(set(), set())]).aer == 0


def test_pharaoh_lines_go_there_and_back():
    links = {(10, 2), (0, 1), (2, 0)}
    assert pharaoh(links) == "0-1 2-0 10-2"
    assert parse_gold(pharaoh(links), base=0, where="x").sure == links


def test_possible_links_and_numbers_from_one():
    gold = parse_gold("1-1 2p3 2?4", base=1, where="x")
    assert gold == Gold({(0, 0)}, {(0, 0), (1, 2), (1, 3)})


def test_a_line_that_is_no_links_is_named():
    with pytest.raises(DataError, match=r"^a\.links:2: a link must read `1-2`, .* but reads `1:2`\.$"):
        read_gold(["0-0", "0-1 1:2"], base=0, path="a.links")


def test_a_number_of_thousands_of_digits_is_too_large():
    with pytest.raises(DataError, match=r"^a\.links:1: the number of a word is too large\.$"):
        read_gold([f"0-{'9' * 5000}"], base=0, path="a.links")


def test_a_zero_where_words_count_from_one_is_named():
    told = r"^a\.links:1: `0-1` counts from 0, but .* from 1\.\s+hint: `--gold-base 0` says"
    with pytest.raises(DataError, match=told):
        read_gold(["1-1 0-1"], base=1, path="a.links")


@pytest.mark.parametrize(
    ("line", "base", "sentence"),
    [
        ("0-0 1-3", 0, "a.links:2: the link 1-3 is past the words of its pair, 2 and 3 between spaces, which links "
                       "count from 0."),
        ("3-1 1-1", 1, "a.links:2: the link 3-1 is past the words of its pair, 2 and 3 between spaces, which links "
                       "count from 1."),
        ("0-0 2p0", 0, "a.links:2: the link 2-0 is past the words of its pair, 2 and 3 between spaces, which links "
                       "count from 0."),
    ],
)  # fmt: skip
def test_a_link_past_the_words_is_named(line, base, sentence):
    sources, targets = ["", "one two"], ["", "eins , zwei"]
    check_gold(read_gold(["", "1-1 1p2"], base=base, path="a.links"), sources, targets, base=base, path="a.links")
    with pytest.raises(DataError) as refused:
        check_gold(read_gold(["", line], base=base, path="a.links"), sources, targets, base=base, path="a.links")
    assert str(refused.value) == sentence
