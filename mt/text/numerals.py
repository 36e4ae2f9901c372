"""Numbers, dates, amounts and codes of a text, and whether a translation kept them.

Numbers are compared by their digits and the place of their decimal mark, not by how a language groups or writes them:
"1,000.5", "1.000,5", "1 000,5" and "١٠٠٠٫٥" are equal. A date or a time counts as the numbers in it. A code, such as
"A-17b" or "X200", is compared as a whole, ignoring case.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import regex

# A code has a letter and a digit in one run; a number has digits, with single marks or spaces between them. A space
# groups digits only where three follow it.
TOKEN = regex.compile(
    r"(?P<code>(?=[\p{L}\d\-_/]*\d)(?=[\p{L}\d\-_/]*[\p{Latin}\p{Cyrillic}\p{Greek}])[\p{L}\d]+(?:[\-_/][\p{L}\d]+)*)"
    r"|(?P<number>\d+(?:[.,’'٫٬]\d+|[ \u00a0\u2009\u202f](?=\d{3}(?!\d))\d{3})*)"
)
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
    for match in TOKEN.finditer(text):
        if match["code"]:
            found[match["code"].casefold()] += 1
        else:
            found.update(_canonical(match["number"]))
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
    return "".join(str(unicodedata.digit(digit)) for digit in digits)
