"""Numbers, dates, amounts and codes of a text, and whether a translation kept them.

Numbers are compared by their digits and the place of their decimal mark, not by how a language groups or writes them:
"1,000.5", "1.000,5", "1 000,5" and "١٠٠٠٫٥" are equal. A date or a time counts as the numbers in it. A code, such as
"A-17b" or "X200", is compared as a whole, ignoring case.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import regex

# A code has a letter and a digit in one run; a number has digits, with single marks or spaces between them. A space
# groups digits only where three follow it.
RUN = regex.compile(r"(?<![\p{L}\d\-_/])[\p{L}\-_/]*+\d[\p{L}\d\-_/]*+")  # with a digit; a code is in one
LAST_DIGIT = regex.compile(r"(?r)\d")
LAST_LETTER = regex.compile(r"(?r)[\p{Latin}\p{Cyrillic}\p{Greek}]")
CODE = regex.compile(r"[\p{L}\d]+(?:[\-_/][\p{L}\d]+)*")
NUMBER = regex.compile(r"\d+(?:[.,’'٫٬]\d+|[ \u00a0\u2009\u202f](?=\d{3}(?!\d))\d{3})*")
DIGIT = regex.compile(r"\d")
GROUPED = regex.compile(r"\d{1,3}(?:([.,’'٬ \u00a0\u2009\u202f])\d{3})(?:\1\d{3})*(?:(?!\1)[.,٫]\d+)?")
DECIMAL = regex.compile(r"\d+[.,٫]\d+")
POINT = regex.compile(r"[.,٫]")


@dataclass(frozen=True)
class Survival:
    """The number of numerals in the sources, and how many of them the translations contain."""

    kept: int
    total: int

    @property
    def share(self) -> float:
        """0 to 1; 1 if there are no numerals."""
        return self.kept / self.total if self.total else 1.0

    def __str__(self) -> str:
        return f"numerals kept = {100 * self.share:.1f} % ({self.kept:,} of {self.total:,})"


def numerals(text: str) -> Counter[str]:
    """The numbers and codes of a text in one spelling each, and how often each occurs.

    Digits of other scripts count by their value; "½" and "²" are not digits.
    """
    found: Counter[str] = Counter()
    place = 0
    for run in RUN.finditer(text):
        begin, end = run.span()
        place = max(place, begin)  # a number of this run may go on into the next ones
        digit, letter = LAST_DIGIT.search(text, begin, end), LAST_LETTER.search(text, begin, end + 1)
        coded = min(digit.start(), letter.start()) if digit and letter else -1  # the last place where a code may begin
        while place <= coded and (code := CODE.search(text, place)):
            found[code[0].casefold()] += 1
            place = code.end()
        while (first := DIGIT.search(text, place, end)) and (number := NUMBER.match(text, first.start())):
            found.update(_canonical(number[0]))
            place = number.end()
    return found


def survival(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> Survival:
    """The numerals of the sources that occur in the translations, line by line, at most as often as in the source.

    Only numerals that the reference also has count: a language may write "3" as a word, or "3 pm" as 15.
    """
    kept = total = 0
    for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True):
        wanted = numerals(source) & numerals(reference)
        total += wanted.total()
        kept += (wanted & numerals(hypothesis)).total()
    return Survival(kept, total)


def lost(source: str, translation: str) -> list[str]:
    """The numerals of a source that its translation lacks, in one spelling each."""
    return sorted((numerals(source) - numerals(translation)).elements())


def _canonical(number: str) -> Iterable[str]:
    """ "1.000,50" as ["1000.5"]. Digits grouped unlike a number, such as "12.05.2024", give their parts."""
    grouped = GROUPED.fullmatch(number)
    if grouped or DECIMAL.fullmatch(number):
        return [_value(*POINT.split(number.replace(grouped[1], "") if grouped else number))]
    return [_value(part) for part in regex.findall(r"\d+", number)]


def _value(whole: str, decimals: str = "") -> str:
    """ASCII digits without leading and trailing zeros: ("007", "50") gives "7.5"."""
    whole = _ascii(whole).lstrip("0") or "0"
    decimals = _ascii(decimals).rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _ascii(digits: str) -> str:
    return "".join(map(_digit, digits))


@cache
def _digit(character: str) -> str:
    """A digit of any script in ASCII. `regex` knows scripts that are newer than Python's tables."""
    return next(value for value in "0123456789" if regex.match(rf"\p{{Numeric_Value={value}}}", character))
