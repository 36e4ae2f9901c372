"""A segment of a document as text and marks, and as the one line with tags that is translated.

    Click <b>here</b> & wait.    ->    Click <g1>here</g1> &amp; wait.

The line is what `mt.postprocess.markup` understands: pairs of tags, single tags, placeholders, character references.
The marks of a format (an HTML tag, the properties of a run of a .docx file) are numbered, so that a translation can be
turned back into parts whatever the format is.
"""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Any

from mt.text.tags import ENTITY
from mt.text.words import BORDER


class Kind(StrEnum):
    text = "text"
    opening = "opening"
    closing = "closing"
    alone = "alone"
    line_break = "line_break"  # a mark alone that separates words
    literal = "literal"  # part of the sentence, not to be changed


@dataclass(frozen=True, slots=True)
class Part:
    """Text without any escapes, or a mark with what its format needs to write it."""

    kind: Kind
    content: Any


MARK = re.compile(
    r'<(?P<slash>/?)g(?P<pair>\d+)>|<x(?P<alone>\d+)/>|<br id="(?P<line_break>\d+)"/>|\{\w(?P<literal>\d+)\}'
)
OBJECT = "\ufffc"  # a picture or the like in a line
NAMES = "xyzuvwabcdefghijklmnopqrst"  # of literals: one that no text has


def text(content: str) -> Part:
    return Part(Kind.text, content)


def words_of(parts: Sequence[Part]) -> str:
    """The text of parts, without their marks."""
    return "".join(part.content for part in parts if part.kind is Kind.text)


def add_part(parts: list[Part], part: Part) -> None:
    """Append a part; a text is joined with a text before it."""
    if part.kind is Kind.text and parts and parts[-1].kind is Kind.text:
        parts[-1] = text(parts[-1].content + part.content)
    else:
        parts.append(part)


def without_line_ends(parts: Sequence[Part], unseen: Callable[[Part], bool]) -> list[Part]:
    """Parts without the ends of lines within Chinese and Japanese, where they are no spaces; the characters beside one
    may be in other parts: those of a bold word that begins a line.

    Args: unseen: says of a mark alone that nothing stands in the line for it, as for a comment.
    """

    def seen(part: Part) -> str:
        if part.kind is Kind.text:
            return part.content
        gone = part.kind in (Kind.opening, Kind.closing) or (part.kind is Kind.alone and unseen(part))
        return "" if gone else OBJECT

    shown = [seen(part) for part in parts]
    dropped = {place for found in BORDER.finditer("".join(shown)) for place in range(*found.span())}
    begins = accumulate(map(len, shown), initial=0)
    return [
        text("".join(sign for place, sign in enumerate(own, begin) if place not in dropped))
        if part.kind is Kind.text else part
        for part, own, begin in zip(parts, shown, begins, strict=False)
    ]  # fmt: skip


def references(source: str) -> dict[int, str]:
    """How a stretch of a page writes characters for which it has references, such as `&nbsp;`, for `str.translate`.
    Plain letters and digits, which some hide so, are not among them."""
    found = dict[int, str]()
    for match in ENTITY.finditer(source):
        sign = html.unescape(match[0])
        if len(sign) == 1 and not (sign.isascii() and (sign.isalnum() or sign.isspace())):
            found.setdefault(ord(sign), match[0])
    return found


def partners(parts: Sequence[Part]) -> dict[int, int]:
    """The places of paired openings and closings, each with the other's. A closing belongs to the last opening."""
    found, open_ones = dict[int, int](), list[int]()
    for place, part in enumerate(parts):
        if part.kind is Kind.opening:
            open_ones.append(place)
        elif part.kind is Kind.closing and open_ones:
            other = open_ones.pop()
            found |= {place: other, other: place}
    return found


def encode(parts: Sequence[Part]) -> str:
    """The line that is translated."""
    return "".join(written for written, _ in _written(parts))


def _written(parts: Sequence[Part]) -> list[tuple[str, Part]]:
    """Each part as it stands in the line."""
    pairs = partners(parts)
    whole = words_of(parts)
    name = next((name for name in NAMES if f"{{{name}" not in whole), NAMES[0])
    found = []
    for place, part in enumerate(parts):
        match part.kind:
            case Kind.text:
                written = html.escape(part.content, quote=False)
            case Kind.opening | Kind.closing if place in pairs:
                number = min(place, pairs[place])
                written = f"<g{number}>" if part.kind is Kind.opening else f"</g{number}>"
            case Kind.line_break:
                written = f'<br id="{place}"/>'
            case Kind.literal:
                written = f"{{{name}{place}}}"
            case _:
                written = f"<x{place}/>"
        found.append((written, part))
    return found


def decode(parts: Sequence[Part], said: str) -> list[Part]:
    """The translation of a line as parts: each mark of `parts` once and well nested, with text between them.

    Where a translation lost a mark, or has one twice, all of its text takes the place of the longest text in `parts`.
    """
    written = _written(parts)
    escaped = ENTITY.search("".join(line for line, _ in written)) is not None
    marks = {line: part for line, part in written if part.kind is not Kind.text}
    found, seen, begin = list[Part](), list[str](), 0

    def add(piece: str) -> None:
        if piece:
            found.append(text(html.unescape(piece) if escaped else piece))

    for match in MARK.finditer(said):
        if match[0] in marks:
            add(said[begin : match.start()])
            found.append(marks[match[0]])
            seen.append(match[0])
            begin = match.end()
    add(said[begin:])
    if sorted(seen) == sorted(marks) and _well_nested(seen):
        return found
    return _in_one_place(parts, words_of(found))


def _well_nested(seen: Sequence[str]) -> bool:
    open_ones = list[str]()
    for mark in seen:
        if mark.startswith("<g"):
            open_ones.append(mark[2:])
        elif mark.startswith("</g") and (not open_ones or open_ones.pop() != mark[3:]):
            return False
    return not open_ones


def _in_one_place(parts: Sequence[Part], words: str) -> list[Part]:
    places = (place for place, part in enumerate(parts) if part.kind is Kind.text)
    longest = max(places, key=lambda place: len(parts[place].content.strip()))
    return [
        text(words) if place == longest else part
        for place, part in enumerate(parts)
        if place == longest or part.kind is not Kind.text
    ]


def without_empty_pairs(parts: Sequence[Part], droppable: Callable[[Part], bool]) -> list[Part]:
    """Parts without the pairs of marks that enclose nothing, and without a space that would stand before a full stop.

    Args: droppable: says of a closing mark whether its pair has a meaning only where it encloses text.
    """
    found, dropped = list[Part](), False
    for part in parts:
        if part.kind is Kind.closing and found and found[-1].kind is Kind.opening and droppable(part):
            found.pop()
            dropped = True
            continue
        spaced = found and found[-1].kind is Kind.text and found[-1].content.endswith(" ")
        if dropped and spaced and part.kind is Kind.text and part.content[:1] in " .,;:!?)":
            found[-1] = text(found[-1].content.rstrip(" "))
        found.append(part)
        dropped = False
    return found


def with_spaces_outside(parts: Sequence[Part], tight: Callable[[Part], bool]) -> list[Part]:
    """Parts without spaces at the inner ends of pairs: they stand before or after the pair, but not around everything.

    Args: tight: says of a mark whether its pair must not begin or end with a space.
    """
    after = _spaces_passed(parts, Kind.closing, tight)
    return _mirrored(_spaces_passed(_mirrored(after), Kind.opening, tight))


def _mirrored(parts: Sequence[Part]) -> list[Part]:
    return [text(part.content[::-1]) if part.kind is Kind.text else part for part in reversed(parts)]


def _spaces_passed(parts: Sequence[Part], kind: Kind, tight: Callable[[Part], bool]) -> list[Part]:
    """The parts with spaces before tight marks of a kind moved behind these."""
    found, moved = list[Part](), False
    for part in parts:
        if part.kind is kind and tight(part):
            if found and found[-1].kind is Kind.text and found[-1].content.endswith(" "):
                words, moved = found.pop().content.rstrip(" "), True
                found += [text(words)] if words else []
        elif moved:
            begins = part.kind is Kind.text and part.content.startswith(" ")
            found += [] if begins else [text(" ")]
            moved = False
        found.append(part)
    return found


def has_letters(parts: Sequence[Part]) -> bool:
    """Whether there is a letter in the text of the parts."""
    return any(part.kind is Kind.text and any(map(str.isalpha, part.content)) for part in parts)


def trim(parts: Sequence[Part]) -> tuple[int, int]:
    """The first and last place (exclusive) of what is translated: without marks and white space around it.

    A pair of marks around everything stays outside; a literal is part of the sentence.
    """
    pairs, low, high = partners(parts), 0, len(parts)
    # How many parts before each place belong to a sentence.
    worded = [0, *accumulate(part.kind is Kind.literal or has_letters([part]) for part in parts)]

    def idle(place: int) -> int:
        """How many parts hold nothing to translate, from a place inwards."""
        part = parts[place]
        if part.kind is Kind.text:
            return int(not part.content.strip())
        if part.kind is Kind.literal:
            return 0
        begin, end = sorted((place, pairs.get(place, place)))
        inside = low <= begin and end < high
        return end + 1 - begin if inside and worded[end + 1] == worded[begin] else 0

    while low < high:
        if idle(low):
            low += idle(low)
        elif idle(high - 1):
            high -= idle(high - 1)
        elif pairs.get(low) == high - 1 and parts[low].kind is Kind.opening:
            low, high = low + 1, high - 1
        else:
            break
    return low, high


class Segmented:
    """Parts as segments: what stands between separators, without the marks around it."""

    def __init__(self, parts: Sequence[Part], separates: Callable[[Part], bool]) -> None:
        self.parts = parts
        self.ranges = list[tuple[int, int]]()
        begin = 0
        for place in range(len(parts) + 1):
            if place == len(parts) or separates(parts[place]):
                low, high = trim(parts[begin:place])
                if has_letters(parts[begin + low : begin + high]):
                    self.ranges.append((begin + low, begin + high))
                begin = place + 1
        self.texts = [encode(parts[low:high]) for low, high in self.ranges]

    def with_translations(self, said: Sequence[str]) -> list[Part]:
        """All parts, with a translation in the place of each segment."""
        found, place = list[Part](), 0
        for (low, high), one in zip(self.ranges, said, strict=True):
            found += [*self.parts[place:low], *decode(self.parts[low:high], one)]
            place = high
        return [*found, *self.parts[place:]]
