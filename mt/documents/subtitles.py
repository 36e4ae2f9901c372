"""SubRip and WebVTT subtitles. Numbers, times, positions, notes and styles stay.

A cue is a segment; a sentence that runs over several cues is one segment, and its translation is divided among them
where the links between its words cross the borders least.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from mt.documents.parsed import Parsed, Raw, Spot, decoded, lines_with_ends, parsed_text
from mt.documents.parts import Kind, Part, decode, encode, has_letters, text, trim, words_of
from mt.errors import DataError
from mt.text.words import joined, line_piece, line_pieces

TIMES = re.compile(r"\s*[\d:.,]+\s*-->\s*[\d:.,]+")
NUMBER = re.compile(r"\s*\d+\s*")
# A tag, or a reading over words with its tags.
TAG = re.compile(r"(<rt\b[^<>\n]*>[^<>\n]*</rt>|</?[A-Za-z][^<>\n]*>|<\d[\d:.]*>|\{\\[^{}\n]*\})")
# A line break of SubStation Alpha, which players show in SubRip, too; not that of C:\New.
BREAK = re.compile(r"(?<![:\\])\\N")
SPEAKER = re.compile(r"\s*[-–—‐]\s*\S")  # each line that begins so is another speaker's
DASH = re.compile(r"\s*[-–—‐]\s*")
MOST_CUES = 6  # of one sentence
PIECE = line_piece(r"<[^<>]*>|\{\\[^{}]*\}")  # with its tags, whose spaces are no borders
BORDER = Part(Kind.alone, "")


@dataclass
class _Unit:
    """Text of a cue by one speaker."""

    lines: list[tuple[int, int]]
    line_end: str
    parts: list[Part] = field(default_factory=list)
    before: str = ""  # marks around what is translated
    after: str = ""

    @property
    def words(self) -> str:
        return words_of(self.parts)


def read_subtitles(data: bytes, *, vtt: bool) -> Parsed:
    """Raises: DataError: for a text that has no cue, and is no empty WebVTT file."""
    content, encoded = decoded(data)
    timed = any(TIMES.match(content[begin:end]) for begin, end, _ in lines_with_ends(content))
    if content.strip() and not timed and not (vtt and content.startswith("WEBVTT")):
        raise DataError("this is no file of subtitles: no line has times, such as 00:00:01,000 --> 00:00:02,000.")
    units = [_with_parts(unit, content, vtt) for unit in _units(content, vtt)]
    spots = [spot for group in _groups(units) for spot in _spots(group, vtt)]
    return parsed_text(content, spots, encoded)


def _units(content: str, vtt: bool) -> list[_Unit]:
    """The text of all cues. In SubRip a cue may have blank lines; it ends where the next one begins."""
    lines = lines_with_ends(content)
    texts = [content[begin:end] for begin, end, _ in lines]
    times = [TIMES.match(one) is not None for one in texts]
    cues, inside = [list[tuple[int, int, int]]()], False
    for n, one in enumerate(texts):
        number = not vtt and NUMBER.fullmatch(one) and n + 1 < len(texts) and times[n + 1]
        if times[n] or number or not one.strip():
            cues.append([])
            inside = times[n] or (inside and not vtt and not number)
        elif inside:
            cues[-1] += [lines[n]] if vtt else _broken(content, *lines[n])
    return [unit for cue in cues if cue for unit in _speakers(content, cue)]


def _broken(content: str, begin: int, end: int, after: int) -> list[tuple[int, int, int]]:
    """A line of a file as the lines that are shown: a break within it is the line end before the next one."""
    breaks = [found.span() for found in BREAK.finditer(content, begin, end)]
    begins = [begin, *(last for _, last in breaks)]
    return [(first, *last) for first, last in zip(begins, [*breaks, (end, after)], strict=True)]


def _speakers(content: str, lines: Sequence[tuple[int, int, int]]) -> list[_Unit]:
    line_end = content[lines[0][1] : lines[0][2]] or "\n"
    units: list[_Unit] = []
    for begin, end, _ in lines:
        if units and not SPEAKER.match(TAG.sub("", content[begin:end])):
            units[-1].lines.append((begin, end))
        else:
            units.append(_Unit([(begin, end)], line_end))
    return units


def _with_parts(unit: _Unit, content: str, vtt: bool) -> _Unit:
    line = joined((content[begin:end].strip() for begin, end in unit.lines), lambda one: TAG.sub("", one))
    parts = list[Part]()
    for n, piece in enumerate(TAG.split(line)):  # text, tag, text, ...
        if n % 2:
            opens = piece[1].isalpha() and not piece.endswith("</rt>")
            kind = Kind.closing if piece[1] == "/" else Kind.opening if opens else Kind.alone
            parts.append(Part(kind, piece))
        elif piece:
            parts.append(text(html.unescape(piece) if vtt else piece))
    low, high = trim(parts)
    if low < high and parts[low].kind is Kind.text and (dash := DASH.match(parts[low].content)):
        parts[low : low + 1] = [text(dash[0]), text(parts[low].content[dash.end() :])]
        low, high = low + 1, high + 1
    unit.before, unit.after = (_raw(some, vtt).lstrip() for some in (parts[:low], parts[high:]))
    unit.parts = parts[low:high]
    return unit


def _raw(parts: Sequence[Part], vtt: bool) -> str:
    return "".join(
        html.escape(part.content, quote=False) if vtt and part.kind is Kind.text else part.content for part in parts
    )


def _groups(units: Sequence[_Unit]) -> list[list[_Unit]]:
    """Units that are one sentence: it has not ended in one, and goes on with a small letter in the next."""
    groups: list[list[_Unit]] = []
    for unit in units:
        if not has_letters(unit.parts):
            continue
        last = groups[-1][-1].words.rstrip()[-1:] if groups else ""
        goes_on = (last.isalnum() or last == ",") and unit.words.lstrip()[:1].islower()
        goes_on = goes_on and not DASH.search(TAG.sub("", unit.before))
        if groups and goes_on and len(groups[-1]) < MOST_CUES:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def _spots(group: Sequence[_Unit], vtt: bool) -> list[Spot]:
    """One spot for each cue, all with the same segment; each writes its own part of the translation."""
    parts: list[Part] = []
    for n, unit in enumerate(group):
        parts += [text(" "), BORDER, text(" ")] if n else []
        parts += unit.parts
    segment = encode(parts)

    def render(n: int, said: str, _: Raw) -> str:
        unit, written = group[n], _divided(group, decode(parts, said), vtt)[n]
        return fold(f"{unit.before}{written}{unit.after}", len(unit.lines), unit.line_end)

    spans = [(unit.lines[0][0], unit.lines[-1][1]) for unit in group]
    return [Spot(*span, segment, partial(render, n)) for n, span in enumerate(spans)]


def _divided(group: Sequence[_Unit], said: Sequence[Part], vtt: bool) -> list[str]:
    """What each cue shows; by length where a cue would be left without words."""
    shares: list[list[Part]] = [[]]
    for part in said:
        if part is BORDER:
            shares.append([])
        else:
            shares[-1].append(part)
    if all(has_letters(share) for share in shares):
        return [_raw(share, vtt).strip() for share in shares]
    pieces = line_pieces(_raw([part for part in said if part is not BORDER], vtt), PIECE)
    lengths, total = [len(unit.words) for unit in group], sum(len(unit.words) for unit in group)
    cuts = [round(len(pieces) * sum(lengths[:n]) / total) for n in range(len(group) + 1)]
    return ["".join(gap + piece for gap, piece in pieces[a:b]).lstrip() for a, b in pairwise(cuts)]


def fold(line: str, most: int, line_end: str) -> str:
    """Break a line into at most `most` lines of about equal width; tags have none."""
    pieces = line_pieces(line, PIECE)
    widths = [len(TAG.sub("", piece)) for _, piece in pieces]

    def rows_of(width: int) -> list[list[str]]:
        rows, used = list[list[str]](), width + 1
        for (gap, piece), wide in zip(pieces, widths, strict=True):
            if used + len(gap) + wide > width:
                rows.append([])
                used, gap = 0, ""
            rows[-1].append(gap + piece)
            used += len(gap) + wide
        return rows

    # The narrowest width that gives no more rows: a wider one never gives more.
    possible = range(max(widths, default=0), sum(widths) + len(pieces))
    width = bisect_left(possible, True, key=lambda width: len(rows_of(width)) <= max(most, 1))
    return line_end.join("".join(row) for row in rows_of(possible.start + width))
