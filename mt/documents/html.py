"""HTML: each block of text is a segment with its inline tags; so are attributes that a reader sees.

Scripts, styles, code and what says `translate="no"` stay as they are; of nested `translate` the innermost counts.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from mt.documents.html_scan import Piece, attributes, scan
from mt.documents.parsed import Parsed, Raw, Spot, decoded, parsed_text, renamed, spot
from mt.documents.parts import Kind, Part, references, text, trim, without_line_ends
from mt.text.languages import direction_of
from mt.text.tags import VOID
from mt.text.words import unbroken

INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "data", "del", "dfn", "em", "font", "i", "img", "input",
    "ins", "label", "mark", "nobr", "q", "ruby", "s", "small", "span", "strike", "strong", "sub", "sup",
    "time", "u", "wbr",
})  # fmt: skip
CODE = frozenset({"code", "kbd", "samp", "tt", "var"})  # unchanged, but part of the sentence
UNCHANGED = frozenset({
    "applet", "audio", "canvas", "docauthor", "doctitle", "embed", "frameset", "iframe", "listing", "math", "noembed",
    "noframes", "object", "plaintext", "pre", "script", "style", "svg", "template", "textarea", "video", "xmp",
})  # fmt: skip
READINGS = frozenset({"rp", "rt", "rtc"})  # over words; they stay beside them
OF_SENTENCES = INLINE | CODE | READINGS
ROOTS = frozenset({"html", "ncx"})
READ = frozenset({"alt", "aria-description", "aria-label", "placeholder", "title"})
LABELLED = frozenset({"optgroup", "option"})  # what shows its attribute `label`
META = frozenset({"description", "keywords", "og:title", "og:description", "twitter:title", "twitter:description"})
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "details", "dialog", "div", "dl", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "main", "menu", "nav", "ol", "p",
    "pre", "search", "section", "table", "ul",
})  # fmt: skip
# Elements whose end tag may be left out, and what begins behind them then.
ENDED_BY = {
    "p": BLOCKS, "li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "option": {"option", "optgroup"}, "rp": READINGS,
    "rt": READINGS, "td": {"td", "th", "tr"}, "th": {"td", "th", "tr"}, "tr": {"tr"},
}  # fmt: skip
SPACE = re.compile(r"[ \t\n\r\f]+")
CHARSET = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)|^\s*<\?xml[^>]{0,200}?encoding=["']([\w.-]+)""", re.I
)
# What browsers take these encodings for: a page that names them in ASCII letters is not in UTF-16.
MEANT = {"iso-8859-1": "cp1252", "latin1": "cp1252", "utf-16": "utf-8", "utf-16le": "utf-8", "utf-16be": "utf-8"}
ESCAPED = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
SENTENCE_END = re.compile(r"[.!?:;…。！？]\W*$")


def read_fragment(page: str) -> Parsed:
    """A page, or a part of one, that is text already; it is written in UTF-8."""
    return _page(page.encode(), lambda data: (data.decode(), str.encode))


def read_html(data: bytes, *, xml: bool = False) -> Parsed:
    """Args: xml: it is XHTML."""
    declared = CHARSET.search(data[:4096])
    name = (declared[1] or declared[2]).decode("ascii", "replace").lower() if declared else ""
    return _page(data, partial(decoded, declared=MEANT.get(name, name), errors="xmlcharrefreplace"), xml=xml)


def _page(data: bytes, read: Callable[[bytes], tuple[str, Callable[[str], bytes]]], *, xml: bool = False) -> Parsed:
    """Args: read: as `decoded`."""
    page, encoded = read(data)
    named = dict.fromkeys((page[slice(*span)].strip(), "") for span in _languages(page))

    def rename(written: bytes, src: str, tgt: str) -> bytes:
        own, encoded = read(written)
        content = renamed(own, _languages(own), src, tgt)
        return encoded(_turned(content, src, tgt) if content != own else own)

    return parsed_text(page, spots_of(page, xml=xml), encoded)._replace(languages=list(named), rename=rename)


def _turned(page: str, src: str, tgt: str) -> str:
    """A page whose root says that it is written in the direction of `tgt`, where that is not the direction of `src`."""
    old, new = direction_of(src), direction_of(tgt)
    root = _root(page)
    if old == new or root is None or root.name != "html":
        return page
    if (span := attributes(page, root).get("dir")) is None:  # left to right is what pages without it have
        end = root.end - (2 if root.void else 1)
        return f'{page[:end]} dir="{new}"{page[end:]}' if new == "rtl" else page
    begin, end = span
    return f"{page[:begin]}{new}{page[end:]}" if page[begin:end].strip().lower() == old else page


def _root(page: str) -> Piece | None:
    """The tag of the root of a page, or of a table of contents."""
    root = next((piece for piece in scan(page) if piece.name not in {"", "#text"}), None)
    return None if root is None or root.closing or root.name not in ROOTS else root


def _languages(page: str) -> list[tuple[int, int]]:
    """Where the root of a page, or of a table of contents, names its language."""
    root = _root(page)
    if root is None:
        return []
    found = attributes(page, root)
    return [found[name] for name in ("lang", "xml:lang") if name in found and page[slice(*found[name])].strip()]


def spots_of(page: str, *, xml: bool = False) -> list[Spot]:
    """What is translated of a page. Args: xml: it is XHTML."""
    return _Blocks(page, xml).run()


class _Stays(IntEnum):
    """Whether the text of an element stays as it is."""

    no = 0
    said = 1  # so its author says, and may say other of what is within
    always = 2


class _Open(NamedTuple):
    """An element that is open at a place."""

    name: str
    stays: _Stays = _Stays.no


class _Blocks:
    """Collects the parts of a block of text until the next block begins."""

    def __init__(self, page: str, xml: bool) -> None:
        self.page = page
        self.xml = xml
        self.spots: list[Spot] = []
        self.parts: list[Part] = []
        self.spans: list[tuple[int, int]] = []
        self.open = [_Open("")]
        self.counts = Counter[str]()  # of the names of open elements
        self.literal = -1  # where what stays and is part of a sentence began

    def run(self) -> list[Spot]:
        for piece in scan(self.page, xml=self.xml):
            if piece.name not in ("", "#text"):
                self._tag(piece)
            elif self.open[-1].stays:
                continue
            elif piece.name == "#text":
                self._add(text(html.unescape(self.page[piece.begin : piece.end])), (piece.begin, piece.end))
            elif self.page.startswith("<!--", piece.begin):
                self._add(Part(Kind.alone, piece))
            elif self.page.startswith("<%", piece.begin):  # a template's: words come from <%= and <%-
                shown = self.page[piece.begin + 2] in "=-"
                self._add(Part(Kind.literal if shown else Kind.alone, piece))
            else:
                self._end_block()
        self._end_block()
        return self.spots

    def _tag(self, piece: Piece) -> None:
        stayed = self._close(piece) if piece.closing else self._begin(piece)
        if stayed:
            return
        if piece.name == "br":
            self._add(Part(Kind.line_break, piece))
        elif piece.name in OF_SENTENCES:
            alone = piece.void or piece.name in VOID
            kind = Kind.alone if alone else Kind.closing if piece.closing else Kind.opening
            self._add(Part(kind, piece))
        else:
            self._end_block()

    def _begin(self, piece: Piece) -> bool:
        """Begin an element. Returns: whether its tag is no mark of a text that is translated, nor a border of one."""
        while not self.xml and piece.name in ENDED_BY.get(self.open[-1].name, ()):
            self._pop(piece.begin)
        found, around = attributes(self.page, piece), self.open[-1].stays
        stays = self._said(found, around)
        if not stays:
            self._attributes(piece, found)
        if piece.void or piece.name in VOID:
            return bool(around)
        if piece.name in UNCHANGED or piece.name in READINGS or (piece.name in CODE and "translate" not in found):
            stays = _Stays.always
        if bool(stays) != bool(around):
            if stays and piece.name in OF_SENTENCES:
                self.literal = piece.begin
            else:
                self.literal = -1
                self._end_block()
        self.open.append(_Open(piece.name, stays))
        self.counts[piece.name] += 1
        return bool(stays or around)

    def _said(self, found: dict[str, tuple[int, int]], around: _Stays) -> _Stays:
        """What an element's attributes say of its text."""
        said = self._value(found, "translate") if "translate" in found else None
        if around is _Stays.always:
            return around
        if said == "no" or "notranslate" in self._value(found, "class").split():
            return _Stays.said
        return _Stays.no if said in ("yes", "") else around

    def _close(self, piece: Piece) -> bool:
        """End an element, and those within it that have not ended. Returns: as `_begin`."""
        if not self.counts[piece.name]:
            return bool(self.open[-1].stays)
        while self.open[-1].name != piece.name:
            self._pop(piece.begin)
        one = self.open[-1]
        self._pop(piece.end)
        return bool(one.stays or self.open[-1].stays)

    def _pop(self, end: int) -> None:
        """Args: end: of the last element that is open."""
        one = self.open.pop()
        self.counts[one.name] -= 1
        if bool(one.stays) == bool(self.open[-1].stays):
            return
        if self.literal < 0:
            self._end_block()
        else:
            kind = Kind.alone if one.name in READINGS else Kind.literal
            self._add(Part(kind, Piece(self.literal, end, "")))
            self.literal = -1

    def _value(self, found: dict[str, tuple[int, int]], name: str) -> str:
        """The value of an attribute in small letters; "" without one."""
        return self.page[slice(*found.get(name, (0, 0)))].lower()

    def _attributes(self, piece: Piece, found: dict[str, tuple[int, int]]) -> None:
        read = [name for name in found if name in READ]
        if piece.name == "meta" and META & {self._value(found, "name"), self._value(found, "property")}:
            read.append("content")
        if piece.name in LABELLED and "label" in found:
            read.append("label")
        if piece.name == "input" and self._value(found, "type") in {"submit", "button", "reset"}:
            read.append("value")
        for name in read:
            begin, end = found.get(name, (0, 0))
            quote = self.page[begin - 1] if self.page[begin - 1 : begin] in {'"', "'"} else ""
            content = html.unescape(self.page[begin:end])
            writer = _attribute_writer(quote, references(self.page[begin:end]))
            self.spots += spot(begin, end, [text(SPACE.sub(" ", unbroken(content)))], writer)

    def _add(self, part: Part, span: tuple[int, int] | None = None) -> None:
        self.parts.append(part)
        self.spans.append(span or (part.content.begin, part.content.end))

    def _end_block(self) -> None:
        """Make segments of the parts so far: line breaks between sentences part them."""
        parts, spans, self.parts, self.spans = self.parts, self.spans, [], []
        begin = 0
        for place, part in enumerate([*parts, Part(Kind.line_break, None)]):
            if part.kind is not Kind.line_break or (place < len(parts) and _goes_on(parts, begin, place)):
                continue
            self._segment(parts[begin:place], spans[begin:place])
            begin = place + 1

    def _segment(self, parts: list[Part], spans: list[tuple[int, int]]) -> None:
        low, high = trim(parts)
        parts, spans = parts[low:high], spans[low:high]
        if not parts:
            return
        (begin, _), (_, end) = spans[0], spans[-1]
        words = (self.page[slice(*span)] for part, span in zip(parts, spans, strict=True) if part.kind is Kind.text)
        written_as = ESCAPED | references("".join(words))
        outer = self.page[begin:end]
        begin += len(outer) - len(outer.lstrip(" \t\n\r\f"))
        end -= len(outer) - len(outer.rstrip(" \t\n\r\f"))
        parts = _stripped(_collapsed(parts))

        def render(said: list[Part], raw: Raw) -> str:
            return "".join(
                part.content.translate(written_as) if part.kind is Kind.text
                else raw(part.content.begin, part.content.end)
                for part in said
            )  # fmt: skip

        self.spots += spot(begin, end, parts, render)


def _collapsed(parts: list[Part]) -> list[Part]:
    """With one space for each run of white space, and none for the end of a line within Chinese and Japanese."""
    found = without_line_ends(parts, lambda part: part.content.name in {"", "wbr"})
    return [text(SPACE.sub(" ", part.content)) if part.kind is Kind.text else part for part in found]


def _stripped(parts: list[Part]) -> list[Part]:
    """Without white space at both ends, and with one space where two parts have one each."""
    found, spaced = list[Part](), True
    for part in parts:
        if part.kind is Kind.text:
            content = part.content.lstrip(" ") if spaced else part.content
            spaced = content.endswith(" ") if content else spaced
            part = text(content)
        elif part.kind in (Kind.alone, Kind.literal):
            spaced = False
        found.append(part)
    if found and found[-1].kind is Kind.text:
        found[-1] = text(found[-1].content.rstrip(" "))
    return [part for part in found if part.kind is not Kind.text or part.content]


def _goes_on(parts: list[Part], begin: int, place: int) -> bool:
    """Whether a sentence goes on after the line break at a place: it had not ended, and a small letter follows.

    Args: begin: where the parts before the break begin.
    """
    before = next((p.content for p in _outwards(parts, range(place - 1, begin - 1, -1)) if p.kind is Kind.text), "")
    after = next((p.content for p in _outwards(parts, range(place + 1, len(parts))) if p.kind is Kind.text), "")
    return bool(before) and not SENTENCE_END.search(before) and after.lstrip()[:1].islower()


def _outwards(parts: list[Part], places: range) -> Iterator[Part]:
    """The parts at these places up to the next line break, without blank ones."""
    for place in places:
        if parts[place].kind is Kind.line_break:
            return
        if parts[place].kind is not Kind.text or parts[place].content.strip():
            yield parts[place]


def _attribute_writer(quote: str, own: dict[int, str]) -> Callable[[list[Part], Raw], str]:
    """Writes the value of an attribute; where it had no quotes, with quotes around it. Args: own: its references."""
    outer = quote or '"'
    written_as = ESCAPED | {ord(outer): "&quot;" if outer == '"' else "&#39;"} | own

    def render(said: list[Part], _: Raw) -> str:
        words = "".join(part.content for part in said).translate(written_as)
        return words if quote else f'"{words}"'

    return render
