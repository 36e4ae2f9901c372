"""Tests of single pairs that look wrong, without certainty. The survey counts such pairs; `mt clean` removes them."""

import re
from collections import Counter

from mt.data.corpus.pair import Pair
from mt.text.languages import alike, identify, probabilities
from mt.text.numerals import numerals

LONG_ENOUGH = 40  # characters from which the language of a single line is judged
UNLIKELY = 0.01  # probability of a language
MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|&(?:#\d+|[A-Za-z]+);|%[sd]\b|\{\w*\}")


def has_markup(pair: Pair) -> bool:
    return bool(MARKUP.search(pair.src) or MARKUP.search(pair.tgt))


def numbers_differ(pair: Pair) -> bool:
    """Whether the sides have different numerals of two digits and more."""
    return large_numerals(pair.src) != large_numerals(pair.tgt)


def large_numerals(text: str) -> Counter[str]:
    """Numerals of two digits and more: smaller ones are often words in the other language. Of a code only its numbers
    count: "27th" is 27 in most languages, and "94/55/EC" may be "94/55/EG"."""
    found: Counter[str] = Counter()
    for numeral, count in numerals(text).items():
        parts = [numeral] if numeral.replace(".", "").isdigit() else re.findall(r"\d+", numeral)
        for part in filter(lambda part: len(part) > 1, (part.lstrip("0") for part in parts)):
            found[part] += count
    return found


def looks_swapped(pair: Pair, src: str, tgt: str) -> bool:
    """Whether each side is rather in the other's language. Short pairs are not judged.

    Args: src, tgt: two languages that `is_known` and are not `alike`.
    """
    if min(len(pair.src), len(pair.tgt)) < LONG_ENOUGH:
        return False
    both = (src, tgt)
    return alike(identify(pair.src, both), tgt) and alike(identify(pair.tgt, both), src)


def in_other_language(pair: Pair, src: str, tgt: str) -> bool:
    """Whether a side is hardly in its language. Short sides, and sides without letters, are not judged.

    Args: src, tgt: languages that `is_known`.
    """
    return any(_is_foreign(text, language) for text, language in ((pair.src, src), (pair.tgt, tgt)))


def _is_foreign(text: str, language: str) -> bool:
    # Sentences full of names often look like another language, but not surely.
    return (
        len(text) >= LONG_ENOUGH
        and any(map(str.isalpha, text))
        and not alike(identify(text), language)
        and probabilities(text, [language])[language] < UNLIKELY
    )
