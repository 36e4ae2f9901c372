"""Long text: where sentences end, and where a sentence that is too long is best cut.

Sentences are found by sentencex, which works by rules and lists of abbreviations for many languages and keeps every
character. Nothing here is lost or tidied: a `Layout` gives back the text that it was made of.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from mt.text.words import Span, may_divide

# After these a clause has ended. The second class stands in scripts without spaces.
CLAUSE_END = re.compile(r"[,;:)\]–—…](?=\s)|[，；：、）】؛،。！？]")
SPACE = re.compile(r"\s+")
REACH = 0.25  # a clause's end is taken if it lies so near to the middle, as a share of the text's length
NEAR = 8  # characters: so far from the middle of a text without spaces a cut is moved to the end of a character


@dataclass(frozen=True)
class Layout:
    """The parts of a text, and the white space before, between and after them: one gap more than parts."""

    parts: list[str]
    gaps: list[str]

    @property
    def text(self) -> str:
        """The text that was laid out."""
        return self.gaps[0] + "".join(chain.from_iterable(zip(self.parts, self.gaps[1:], strict=True)))

    def spans(self) -> list[Span]:
        """Where the parts stand in the text."""
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
            inner = cut.get(place)
            parts += inner.parts if inner else [part]
            gaps += [*inner.gaps[1:-1], gap] if inner else [gap]
        return Layout(parts, gaps)


@dataclass(frozen=True)
class Usual:
    """What a source line of the training text holds, but for the few longest. A model does badly with more at once:
    one that has read single sentences only makes one sentence of three."""

    pieces: int
    sentences: int = 1
    ratio: float | None = None  # target pieces for each source piece, end marks counted; None: not known


def whole(text: str) -> Layout:
    """The text as one part; none where there is only white space."""
    return _laid_out([text])


def sentences(text: str, language: str) -> Layout:
    """Args: language: its code; one that is not known is split by rules that fit most."""
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

    pieces = segment(language or "en", text)
    return _laid_out(pieces if "".join(pieces) == text else [text])


def divided(text: str, fits: Callable[[str], bool]) -> Layout:
    """Parts that fit, each as long as the next if it can be: the text is halved until all do.

    Halves part at the end of a clause near the middle, or else between the two words nearest to it, or else, within a
    single long word, in its middle. `text` has no white space at its ends.
    """
    done: list[str] = []
    waiting = [text]
    while waiting:
        piece = waiting.pop()
        if len(piece) < 2 or fits(piece):
            done.append(piece)
        else:
            place = middle(piece)
            waiting += [piece[place:], piece[:place]]
    return _laid_out(done)


def halves(text: str) -> Layout:
    """A text in two, cut as in `divided`; whole where that would divide a word."""
    place = middle(text) if len(text) > 1 else 0
    return _laid_out([text[:place], text[place:]]) if may_divide(text, place) else whole(text)


def middle(text: str) -> int:
    """Where to cut a text in two, never at its ends. See `divided`."""
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


def _laid_out(pieces: list[str]) -> Layout:
    """Pieces that together are the text: white space at their ends becomes gaps, and so do pieces without a word."""
    parts: list[str] = []
    gaps = [""]
    for piece in pieces:
        part = piece.strip()
        if not part:
            gaps[-1] += piece
            continue
        start = piece.index(part)
        gaps[-1] += piece[:start]
        parts.append(part)
        gaps.append(piece[start + len(part) :])
    return Layout(parts, gaps)
