"""Rows of columns to pairs: TSV, CSV and the first sheet of an XLSX workbook.

Which two columns hold the text is what `data.columns` says, else what a header says, else the first two. Where these do
not look like text (ids, scores) and exactly two others do, these are taken. Otherwise nothing is guessed.
"""

import csv
import logging
import re
import shlex
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice

from mt.data.corpus.names import kind_of
from mt.data.corpus.pair import Origin, Pair, Sides
from mt.errors import DataError, counted
from mt.files import ZIP_DAMAGE
from mt.text.languages import code_of
from mt.text.lines import MAX_RATIO, PLENTY, read_lines, too_large
from mt.text.words import has_letters
from mt.text.xml import elements, local, plain_text

logger = logging.getLogger("mt")
Row = tuple[int, list[str]]  # its number, from 1, and its cells
SAMPLE = 100  # rows that are looked at before the first is used
DELIMITERS = ",;\t|"
MANY = 1 << 30  # columns, more than there are
SHOWN = 4  # columns in a message
# Parts of a workbook (ECMA-376, SpreadsheetML).
SHEET, STRINGS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
BOOK, LINKS = "xl/workbook.xml", "xl/_rels/workbook.xml.rels"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
MOST_COLUMNS = 16_384  # of a sheet
SEPARATOR = re.compile(r"sep=(.)")  # what Excel writes first, to tell itself


def read_tsv(file: str, sides: Sides) -> Iterator[Pair]:
    """A file with tabs between columns; there is no quoting."""
    return read_rows(file, tsv_rows(file), sides, "tab")


def read_csv(file: str, sides: Sides) -> Iterator[Pair]:
    """A file with quoted cells, which may hold line ends; the delimiter is found from the first rows."""
    return read_rows(file, csv_rows(file), sides, "second column")


def read_xlsx(file: str, sides: Sides) -> Iterator[Pair]:
    """The rows of the first sheet."""
    try:
        with zipfile.ZipFile(file) as book:
            packed = sum(item.compress_size for item in book.infolist())
            if sum(item.file_size for item in book.infolist()) > max(PLENTY, MAX_RATIO * packed):
                raise too_large(file)
            yield from read_rows(file, xlsx_rows(book, file), sides, "second column")
    except (*ZIP_DAMAGE, LookupError) as error:
        raise DataError(f"`{file}` cannot be read as an XLSX workbook ({error}).") from None


def tsv_rows(file: str) -> Iterator[Row]:
    return ((number, line.split("\t")) for number, line in enumerate(read_lines(file), 1))


def csv_rows(file: str) -> Iterator[Row]:
    """Raises: DataError: for quotes that do not close, with the line where they open."""
    lines = (line + "\n" for line in read_lines(file))
    delimiter, skipped = _delimiter(file)
    reader = csv.reader(islice(lines, skipped, None), delimiter=delimiter, strict=True, skipinitialspace=True)
    begins = skipped + 1
    try:
        for row in reader:
            yield reader.line_num + skipped, [" ".join(cell.split("\n")).strip() for cell in row]
            begins = reader.line_num + skipped + 1
    except csv.Error as error:
        raise DataError(f"{file}:{begins}: the row that begins here is not CSV: {error}.") from None


def xlsx_rows(book: zipfile.ZipFile, file: str) -> Iterator[tuple[int, list[str]]]:
    """The number of each row and its cells, empty where the sheet has none; formulas give their last value."""
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


def read_rows(file: str, rows: Iterator[Row], sides: Sides, separator: str) -> Iterator[Pair]:
    """Args: separator: what parts two columns, for the message about a row that has only one.

    An empty row is an empty pair, which cleaning counts.
    Raises: DataError: for a row with too few columns, for one of a CSV file whose own commas seem to cut its text, and
    where the columns cannot be known.
    """
    sample = list(islice(rows, SAMPLE))
    src, tgt, header = find_columns(file, [cells for _, cells in sample], sides)
    width = max(src + 1, tgt + 1, len(sample[0][1]) if sample and not sides.columns else MANY)
    cut: list[int] = []
    for number, cells in chain(sample[header:], rows):
        if not any(cells):
            yield Pair("", "", Origin(file, number))
        elif len(cells) <= max(src, tgt):
            found = f"has no {separator}" if len(cells) == 1 else f"has {len(cells)} columns"
            plain = (src, tgt, separator) == (0, 1, "tab")
            wanted = "be source, tab, target" if plain else f"have at least {max(src, tgt) + 1} columns"
            raise DataError(f"{file}:{number}: the line must {wanted}, but {found}.")
        else:
            if any(cells[width:]):
                if kind_of(file) == ".csv":
                    raise DataError(
                        f"{file}:{number}: the row has {len(cells)} columns, but the first row has {width}.",
                        hint="put text that holds the delimiter in quotes; if the row is right, name the two columns, "
                        f"as in `data.columns=[{src + 1},{tgt + 1}]`.",
                    )
                cut.append(number)
            yield Pair(cells[src], cells[tgt], Origin(file, number))
    if cut and kind_of(file) == ".tsv":
        logger.warning(
            f"`{file}`: {counted(len(cut), 'row')} with more than the {width} columns of the first, whose text may be "
            f"cut at a tab; the first is line {cut[0]}"
        )


def find_columns(file: str, sample: Sequence[list[str]], sides: Sides) -> tuple[int, int, int]:
    """The places of source and target in a row, and the number of header rows: 0 or 1."""
    first = [cell.strip().lower() for cell in sample[0]] if sample else []
    if sides.columns:
        return _given(file, first, sides)
    if found := sides.among(first):
        src, tgt = found
        i, j = first.index(src), first.index(tgt)
        if j < i:
            columns = f"data.columns=[{src},{tgt}]"
            raise DataError(
                f"{file}:1: the header says {tgt} to {src}, but the settings say {src} to {tgt}.",
                hint=f"if the header is right, write `{shlex.quote(columns) if ' ' in columns else columns}`.",
            )
        return i, j, 1
    width = max(map(len, sample), default=2)
    text = [column for column in range(width) if _looks_like_text(sample, column)]
    if width <= 2 or text[:2] == [0, 1]:
        return 0, 1, 0
    if len(text) == 2:
        logger.warning(f"`{file}`: reading columns {text[0] + 1} and {text[1] + 1}; the others contain no text")
        return text[0], text[1], 0
    shown = ", ".join(repr(cell[:20]) for cell in sample[0][:SHOWN])
    raise DataError(
        f"`{file}` has {width} columns ({shown}), and it is not clear which of them are source and target.",
        hint="name them, as in `data.columns=[2,4]`.",
    )


def header_languages(file: str) -> tuple[str, str] | None:
    """The languages of a table whose first row names two, such as "en" and "de", over rows that name none.

    A language is written as the header has it, but a code for its English name. A column `id` beside two is none.
    """
    rows = {".tsv": tsv_rows, ".csv": csv_rows}.get(kind_of(file))
    first, *others = ([cells for _, cells in islice(rows(file), 3)] if rows else []) or [[]]
    named = [cell.strip() for cell in first if code_of(cell.strip())]
    named = [cell for cell in named if cell.lower() != "id"] if len(named) > 2 else named
    if len(others) < 2 or len({code_of(name) for name in named}) != 2 or len(named) != 2:
        return None
    if any(all(code_of(cell.strip()) for cell in row) for row in others):
        return None
    src, tgt = (code_of(name) if len(name) > 3 and name.isalpha() else name for name in named)
    return src, tgt


def _given(file: str, first: list[str], sides: Sides) -> tuple[int, int, int]:
    """`data.columns`: names in the first row, which is then a header, or numbers from 1, where it may be one."""
    columns = sides.columns
    if all(name.isdecimal() and int(name) > 0 for name in columns):
        src, tgt = (int(name) - 1 for name in columns)
        named = Sides(sides.src, sides.tgt).among([*first[src : src + 1], *first[tgt : tgt + 1]])
        return src, tgt, int(named is not None)
    missing = [name for name in columns if name.lower() not in first]
    if missing:
        raise DataError(f"`{file}` has no column `{missing[0]}`; its first row is {', '.join(first) or 'empty'}.")
    return first.index(columns[0].lower()), first.index(columns[1].lower()), 1


def _looks_like_text(sample: Sequence[list[str]], column: int) -> bool:
    """Whether most cells of a column hold letters that are no address, code or single word of digits."""
    cells = [row[column].strip() for row in sample if column < len(row) and row[column].strip()]
    return 2 * sum(has_letters(cell) and not _is_plain_number(cell) for cell in cells) > len(cells)


def _is_plain_number(cell: str) -> bool:
    with suppress(ValueError):
        float(cell)
        return True
    return False


def _delimiter(file: str) -> tuple[str, int]:
    """The sign between columns, and how many lines before the first row say it: 0 or 1.

    It splits the most of the first rows into equally many columns, at least two; a comma where none does. A sign before
    spaces is punctuation rather, unless quotes follow.
    """
    lines = [line + "\n" for line in islice(read_lines(file), SAMPLE)]
    if lines and (said := SEPARATOR.fullmatch(lines[0].strip())):
        return said[1], 1

    def fitness(delimiter: str) -> tuple[float, float]:
        rows = _split(lines, delimiter, skipinitialspace=True)
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width < 2:
            return 0.0, 0.0
        loose = sum(any(re.match(r" +[^ \"]", cell) for cell in row[1:]) for row in _split(lines, delimiter))
        return count / len(rows) - loose / len(rows), count / len(rows)

    return max(DELIMITERS, key=fitness), 0


def _split(lines: Sequence[str], delimiter: str, *, skipinitialspace: bool = False) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=skipinitialspace) if row]
    except csv.Error:
        return []
