"""Words of a text and the pieces that make them: maps are over pieces, links and people are about words.

A word is where it stands: a span of characters of the text as given. Pieces know their spans too, so neither side has
to be told how the other was made.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

Span = tuple[int, int]  # begin and end, in characters
Offset = tuple[int, int, int]  # a piece: id, begin, end; as `Tokenizer.offsets_source`
Links = set[tuple[int, int]]  # (source word, target word), counted from 0

NO_WORD = -1
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Thai .. Han
LETTER = rf"[^\W{UNSPACED}]"
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u093a-\u094f\u0962\u0963"  # accents, points, vowel signs
# In this order: one character of a script without spaces; letters and digits with what joins them; any other sign.
READING_WORD = re.compile(rf"[{UNSPACED}]|{LETTER}(?:{LETTER}|[{MARKS}]|['’.,:\-](?={LETTER}))*|[^\w\s]")
SPACED_WORD = re.compile(r"\S+")


def spaced_words(text: str) -> list[Span]:
    """Words as aligners count them: whatever stands between white space. Such text is usually tokenised."""
    return [found.span() for found in SPACED_WORD.finditer(text)]


def reading_words(text: str) -> list[Span]:
    """Words as a reader sees them: punctuation apart, and each character of a script that has no spaces."""
    return [found.span() for found in READING_WORD.finditer(text)]


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
