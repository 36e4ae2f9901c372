"""HTML and XHTML cut into tags and text by their positions, in time linear in the length.

A parser that builds a tree cannot write a page as it was; here everything that is not translated stays byte for byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mt.text.tags import UNQUOTED

NAME = re.compile(r"[A-Za-z][^\s/>]*")
ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>][^\s>]*)))?""")
RAW = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext"})
LONGEST_TEMPLATE = 4000  # characters, so that a page of openings is read in linear time
INSIDE_TAG = re.compile("[>\"']")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a page: a tag with its name, text (`name` is "#text"), or what is neither (`name` is "")."""

    begin: int
    end: int
    name: str
    closing: bool = False
    void: bool = False  # it ends with />


def scan(page: str, *, xml: bool = False) -> Iterator[Piece]:
    """Yield the pieces of a page from left to right. Args: xml: no element has other rules than the rest."""
    place, lower = 0, page.lower() if page.isascii() else re.sub("[A-Z]+", lambda found: found[0].lower(), page)
    while place < len(page):
        begin = page.find("<", place)
        if begin < 0:
            begin = len(page)
        elif not _is_markup(page, begin):
            following = page.find("<", begin + 1)
            end = following if following >= 0 else len(page)
            yield Piece(place, end, "#text")
            place = end
            continue
        if begin > place:
            yield Piece(place, begin, "#text")
        if begin == len(page):
            return
        piece = _markup(page, begin)
        yield piece
        place = piece.end
        if not xml and piece.name in RAW and not piece.closing and not piece.void:
            end = lower.find(f"</{piece.name}", place) if piece.name != "plaintext" else len(page)
            end = end if end >= 0 else len(page)
            if end > place:
                yield Piece(place, end, "#text")  # nothing in it is a tag
            place = end


def _is_markup(page: str, place: int) -> bool:
    following = page[place + 1 : place + 3]
    if following[:1] == "%":  # of a page that a server makes
        return page.find("%>", place + 2, place + LONGEST_TEMPLATE) >= 0
    return following[:1] in {"!", "?"} or (following.lstrip("/")[:1].isalpha() and following.lstrip("/")[:1].isascii())


def _markup(page: str, begin: int) -> Piece:
    for opening, closing in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", ">"), ("<%", "%>"), ("<!", ">")):
        if page.startswith(opening, begin):
            end = page.find(closing, begin + len(opening))
            return Piece(begin, end + len(closing) if end >= 0 else len(page), "")
    closing = page[begin + 1] == "/"
    name = NAME.match(page, begin + 1 + closing)
    end = _tag_end(page, begin + 1)
    if end < 0 or name is None:  # no tag: browsers drop the rest of the page
        return Piece(begin, len(page), "")
    void = page[end - 2] == "/" and UNQUOTED.search(page, begin, end) is None
    return Piece(begin, end, name[0].lower(), closing, void)


def _tag_end(page: str, place: int) -> int:
    """The position after the tag around `place`; -1: it never ends."""
    while match := INSIDE_TAG.search(page, place):
        if match[0] == ">":
            return match.end()
        if page[place : match.start()].rstrip()[-1:] != "=":  # only after = it quotes
            place = match.end()
            continue
        place = page.find(match[0], match.end()) + 1
        if not place:
            return -1
    return -1


def attributes(page: str, piece: Piece) -> dict[str, tuple[int, int]]:
    """The span of each attribute's value in a tag, without quotes; an empty span where it has none."""
    found = dict[str, tuple[int, int]]()
    name = NAME.match(page, piece.begin + 1)
    assert name is not None
    for match in ATTRIBUTE.finditer(page, name.end(), piece.end - 1):
        group = next((n for n in (2, 3, 4) if match[n] is not None), 0)
        found.setdefault(match[1].lower(), match.span(group) if group else (match.end(), match.end()))
    return found
