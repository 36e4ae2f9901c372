"""Markdown: each paragraph, heading and table cell is a segment. Front matter, code and the targets of links stay."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from mt.documents.html import spots_of
from mt.documents.markdown_inline import (
    DEEPEST,
    SPECIAL,
    Mark,
    is_emphasis,
    is_tight,
    parser,
    read_inline,
    write_inline,
)
from mt.documents.parsed import Parsed, Raw, Spot, decoded, lines_with_ends, parsed_text, spot
from mt.documents.parts import Kind, Part, references, text, trim, with_spaces_outside, without_empty_pairs
from mt.documents.plain import wrap
from mt.errors import DataError

FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*[\r\n]+(?:.*?[\r\n])??(?:\1|\.\.\.)[ \t]*(?:[\r\n]|\Z)", re.S)
BLOCK_START = re.compile(r"(\d{1,9})(?=[.)](?:\s|$))|(?=[-+*](?:\s|$)|#{1,6}(?:\s|$)|>|```|~~~|:::|=+\s*$|-+\s*$)")
NEVER_FIRST = re.compile(r"(?:[-+*=]+|#{1,6}|\d{1,9}[.)]|(?:[>`~|<]|:::).*)$")  # of a line: it would begin a block
KINDS = {f"{kind}_open": kind for kind in ("heading", "paragraph", "title", "quoted")}
DEEPENING = frozenset({"blockquote_open", "list_item_open", "container_open"})
CLOSING_SIGNS = re.compile(r"(?<=\s)(#+)$")
BRACKETS = re.compile(r"[\\\[\]]")
BAR = re.compile(r"(?<!\\)((?:\\\\)*)\|")


class _Block(NamedTuple):
    """The content of a block, and where its lines stand in the file."""

    kind: str  # "paragraph", "heading", "cell", or "title" or "quoted", of a container
    content: str
    begins: list[int]  # of each line's text
    end: int
    indents: list[str]  # what stands before each line's text

    def place(self, begin: int, end: int) -> tuple[int, int] | None:
        """A stretch of the content in the file; None where it is not one there."""
        number = self.content.count("\n", 0, begin)
        line_begin = self.content.rfind("\n", 0, begin) + 1
        line = self.content[line_begin:].partition("\n")[0]
        if "\n" in self.content[begin:end] or self.kind == "cell":
            return None
        moved = self.begins[number] - line_begin - (len(line) - len(line.lstrip()))
        return begin + moved, end + moved


def read_markdown(data: bytes) -> Parsed:
    content, encoded = decoded(data)
    front = FRONT_MATTER.match(content)
    lines = lines_with_ends(content)
    first = sum(begin < front.end() for begin, _, _ in lines) if front else 0
    lines = lines[first:]
    env: dict[str, Any] = {}
    tokens = parser().parse(content[lines[0][0] :] if lines else "", env)
    spots, cell_end = list[Spot](), 0
    for n, token in enumerate(tokens):
        if token.type in DEEPENING and token.level + 1 >= DEEPEST:
            raise DataError(f"line {first + token.map[0] + 1}: quotes and lists are nested too deeply to be read.")
        if token.type == "html_block":
            spots += _html(content, lines[slice(*token.map)], token.content)
        elif token.type == "inline" and token.content.strip():
            kind = KINDS.get(tokens[n - 1].type, "cell")
            block = _find(content, lines, token, kind, cell_end)
            if block is not None:
                cell_end = block.end
                spots += _spots(content, block, token.children or [], env.get("references", {}))
    return parsed_text(content, spots, encoded)


def _html(content: str, lines: Sequence[tuple[int, int, int]], block: str) -> list[Spot]:
    """The spots of a block of HTML. What stands before its lines, such as the signs of quotes, counts as spaces."""
    page = list[str]()
    for (begin, stop, after), line in zip(lines, block.split("\n"), strict=False):
        place = max(begin, content.rfind(line.strip(), begin, stop))
        page += [" " * (place - begin), content[place:after]]
    return [_moved(one, lines[0][0]) for one in spots_of("".join(page))]


def _moved(one: Spot, by: int) -> Spot:
    """A spot of a part of the text as one of the whole."""

    def render(said: str, raw: Raw) -> str:
        return one.render(said, lambda begin, end: raw(begin + by, end + by))

    return Spot(one.begin + by, one.end + by, one.segment, render)


def _find(content: str, lines: Sequence[tuple[int, int, int]], token: Any, kind: str, after: int) -> _Block | None:
    """Where a block stands in the file. Args: after: where the block before it ended, for cells of one line."""
    begins, indents, end = list[int](), list[str](), 0
    for number, line in enumerate(token.content.split("\n"), token.map[0]):
        begin, stop, _ = lines[number]
        words = line.strip(" \t")
        if kind == "cell":
            begin = max(begin, after)
            found = [p for one in (words, words.replace("|", "\\|")) if (p := content.find(one, begin, stop)) >= 0]
            place = min(found, default=-1)
            words = words if content.startswith(words, place) else words.replace("|", "\\|")
        else:
            place = content.rfind(words, begin, stop)
        if place < 0:
            return None
        begins.append(place)
        indents.append(content[begin:place])
        end = place + len(words)
    return _Block(kind, token.content.strip(" \t"), begins, end, indents)


def _spots(content: str, block: _Block, tokens: Sequence[Any], definitions: dict[str, Any]) -> list[Spot]:
    parts = read_inline(block.content, tokens)
    if parts is None:
        parts = [text(" ".join(block.content.split()))]
    labels = [one for part in parts for one in _label(block, part)]
    low, high = trim(parts)
    before, parts, after = parts[:low], parts[low:high], parts[high:]
    named = "".join(one.markup for one in tokens if one.type == "text_special")
    own = {code: name for code, name in references(named).items() if code > 127}
    line_begin = max(content.rfind(sign, 0, block.begins[0]) for sign in "\r\n") + 1
    width = max(map(len, content[line_begin : block.end].split("\n")))
    line_end = "\r\n" if "\r\n" in content[block.begins[0] : block.end + 2] else "\n"

    def render(said: list[Part], raw: Raw) -> str:
        def source(mark: Mark) -> str:
            span = block.place(mark.begin, mark.begin + len(mark.source)) if mark.label else None
            return raw(*span) if span else mark.source

        said = without_empty_pairs(with_spaces_outside(said, is_tight), is_emphasis)
        written = write_inline([*before, *said, *after], definitions, source, own)
        return _laid_out(written, block, width, line_end)

    return [*labels, *spot(block.begins[0], block.end, parts, render)]


def _label(block: _Block, part: Part) -> list[Spot]:
    """The text that stands for an image."""
    if part.kind is not Kind.alone or not isinstance(part.content, Mark) or part.content.label is None:
        return []
    span = block.place(*part.content.label)
    if span is None:
        return []

    words = part.content.words
    signs = BRACKETS if words == block.content[slice(*part.content.label)] else SPECIAL

    def render(said: list[Part], _: Raw) -> str:
        return signs.sub(r"\\\g<0>", "".join(one.content for one in said))

    return spot(*span, [text(words)], render)


def _laid_out(written: str, block: _Block, width: int, line_end: str) -> str:
    """The source of a block with its lines broken and begun as they were."""
    if block.kind == "cell":
        return BAR.sub(r"\1\\|", written.replace("\n", " "))
    if block.kind in ("title", "quoted"):
        written = written.replace("\n", " ")
        return written.replace('"', "'") if block.kind == "quoted" else written
    if block.kind == "heading":
        written = CLOSING_SIGNS.sub(r"\\\1", written)
    elif start := BLOCK_START.match(written):
        written = f"{start[0]}\\{written[start.end() :]}"
    first, *others = block.indents
    indent = others[0] if others else re.sub(r"[^> \t]", " ", first)  # the marks of lists become spaces
    rows, used = list[str](), len(first)
    for row in written.split("\n"):
        if len(block.begins) > 1:
            hard = "  " if row.endswith("  ") else ""
            row = wrap(row, width, used, indent, line_end, never_first=NEVER_FIRST) + hard
        rows.append(row)
        used = len(indent)
    return f"{line_end}{indent}".join(rows)
