"""What a whole word is, in the text of a source and of a translation alike."""

import re
import unicodedata
from functools import cache

# Scripts written without spaces, where a word may begin and end at any character: Thai, Lao, Myanmar, Khmer, kana, Han.
NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # fmt: skip  # noqa: E501
SPACELESS = re.compile(f"[{NO_SPACES}]")


@cache
def is_word(character: str) -> bool:
    """Whether it is a letter, a mark on one, a digit or "_", in a script that parts words by spaces."""
    part_of_word = character == "_" or unicodedata.category(character)[0] in "LMN"
    return part_of_word and not SPACELESS.match(character)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is cut out of the text between words, not within one."""
    cut_before = start > 0 and is_word(text[start - 1]) and is_word(text[start])
    cut_after = end < len(text) and is_word(text[end - 1]) and is_word(text[end])
    return not (cut_before or cut_after)


def occurs(term: str, text: str) -> bool:
    """Whether a term stands in a text as whole words, spelt exactly so."""
    start = text.find(term)
    while start >= 0 and not stands_alone(text, start, start + len(term)):
        start = text.find(term, start + 1)
    return start >= 0
