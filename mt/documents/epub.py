"""EPUB books: their pages, and the titles of chapters in the table of contents."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from mt.documents.html import read_xhtml
from mt.documents.package import read_package
from mt.documents.parsed import Parsed
from mt.errors import DataError

PAGES = frozenset({".xhtml", ".html", ".htm", ".ncx"})


def read_epub(data: bytes) -> Parsed:
    return read_package(data, "META-INF/container.xml", _read, "an .epub book")


def _read(name: str, part: bytes, _: Mapping[str, bytes]) -> Parsed | None:
    if PurePosixPath(name).suffix.lower() not in PAGES:
        return None
    try:
        return read_xhtml(part)
    except DataError as error:
        raise DataError(f"{name}: {error.message}", hint=error.hint) from None
