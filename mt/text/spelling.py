"""Letters that a text spells in two ways, which readers see as one letter and a model as two.

Three kinds are told: letters whole or in parts ("é" is one code point or two, Unicode's forms NFC and NFD); forms for
old encodings (Arabic presentation forms as PDF files have them, letters in full and in half width, ligatures); and
letters that keyboards of another language write, such as the Arabic one for the Persian ye.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import regex

from mt.text.languages import plain_code

# Another spelling than the first, where most lines have the first: Arabic for Persian and Urdu and the other way round,
# the cedilla for the Romanian comma, and Thai vowels that look alike.
OTHERWISE = {
    "ی": ("ي", "ى"), "ي": ("ی",), "ک": ("ك",), "ك": ("ک",), "ہ": ("ه",), "ه": ("ہ",),
    "ș": ("ş",), "ş": ("ș",), "ț": ("ţ",), "ţ": ("ț",), "Ș": ("Ş",), "Ş": ("Ș",), "Ț": ("Ţ",), "Ţ": ("Ț",),
    "ำ": ("ํา",), "แ": ("เเ",),
}  # fmt: skip
ODD = tuple({*OTHERWISE, *(odd for others in OTHERWISE.values() for odd in others)})
TELLING = re.compile(f"[{''.join({odd[0] for odd in ODD})}]")
# Not the Arabic ى, which is another letter than ي there.
ALIKE = {"ي": "ی", "ك": "ک", "ہ": "ه", "ş": "ș", "ţ": "ț", "Ş": "Ș", "Ţ": "Ț", "ํา": "ำ", "เเ": "แ"}
BOTH_ARE_LETTERS = {"ps": {"ی", "ي"}}  # languages that need both of a pair
# Ligatures, Arabic in presentation forms (but for words in one sign, such as ﷺ), full and half width.
FORM = re.compile("[\ufb00-\ufb06\ufb50-\ufdc7\ufe70-\ufefc\uff21-\uff3a\uff41-\uff5a\uff66-\uff9f]")
WITH_MARKS = regex.compile(r"\P{M}\p{M}+")


@dataclass(frozen=True)
class Spelling:
    """A spelling of a letter that is not the usual one; `lines`: how many have it; `first`: the first of these."""

    odd: str
    usual: str
    lines: int
    first: str

    def __str__(self) -> str:
        return f"{shown(self.odd)}, elsewhere {shown(self.usual)}"


class Spellings:
    """Collects the spellings of the letters of one side, line by line."""

    def __init__(self, language: str, signs: set[str]) -> None:
        """Args: signs: gets the signs of lines whose letters are whole; both sides may share it."""
        self._both = BOTH_ARE_LETTERS.get(plain_code(language), set[str]())
        self._signs = signs
        self._lines = Counter[str]()  # by spelling
        self._first = dict[str, str]()
        self._usual = dict[str, str]()  # of spellings that have one, whatever is usual in this text

    def add(self, line: str, place: object) -> None:
        """Args: place: what names the line, such as `a.fa:12`."""
        if unicodedata.is_normalized("NFC", line):
            self._signs.update(line)
        else:
            letters = {*WITH_MARKS.findall(line), *line}
            self._count({one: unicodedata.normalize("NFC", one) for one in letters}, place)
        if line.isascii():
            return
        self._count({one: unicodedata.normalize("NFKC", one) for one in FORM.findall(line)}, place)
        for one in ODD if TELLING.search(line) else ():
            if one in line:
                self._lines[one] += 1
                self._first.setdefault(one, str(place))

    def _count(self, found: dict[str, str], place: object) -> None:
        for one, usual in found.items():
            if one != usual:
                self._usual[one] = usual
                self._lines[one] += 1
                self._first.setdefault(one, str(place))

    def found(self) -> list[Spelling]:
        """The spellings that are not the usual ones, the most frequent first."""
        odd = {one: usual for one, usual in self._usual.items() if self._signs.issuperset(usual)}
        for usual, others in OTHERWISE.items():
            if usual not in odd and self._lines[usual] >= max(self._lines[one] for one in others):
                odd |= {one: usual for one in others if self._lines[one] and not {one, usual} <= self._both}
        some = [Spelling(one, usual, self._lines[one], self._first[one]) for one, usual in odd.items()]
        return sorted(some, key=lambda one: (-one.lines, one.odd))


def shown(letter: str) -> str:
    """A letter with its code points: readers cannot tell two spellings apart."""
    return f"{letter} ({' '.join(f'U+{ord(sign):04X}' for sign in letter)})"


def one_spelling(text: str) -> str:
    """A text with one spelling of each letter, to be compared: letters whole, no forms for old encodings, and one of
    those that look alike."""
    whole = FORM.sub(lambda found: unicodedata.normalize("NFKC", found[0]), unicodedata.normalize("NFC", text))
    for odd, usual in ALIKE.items() if TELLING.search(whole) else ():
        whole = whole.replace(odd, usual)
    return whole
