"""Words of a text, and the words that its pieces belong to: attention is over pieces, links are between words.

A word is a span of characters of the original text. Pieces have spans, too, so words and pieces can be matched. This
file is the only definition of a word. Letters, marks and scripts are Unicode properties (UAX 14, 24, 29) from the
`regex` package; no word begins or ends within a grapheme cluster, which readers see as one character.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
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
LETTER = rf"(?={SPELLING})\X\p{{WB=Format}}*"  # a soft hyphen or a change of direction does not end a word
# In this order: one character of a script without spaces; letters and digits with what joins them; any other sign.
READING_WORD = regex.compile(
    rf"(?={UNSPACED})\X|{LETTER}(?:['’.,:\-]?{LETTER})*|(?=[^\s\x1c-\x1f\p{{LB=ZW}}])\X", regex.VERSION1
)
SPACED_WORD = re.compile(r"\S+")
CLUSTER = regex.compile(r"\X")
# Searched backwards: what joins a character to those before it reaches no further.
BASE = regex.compile(r"(?r)[^\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{RI}]")
IN_WORD = regex.compile(SPELLING, regex.VERSION1)
UNSPACED_SIGN = regex.compile(UNSPACED, regex.VERSION1)
# Signs of Chinese and Japanese, of which a line may end at any.
IDEOGRAPHIC_SIGN = r"[[\p{EA=W}\p{EA=F}]--[\p{sc=Hangul}\p{So}]]"
IDEOGRAPHIC = regex.compile(IDEOGRAPHIC_SIGN, regex.VERSION1)
BORDER = regex.compile(rf"(?<={IDEOGRAPHIC_SIGN})[ \t\f]*[\r\n][ \t\f\r\n]*(?={IDEOGRAPHIC_SIGN})", regex.VERSION1)
LONGEST_SPACED = 6  # characters of a word, on average, where tokenised text of such a script has spaces
LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")
# A line may end between these characters (UAX 14); Thai and its like need a dictionary.
IDEOGRAPH = r"[\p{L}&&[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{sc=Bopomofo}]]"
NEVER_FIRST = (  # of a line
    r"[[\p{LB=CL}\p{LB=CP}\p{LB=EX}\p{LB=NS}\p{LB=CJ}\p{LB=IN}\p{LB=IS}\p{LB=QU}]--\p{Pi}]"
)
NEVER_LAST = r"[\p{LB=OP}\p{Pi}]"


def spaced_words(text: str) -> list[Span]:
    """The runs of characters between white space: the words of word aligners, for text that is usually tokenised."""
    return [found.span() for found in SPACED_WORD.finditer(text)]


def reading_words(text: str) -> list[Span]:
    """Words as readers see them: punctuation is separate, and so is each character of a script without spaces."""
    return [found.span() for found in READING_WORD.finditer(text)]


def lacks_spaces(lines: Iterable[str]) -> bool:
    """Whether most letters of a text are of scripts written without spaces, and hardly any spaces separate them."""
    unspaced = letters = words = count = 0
    for line in lines:
        count += 1
        unspaced += len(UNSPACED_SIGN.findall(line))
        letters += len(LETTER_OR_DIGIT.findall(line))
        words += len(line.split())
    sentences = words < 1.2 * count and unspaced > 2 * words
    return 2 * unspaced > letters and (sentences or unspaced > LONGEST_SPACED * words)


def space_between(before: str, after: str) -> str:
    """What a line end between two lines of a broken paragraph stands for: a space, but nothing within Chinese and
    Japanese (CSS Text 3, segment breaks). Thai and its like have spaces where a clause ends."""
    return "" if all(map(IDEOGRAPHIC.match, (before[-1:], after[:1]))) else " "


def joined(lines: Iterable[str], shown: Callable[[str], str] = str) -> str:
    """Lines of one text as one line, with what `space_between` says between two.

    Args: shown: what a reader sees of a line.
    """
    text, last = "", ""
    for line in lines:
        words = shown(line)
        if last and words:
            text += space_between(last, words)
        text, last = text + line, words[-1:] or last
    return text


def unbroken(text: str) -> str:
    """A text without the ends of its lines that stand within Chinese and Japanese, where they are no spaces."""
    return BORDER.sub("", text)


def line_piece(mark: str = "(?!)") -> "regex.Pattern[str]":
    """What a line is not broken within, with the white space before it as group 1: a word between spaces, or a
    character of Chinese or Japanese with the signs around it.

    Args: mark: a pattern of marks that stay with the text beside them.
    """
    before = rf"(?:{mark}|{NEVER_LAST}){{0,9}}"
    character = rf"{before}(?={IDEOGRAPH})\X(?:{mark}|{NEVER_FIRST})*"
    return regex.compile(rf"([ \t\n]*)({character}|(?:{mark}|(?!{before}+{IDEOGRAPH})[^ \t\n])+)", regex.VERSION1)


def line_pieces(line: str, piece: "regex.Pattern[str]") -> list[tuple[str, str]]:
    """The pieces of a line, each with the space before it, if there is one. Args: piece: as `line_piece`."""
    return [(" " if found[1] else "", found[2]) for found in piece.finditer(line.rstrip(" \t\n"))]


@cache
def is_word(character: str) -> bool:
    """Whether a character is a letter, a mark, a digit or "_" of a script that separates words by spaces."""
    return IN_WORD.match(character) is not None


def is_one_word(text: str) -> bool:
    """Whether a text has no white space but at its ends, and is in a script that separates words by spaces."""
    return len(text.split()) < 2 and not UNSPACED_SIGN.search(text)


def has_letters(text: str) -> bool:
    """Whether a text has a letter or a digit of any script."""
    return LETTER_OR_DIGIT.search(text) is not None


def no_text_but(text: str, words: Iterable[str]) -> bool:
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
    base = BASE.search(text, 0, place)
    clusters = CLUSTER.finditer(text, base.start() if base else 0)
    return next((found.start() for found in clusters if found.start() >= place), None) == place


def occurs(term: str, text: str) -> bool:
    """Whether a text has a term, spelt exactly so, as whole words."""
    start = text.find(term)
    while start >= 0 and not stands_alone(text, start, start + len(term)):
        start = text.find(term, start + 1)
    return start >= 0


def owners(pieces: Sequence[Offset], words: Sequence[Span]) -> list[int]:
    """The word of each piece: the word with most of its characters, the first of equals; `NO_WORD` if there is none.

    A piece without a word's characters, such as a lone "▁" or the first bytes of a character, belongs to the word that
    continues or begins where the piece ends.
    """
    ends = [last for _, last in words]
    found = []
    for _, begin, end in pieces:
        near = first = bisect_right(ends, begin)  # earlier words end before the piece begins
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
    """The word of each piece of another segmentation of the same text: that of its first letter that has a word.

    Args: owned, pieces: words and pieces of one segmentation; sampled: the pieces of the other.
    """
    by_letter = [word for word, piece in zip(owned, pieces, strict=True) for _ in piece]
    ends = list(accumulate(map(len, sampled), initial=0))
    assert ends[-1] == len(by_letter), "both spell the same text"
    return [next((word for word in by_letter[begin:end] if word != NO_WORD), NO_WORD) for begin, end in pairwise(ends)]
