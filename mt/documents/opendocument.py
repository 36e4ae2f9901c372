"""OpenDocument texts (.odt): paragraphs and headings, with those of headers, footers, notes and text boxes."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mt.documents.package import read_package
from mt.documents.parsed import Parsed
from mt.documents.parts import Kind, Part, Segmented, text
from mt.documents.xml import fill, parse_xml, parsed_tree, parts_of
from mt.text.xml import local

PARTS = frozenset({"content.xml", "styles.xml"})
UNCHANGED = frozenset({"tracked-changes", "annotation"})  # what was deleted, and comments
RUBY = frozenset({"ruby", "ruby-base", "ruby-text"})  # marks around words, and the reading over them: of the source


def read_odt(data: bytes) -> Parsed:
    return read_package(data, "content.xml", _read, "an .odt document")


def _read(name: str, part: bytes, _: Mapping[str, bytes]) -> Parsed | None:
    if name not in PARTS:
        return None
    root = parse_xml(part, name)
    found = [
        (segmented, partial(fill, one, copied=False))
        for one in root.iter("{*}p", "{*}h")
        if not any(local(around) in UNCHANGED for around in one.iterancestors())
        and (segmented := Segmented(_spaced(parts_of(one, _kind)), _is_tab)).texts
    ]
    return parsed_tree(root, part, found)


def _kind(child: Any) -> Kind:
    match local(child):
        case "span" | "a" | "meta" | "ruby" | "ruby-base":
            return Kind.opening
        case "line-break":
            return Kind.line_break
        case name if name.endswith(("-number", "-ref", "-count", "-name", "date", "time", "sequence")):
            return Kind.literal  # a field
        case _:
            return Kind.alone


def _spaced(parts: Sequence[Part]) -> list[Part]:
    """Line ends of the file as spaces, and single spaces that are elements within the text; wider ones are layout.
    Words with a reading over them are text without it."""
    found, begun = list[Part](), False
    for part in parts:
        if part.kind in (Kind.opening, Kind.closing, Kind.alone) and local(part.content) in RUBY:
            continue
        if part.content == "\n":
            part = text(" ")
        elif part.kind is Kind.alone and local(part.content) == "s":
            single = begun and all(value == "1" for name, value in part.content.items() if name.endswith("}c"))
            part = text(" ") if single else Part(Kind.line_break, part.content)
        begun = begun or (part.kind is Kind.text and bool(part.content.strip()))
        found.append(part)
    return found


def _is_tab(part: Part) -> bool:
    return part.kind is Kind.alone and local(part.content) == "tab"
