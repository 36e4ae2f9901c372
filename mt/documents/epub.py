"""EPUB books: their pages, and the titles of chapters in the table of contents."""

import html
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote

from mt.documents.html import read_html
from mt.documents.html_scan import attributes, scan
from mt.documents.package import read_package
from mt.documents.parsed import Parsed, renamed
from mt.errors import DataError

PAGES = frozenset({".xhtml", ".html", ".htm", ".ncx"})
TYPES = frozenset({"application/xhtml+xml", "application/x-dtbncx+xml", "text/html", "text/x-oeb1-document"})
PACKAGE = ".opf"  # what says of the book in which language it is
ENCRYPTED = re.compile(r"\bURI\s?=\s?[\"']([^\"']+)")  # in `META-INF/encryption.xml`; fonts may be among them
LANGUAGE = re.compile(r"<dc:language\b[^<>]*>([^<>]+)</dc:language>")


def read_epub(data: bytes) -> Parsed:
    return read_package(data, "META-INF/container.xml", _read, "an .epub book")


def _read(name: str, part: bytes, parts: Mapping[str, bytes]) -> Parsed | None:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in {*PAGES, PACKAGE} and not _is_listed(name, part, parts):
        return None
    try:
        return _read_package_file(part) if suffix == PACKAGE else read_html(part, xml=True)
    except DataError as error:
        if name in map(unquote, ENCRYPTED.findall(parts.get("META-INF/encryption.xml", b"").decode("latin-1"))):
            raise DataError(f"{name} is encrypted.", hint="take a copy of the book without copy protection.") from None
        raise DataError(f"{name}: {error.message}", hint=error.hint) from None


def _is_listed(name: str, part: bytes, parts: Mapping[str, bytes]) -> bool:
    """Whether a package file lists a part as a page; a picture, of which a book has many, does not begin with a tag."""
    packages = (one for one in parts if one.lower().endswith(PACKAGE))
    return b"<" in part[:64] and any(name in _listed(PurePosixPath(one).parent, parts[one]) for one in packages)


@lru_cache(4)  # each part of a book asks for it
def _listed(folder: PurePosixPath, package: bytes) -> frozenset[str]:
    """The pages that the file of a folder lists, whatever their suffix: some books have chapters in `main1.xml`."""
    content = package.decode("utf-8", "replace")
    tags = (one for one in scan(content, xml=True) if one.name in {"item", "opf:item"} and not one.closing)
    items = (attributes(content, one) for one in tags)
    found = ({name: html.unescape(content[slice(*place)]) for name, place in item.items()} for item in items)
    pages = (item.get("href", "") for item in found if item.get("media-type", "").lower() in TYPES)
    return frozenset(normpath(folder / unquote(page)) for page in pages)


def _read_package_file(part: bytes) -> Parsed:
    """The languages of the book; nothing of the file is translated."""
    named = [(found[1].strip(), "") for found in LANGUAGE.finditer(part.decode("latin-1"))]

    def rename(written: bytes, src: str, tgt: str) -> bytes:
        content = written.decode("latin-1")  # gives each byte back
        return renamed(content, [found.span(1) for found in LANGUAGE.finditer(content)], src, tgt).encode("latin-1")

    return Parsed([], lambda said: part, languages=named, rename=rename)
