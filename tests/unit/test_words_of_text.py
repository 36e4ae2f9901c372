"""Words by where they stand, and which pieces are theirs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.words import NO_WORD, carry_over, owners, reading_words, spaced_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ein Mann, 3.5 km.", ["Ein", "Mann", ",", "3.5", "km", "."]),
        ("it's (so-called)…", ["it's", "(", "so-called", ")", "…"]),
        ("東京です。 ok", ["東", "京", "で", "す", "。", "ok"]),
        ("Привет, мир", ["Привет", ",", "мир"]),
        ("שָׁלוֹם עולם!", ["שָׁלוֹם", "עולם", "!"]),
        ("नमस्ते", ["नमस्ते"]),
        ("cafe\u0301 <b>", ["cafe\u0301", "<", "b", ">"]),
        ("", []),
        ("  ", []),
    ],
)
def test_words_as_a_reader_sees_them(text, words):
    assert [text[begin:end] for begin, end in reading_words(text)] == words


@given(st.text())
def test_words_lie_in_order_and_leave_out_nothing_but_space_and_marks(text):
    for split in (reading_words, spaced_words):
        spans = split(text)
        assert all(begin < end for begin, end in spans)
        assert spans == sorted(spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        covered = {place for begin, end in spans for place in range(begin, end)}
        assert all(not text[place].isalnum() for place in range(len(text)) if place not in covered)


def test_spaced_words_are_what_python_calls_words():
    text = " a  bc, d\t"
    assert [text[begin:end] for begin, end in spaced_words(text)] == text.split()


def test_a_piece_belongs_to_the_word_with_most_of_it():
    words = [(0, 2), (3, 7)]  # "ab cdef"
    assert owners([(9, 0, 1), (9, 1, 4), (9, 2, 5), (9, 5, 7)], words) == [0, 0, 1, 1]


def owners_word_by_word(pieces, words):
    """Every word is asked about every piece."""
    found = []
    for _, begin, end in pieces:
        covered = [min(end, last) - max(begin, first) for first, last in words]
        if max(covered, default=0) <= 0:
            covered = [int(first <= end < last) for first, last in words]
        best = max(covered, default=0)
        found.append(covered.index(best) if best > 0 else NO_WORD)
    return found


@given(st.text("ab  東-", max_size=20), st.lists(st.integers(0, 20), max_size=8))
def test_pieces_wherever_they_are_cut_belong_to_the_word_that_a_plain_search_finds(text, cuts):
    ends = sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))} | set(cuts[:2]))
    pieces = [(0, a, b) for a, b in pairwise(ends)] + [(0, a, a) for a in ends]
    for split in (spaced_words, reading_words):
        assert owners(pieces, split(text)) == owners_word_by_word(pieces, split(text))


def test_a_space_alone_and_bytes_belong_to_the_word_that_comes():
    words = [(0, 1), (2, 4)]  # "a 東b"
    assert owners([(1, 0, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 2, 3), (6, 3, 4)], words) == [0, 1, 1, 1, 1, 1]
    assert owners([(1, 4, 4)], words) == [NO_WORD]
    assert owners([(1, 0, 1)], []) == [NO_WORD]


def test_another_segmentation_takes_its_words_over():
    plain, owned = ["▁ab", "c", "▁de"], [0, 0, 1]
    assert carry_over(owned, plain, ["▁", "a", "bc", "▁d", "e"]) == [0, 0, 0, 1, 1]
    assert carry_over([NO_WORD, 0], ["▁", "ab"], ["▁ab"]) == [0]
    with pytest.raises(AssertionError, match="spell the same"):
        carry_over([0], ["ab"], ["a"])
