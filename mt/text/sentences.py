"""Long text: its sentences, and the best place to cut a sentence that is too long.

Sentences are found by sentencex, which uses rules and lists of abbreviations for many languages and keeps every
character. A `Layout` reproduces the text exactly.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

from mt.text.lines import SURROGATE
from mt.text.words import Span, may_divide

# Ends of clauses; those of the second class need no space after them.
CLAUSE_END = re.compile(r"[,;:)\]–—…](?=\s)|[，；：、）】؛،。！？]")
SPACE = re.compile(r"\s+")
REACH = 0.25  # largest distance of a clause's end from the middle, as a share of the text's length
NEAR = 8  # characters: so far from the middle of a text without spaces a cut is moved to the end of a character

# What begins a line and is no part of its text: quotation marks of mails, the sign of an item of a list, a box to tick.
LINE_SIGN = re.compile(
    r"(?=\S)(?:>[ \t]*)*(?:(?:[-*+•‣◦▪▫●○■□–—·]|#{1,6}|\(?\d{1,3}[.)]|\(?[A-Za-z]\))[ \t]+(?:\[[ xX]\][ \t]+)?)?"
)


@dataclass(frozen=True)
class Layout:
    """The parts of a text, and the white space before, between and after them: there is one more gap than parts."""

    parts: list[str]
    gaps: list[str]

    @property
    def text(self) -> str:
        """The original text."""
        return self.gaps[0] + "".join(chain.from_iterable(zip(self.parts, self.gaps[1:], strict=True)))

    def spans(self) -> list[Span]:
        """The places of the parts in the text."""
        found, place = [], 0
        for gap, part in zip(self.gaps, self.parts, strict=False):
            found.append((place + len(gap), place + len(gap) + len(part)))
            place = found[-1][1]
        return found

    def refined(self, cut: "Mapping[int, Layout]") -> "Layout":
        """Args: cut: parts by their place, each as parts of it, without white space at its ends."""
        parts: list[str] = []
        gaps = self.gaps[:1]
        for place, (part, gap) in enumerate(zip(self.parts, self.gaps[1:], strict=True)):
            inner = cut.get(place) or Layout([part], ["", ""])
            parts += inner.parts
            gaps += [*inner.gaps[1:-1], gap]
        return Layout(parts, gaps)


@dataclass(frozen=True)
class Usual:
    """Length and number of sentences of a usual source line in the training text. Models translate longer lines badly:
    one that has only seen single sentences makes one sentence of three."""

    pieces: int
    sentences: int = 1
    ratio: float | None = None  # target pieces for each source piece, end marks counted; None: not known
    marked: bool = True  # whether a usual line ends in a mark, such as a full stop


def whole(text: str) -> Layout:
    """The text as one part, or as none if it is white space only."""
    return _laid_out([text])


def sentences(text: str, language: str) -> Layout:
    """The sentences of a text. Args: language: its code; unknown languages are split by general rules."""
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

    readable = SURROGATE.sub("\ufffd", text)  # the package takes no halves of pairs
    found = segment(language or "en", readable)
    if "".join(found) != readable:
        return whole(text)
    ends = accumulate(map(len, found), initial=0)
    return _laid_out([text[begin:end] for begin, end in pairwise(ends)])


def divided(text: str, fits: Callable[[str], bool]) -> Layout:
    """Halve the text until all parts fit, so that their lengths are similar.

    A text is cut at the end of a clause near its middle, else at the white space nearest to its middle, else in the
    middle of a long word. `text` has no white space at its ends.
    """
    done: list[str] = []
    waiting = [text]
    while waiting:
        part = waiting.pop()
        if len(part) < 2 or fits(part):
            done.append(part)
        else:
            place = middle(part)
            waiting += [part[place:], part[:place]]
    return _laid_out(done)


def halves(text: str) -> Layout:
    """A text in two, cut as in `divided`; whole where that would divide a word."""
    place = middle(text) if len(text) > 1 else 0
    return cut_at(text, place) if may_divide(text, place) else whole(text)


def cut_at(text: str, place: int) -> Layout:
    """A text in two."""
    return _laid_out([text[:place], text[place:]])


def middle(text: str) -> int:
    """The place to cut a text in two, never at its ends; see `divided`."""
    half = len(text) / 2
    for places, reach in (
        ([match.end() for match in CLAUSE_END.finditer(text)], REACH * len(text)),
        ([match.start() for match in SPACE.finditer(text)], half),
    ):
        near = [place for place in places if abs(place - half) <= reach and 0 < place < len(text)]
        if near:
            return min(near, key=lambda place: abs(place - half))
    place = len(text) // 2
    around = (place + step * side for step in range(NEAR) for side in (1, -1))
    return next((near for near in around if 0 < near < len(text) and may_divide(text, near)), place)


def _laid_out(segments: list[str]) -> Layout:
    """The layout of a text from its consecutive segments; white space at their ends becomes gaps."""
    parts: list[str] = []
    gaps = [""]
    for segment in segments:
        if part := segment.strip():
            before, _, after = segment.partition(part)
            gaps[-1] += before
            parts.append(part)
            gaps.append(after)
        else:
            gaps[-1] += segment
    return Layout(parts, gaps)
