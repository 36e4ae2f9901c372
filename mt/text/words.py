"""Words of a text and the pieces that make them: maps are over pieces, links and people are about words.

A word is a span of characters of the text as given. Pieces have spans too, so the two can be compared without knowing
how either was made. This file is the only place that says what a word is. Letters, marks and scripts are Unicode's own
properties (UAX 14, 24, 29), as the `regex` package knows them; no word begins or ends within a grapheme cluster, which
is what a reader sees as one character.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

import regex

Span = tuple[int, int]  # begin and end, in characters
Offset = tuple[int, int, int]  # a piece: id, begin, end; as `Tokenizer.offsets_source`
Links = set[tuple[int, int]]  # (source word, target word), counted from 0

NO_WORD = -1
# Characters of scripts written without spaces: Han, kana and Bopomofo, and the scripts whose lines break by dictionary
# (SA: Thai, Lao, Khmer, Myanmar, ...) or by syllable (AK and AS: Balinese, Javanese, ...).
UNSPACED = (
    r"[\p{LB=SA}[[\p{L}\p{Nl}\p{No}]&&[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{sc=Bopomofo}\p{LB=AK}\p{LB=AS}]]]"
)
SPELLING = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--{UNSPACED}]"  # letters, marks on them, digits and "_" of the other scripts
LETTER = rf"(?={SPELLING})\X\p{{WB=Format}}*"  # what a soft hyphen or a change of direction follows goes on
# In this order: one character of a script without spaces; letters and digits with what joins them; any other sign.
READING_WORD = regex.compile(
    rf"(?={UNSPACED})\X|{LETTER}(?:['’.,:\-]?{LETTER})*|(?=[^\s\x1c-\x1f\p{{LB=ZW}}])\X", regex.VERSION1
)
SPACED_WORD = re.compile(r"\S+")
CLUSTER = regex.compile(r"\X")
IN_WORD = regex.compile(SPELLING, regex.VERSION1)
LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")


def spaced_words(text: str) -> list[Span]:
    """The runs of characters between white space, as word aligners count words. Such text is usually tokenised."""
    return [found.span() for found in SPACED_WORD.finditer(text)]


def reading_words(text: str) -> list[Span]:
    """Words as a reader sees them: punctuation apart, and each character of a script that has no spaces."""
    return [found.span() for found in READING_WORD.finditer(text)]


@cache
def is_word(character: str) -> bool:
    """Whether it is a letter, a mark on one, a digit or "_", in a script that separates words by spaces."""
    return IN_WORD.match(character) is not None


def has_letters(text: str) -> bool:
    """Whether a text has a letter or a digit of any script."""
    return LETTER_OR_DIGIT.search(text) is not None


def no_text_but(text: str, words: Sequence[str]) -> bool:
    """Whether a text has no letters and digits but those of certain words."""
    for word in words:
        text = text.replace(word, " ")
    return not has_letters(text)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` begins and ends where words do, not within a word or a grapheme cluster."""
    return may_divide(text, start) and may_divide(text, end)


def may_divide(text: str, place: int) -> bool:
    """Whether a word may end, and another begin, before `text[place]`."""
    if not 0 < place < len(text):
        return True
    if is_word(text[place - 1]) and is_word(text[place]):
        return False
    if text[place - 1 : place + 1].isascii():
        return True
    clusters = CLUSTER.finditer(text, max(0, text.rfind(" ", 0, place)))
    return next((found.start() for found in clusters if found.start() >= place), None) == place


def occurs(term: str, text: str) -> bool:
    """Whether a text has a term, spelt exactly so, as whole words."""
    start = text.find(term)
    while start >= 0 and not stands_alone(text, start, start + len(term)):
        start = text.find(term, start + 1)
    return start >= 0


def owners(pieces: Sequence[Offset], words: Sequence[Span]) -> list[int]:
    """The word of each piece, `NO_WORD` for a piece of none: the word with most of its characters, the first of equals.

    A piece that covers no word's characters belongs to the word that goes on, or begins, where it ends: so do a lone
    "▁" and all bytes of a character but the last.
    """
    ends = [last for _, last in words]
    found = []
    for _, begin, end in pieces:
        near = first = bisect_right(ends, begin)  # words before it end where the piece begins, or sooner
        best, most = NO_WORD, 0
        while near < len(words) and words[near][0] < end:
            covered = min(end, words[near][1]) - max(begin, words[near][0])
            if covered > most:
                best, most = near, covered
            near += 1
        if best == NO_WORD:
            after = bisect_right(ends, end, first)
            if after < len(words) and words[after][0] <= end:
                best = after
        found.append(best)
    return found


def carry_over(owned: Sequence[int], pieces: Sequence[str], sampled: Sequence[str]) -> list[int]:
    """The word of each piece of another segmentation of the same text.

    Args: owned, pieces: words and pieces of the one segmentation; sampled: pieces of the other, which spell the same.
    A piece takes the word of the first letter that it shares with a piece of a word.
    """
    by_letter = [word for word, piece in zip(owned, pieces, strict=True) for _ in piece]
    ends = list(accumulate(map(len, sampled), initial=0))
    assert ends[-1] == len(by_letter), "both spell the same text"
    return [next((word for word in by_letter[begin:end] if word != NO_WORD), NO_WORD) for begin, end in pairwise(ends)]
