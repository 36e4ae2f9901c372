"""The cells of the first sheet of a workbook (ECMA-376, SpreadsheetML); formulas give their last value."""

import zipfile
from collections.abc import Iterator

from mt.text.xml import elements, local, plain_text

SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"


def rows_of(book: zipfile.ZipFile, file: str) -> Iterator[tuple[int, list[str]]]:
    """The number of each row and its cells, which are empty where the sheet has none."""
    shared = list(_strings(book, file)) if STRINGS in book.namelist() else []
    with book.open(SHEET) as stream:
        for number, row in enumerate(elements(stream, file, {"row"}), 1):
            cells: list[str] = []
            for cell in row:
                place = _column(str(cell.get("r") or ""), len(cells))
                cells += [""] * (place + 1 - len(cells))
                value = next((str(v.text or "") for v in cell if local(v) == "v"), "")
                kind = cell.get("t")
                cells[place] = (
                    shared[int(value)] if kind == "s" and value
                    else plain_text(cell, file) if kind == "inlineStr" else value
                )  # fmt: skip
            yield int(row.get("r") or number), [" ".join(cell.split("\n")).strip() for cell in cells]


def _strings(book: zipfile.ZipFile, file: str) -> Iterator[str]:
    with book.open(STRINGS) as stream:
        for item in elements(stream, file, {"si"}):
            yield plain_text(item, file, skipped={"rPh"})  # readings of Japanese words


def _column(reference: str, otherwise: int) -> int:
    """ "C7" is 2."""
    place = 0
    for letter in reference.rstrip("0123456789"):
        place = 26 * place + ord(letter) - ord("A") + 1
    return place - 1 if place else otherwise
