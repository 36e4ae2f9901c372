"""Parse the markup of a line: its tags, its literals, and the plain text that is translated.

    Click <b>{button}</b> &amp; wait.        ->        Click Y & wait.

Tags are taken out. A literal, which must not change (a placeholder, an address), is replaced by a stand-in, a short
word that a model is likely to copy. Entities become their characters. Every position is kept.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mt.text.placeholders import ADDRESS, FIRST_NUMBER, PLACEHOLDER, QT_NUMBER
from mt.text.words import Span, has_letters


class Kind(StrEnum):
    opening = "opening"
    closing = "closing"
    alone = "alone"  # <br/>, <img ...>, a comment, a tag without its partner
    literal = "literal"  # not to be changed, and part of the sentence
    protected = "protected"  # the same, by the user's pattern


KEPT = (Kind.literal, Kind.protected)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# A tag may be a number, as in React's translations: <0>text</0>, <1/>.
NAME = r"[A-Za-z][\w:.-]*(?=[\s/>])|\d{1,3}(?=\s?/?>)"
TAG = rf"""<(?P<slash>/?)(?P<name>{NAME})(?:"[^"]{{0,4000}}"|'[^']{{0,4000}}'|[^'"<>])*?(?P<void>/?)>"""
UNQUOTED = re.compile(r"""=\s*[^\s"'=<>]+/>\Z""")  # the end of a tag whose slash belongs to a value: <a href=x/>
COMMENT = r"<!--.{0,4000}?-->|<\?.{0,4000}?\?>|<!\[CDATA\[.{0,4000}?\]\]>"  # bounded, to bound the search time
TAGS = f"(?P<comment>{COMMENT})|{TAG}"
MARK = f"{TAGS}|(?P<literal>{ADDRESS}|{PLACEHOLDER}"
DEEPEST = 50  # tags within tags; deeper tags are treated as unpaired
VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip
# These tags separate words.
BLOCK = frozenset({
    "address", "article", "aside", "blockquote", "br", "caption", "dd", "details", "div", "dl", "dt", "figcaption",
    "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option",
    "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """A tag or a literal of the line."""

    kind: Kind
    span: Span
    text: str
    name: str = ""  # of a tag


@dataclass
class Element:
    """A pair of tags, a tag alone (`closing` is empty) or a literal, over the plain text."""

    opening: str
    closing: str
    begin: int
    end: int
    literal: bool = False
    where: int = 0  # its number among the marks of the line
    spaces: tuple[bool, bool] = (False, False)  # whether there is white space before it, and after it
    block: bool = False  # words before and after it are never one word
    children: "list[Element]" = field(default_factory=list)


@dataclass(frozen=True)
class Plain:
    """The text to translate, and the elements taken out of it."""

    text: str
    elements: list[Element]
    copied: list[tuple[int, int]]  # (position in the text, position in the line) where a copied run begins

    def place_in_line(self, place: int) -> int:
        """The position in the line of a character of the text."""
        here, there = self.copied[bisect_right(self.copied, place, key=lambda pair: pair[0]) - 1]
        return there + place - here


@dataclass(frozen=True)
class Marked:
    """A line of text with its marks."""

    line: str
    marks: list[Mark]
    escaped: bool  # the line has entities, so its translation is escaped

    @property
    def literals(self) -> list[str]:
        return [mark.text for mark in self.marks if mark.kind in KEPT]

    @property
    def between(self) -> str:
        """The text outside of the marks, without entities."""
        ends = [0, *(mark.span[1] for mark in self.marks)]
        begins = [*(mark.span[0] for mark in self.marks), len(self.line)]
        return html.unescape("".join(self.line[a:b] for a, b in zip(ends, begins, strict=True)))

    @property
    def bare(self) -> bool:
        """Whether the line has no letters and digits outside of its marks."""
        return not has_letters(self.between)

    def plain(self, words: Sequence[str]) -> Plain:
        """Args: words: a stand-in for each literal."""
        return _Builder(self, iter(words)).build()


def parse(line: str, protect: re.Pattern[str] | None = None, *, tags: bool = True) -> Marked:
    """Args: protect: a pattern of more literals; tags: whether tags, placeholders and addresses are parsed."""
    found: list[Mark] = []
    marks = MARKS_AND_NUMBERS if FIRST_NUMBER.search(line) else MARKS
    patterns = [pattern for pattern in (marks if tags else None, protect) if pattern]
    ahead = [_next(pattern, line, 0) for pattern in patterns]
    while matches := [match for match in ahead if match]:
        match = min(matches, key=lambda match: match.start())
        found.append(_mark(match, match.re is not protect))
        place = match.end()  # a match that is not passed stays: no pattern reads a part of the line twice
        ahead = [one and (one if one.start() >= place else _next(one.re, line, place)) for one in ahead]
    return Marked(line, _paired(found), tags and bool(ENTITY.search(line)))


MARKS = re.compile(f"{MARK})")
MARKS_AND_NUMBERS = re.compile(f"{MARK}|{QT_NUMBER})")


def _next(pattern: re.Pattern[str], line: str, place: int) -> re.Match[str] | None:
    """The next match that has any text: `[0-9]*` matches nothing in front of the first digit."""
    return next((match for match in pattern.finditer(line, place) if match[0]), None)


def _mark(match: re.Match[str], ours: bool) -> Mark:
    if not ours:
        return Mark(Kind.protected, match.span(), match[0])
    groups = match.groupdict()
    if groups["literal"] is not None:
        return Mark(Kind.literal, match.span(), match[0])
    name = (groups["name"] or "").lower()
    if groups["comment"] or name in VOID or (groups["void"] and not UNQUOTED.search(match[0])):
        return Mark(Kind.alone, match.span(), match[0], name)
    return Mark(Kind.closing if groups["slash"] else Kind.opening, match.span(), match[0], name)


def _paired(marks: list[Mark]) -> list[Mark]:
    """Mark tags without a partner as `alone`, and leave out numbers in brackets, which are text then. A closing tag
    belongs to the last open tag of its name."""
    alone, open_ones = set(range(len(marks))), list[int]()
    for n, mark in enumerate(marks):
        if mark.kind is Kind.opening and len(open_ones) < DEEPEST:
            open_ones.append(n)
        elif mark.kind is Kind.closing:
            place = next((k for k in reversed(range(len(open_ones))) if marks[open_ones[k]].name == mark.name), None)
            if place is not None:
                alone -= {open_ones[place], n}
                del open_ones[place:]
    return [
        Mark(Kind.alone, mark.span, mark.text, mark.name) if n in alone and mark.kind not in KEPT else mark
        for n, mark in enumerate(marks)
        if n not in alone or mark.kind is Kind.alone or not mark.name.isdigit()
    ]


class _Builder:
    """Makes a `Plain` in one pass over a line."""

    def __init__(self, marked: Marked, words: Iterator[str]) -> None:
        self.marked = marked
        self.words = words
        self.text = ""
        self.copied: list[tuple[int, int]] = []
        self.stack: list[list[Element]] = [[]]

    def build(self) -> Plain:
        line, place = self.marked.line, 0
        for number, mark in enumerate(self.marked.marks):
            begin, end = mark.span
            self._copy(place, begin)
            self._take(mark, number)
            place = end
        self._copy(place, len(line))
        return Plain(self.text, self.stack[0], self.copied)

    def _copy(self, begin: int, end: int) -> None:
        """Copy the text between two marks."""
        line = self.marked.line
        while begin < end and line[begin].isspace() and self.text[-1:].isspace():
            begin += 1  # white space on both sides of a tag becomes one run
        while begin < end:
            entity = ENTITY.search(line, begin, end) if self.marked.escaped else None
            stop = entity.start() if entity else end
            self.copied.append((len(self.text), begin))
            self.text += line[begin:stop]
            if entity:
                self.copied.append((len(self.text), stop))
                self.text += html.unescape(entity[0])
                stop = entity.end()
            begin = stop

    def _take(self, mark: Mark, number: int) -> None:
        line, (begin, end) = self.marked.line, mark.span
        before, after = line[max(0, begin - 1) : begin], line[end : end + 1]
        if mark.name in BLOCK and self.text and not self.text[-1].isspace() and after.strip():
            self.text += " "
        here = len(self.text)
        spaces = before.isspace(), after.isspace()
        if mark.kind is Kind.closing:
            children = self.stack.pop()
            element = self.stack[-1][-1]
            element.closing, element.end, element.children = mark.text, here, children
            element.spaces = element.spaces[0], spaces[1]
            return
        element = Element(mark.text, "", here, here, mark.kind in KEPT, number, spaces, mark.name in BLOCK)
        self.stack[-1].append(element)
        if mark.kind is Kind.opening:
            self.stack.append([])
        elif element.literal:
            self.copied.append((here, begin))
            self.text += next(self.words)
            element.end = len(self.text)
