"""The cells of the first sheet of a workbook (ECMA-376, SpreadsheetML); formulas give their last value."""

import zipfile
from collections.abc import Iterator

from mt.text.xml import elements, local, plain_text

SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
BOOK, LINKS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
MOST_COLUMNS = 16_384  # of a sheet


def rows_of(book: zipfile.ZipFile, file: str) -> Iterator[tuple[int, list[str]]]:
    """The number of each row and its cells, which are empty where the sheet has none."""
    shared = list(_strings(book, file)) if STRINGS in book.namelist() else []
    with book.open(_first_sheet(book, file)) as stream:
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


def _first_sheet(book: zipfile.ZipFile, file: str) -> str:
    """The member with the sheet that the workbook shows first: after some edits it is not called `sheet1.xml`."""
    if not {BOOK, LINKS} <= {*book.namelist()}:
        return SHEET
    with book.open(BOOK) as sheets, book.open(LINKS) as links:
        wanted = next((sheet.get(RELATION) for sheet in elements(sheets, file, {"sheet"})), None)
        targets = {str(link.get("Id")): str(link.get("Target")) for link in elements(links, file, {"Relationship"})}
    target = targets.get(str(wanted), "worksheets/sheet1.xml")
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _strings(book: zipfile.ZipFile, file: str) -> Iterator[str]:
    with book.open(STRINGS) as stream:
        for item in elements(stream, file, {"si"}):
            yield plain_text(item, file, skipped={"rPh"})  # readings of Japanese words


def _column(reference: str, otherwise: int) -> int:
    """ "C7" is 2."""
    place = 0
    for letter in reference.rstrip("0123456789"):
        place = 26 * place + ord(letter) - ord("A") + 1
    if not 0 <= place <= MOST_COLUMNS:
        raise ValueError(f"there is no column {reference[:20]!r}")
    return place - 1 if place else otherwise
