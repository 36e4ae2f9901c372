"""Long text: where sentences end, and where a sentence that is too long is best cut.

Sentences are found by sentencex, which works by rules and lists of abbreviations for many languages and keeps every
character. Nothing here is lost or tidied: a `Layout` gives back the text that it was made of.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from mt.text.words import Span

# After these a clause has ended. The second class stands in scripts without spaces.
CLAUSE_END = re.compile(r"[,;:)\]–—…](?=\s)|[，；：、）】؛،。！？]")
SPACE = re.compile(r"\s+")
REACH = 0.25  # a clause's end is taken if it lies so near to the middle, as a share of the text's length


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


@dataclass(frozen=True)
class Usual:
    """What a source line of the training text holds, but for the few longest. A model does badly with more at once:
    one that has read single sentences only makes one sentence of three."""

    pieces: int
    sentences: int = 1


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
    return len(text) // 2


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
