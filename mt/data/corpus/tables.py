"""Rows of columns to pairs: TSV, CSV and the first sheet of an XLSX workbook.

Which two columns hold the text is what `data.columns` says, else what a header says, else the first two. Where these do
not look like text (ids, scores) and exactly two others do, these are taken. Otherwise nothing is guessed.
"""

import csv
import logging
import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from mt.data.corpus.names import kind_of
from mt.data.corpus.pair import Origin, Pair, Sides
from mt.errors import DataError
from mt.text.lines import MAX_RATIO, PLENTY, read_lines, too_large
from mt.text.words import has_letters

logger = logging.getLogger("mt")  # `mt.log` imports what a mistyped option need not wait for

Row = tuple[int, list[str]]  # its number, from 1, and its cells
SAMPLE = 100  # rows that are looked at before the first is used
DELIMITERS = ",;\t|"
SHOWN = 4  # columns in a message
ISO_639_1 = """
aa ab af am an ar as ay az ba be bg bn bo br bs ca ce co cs cv cy da de dv dz ee el en eo es et eu fa fi fo fr fy
ga gd gl gn gu ha he hi hr ht hu hy ia id ig is it iu ja jv ka kg kk km kn ko ks ku kw ky la lb lg ln lo lt lv mg
mi mk ml mn mr ms mt my nb ne nl nn no nv ny oc om or os pa pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm
sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo zh zu
"""
CODES = frozenset(ISO_639_1.split())


def read_tsv(file: str, sides: Sides) -> Iterator[Pair]:
    """A file with tabs between columns; there is no quoting."""
    return read_rows(file, tsv_rows(file), sides, "tab")


def read_csv(file: str, sides: Sides) -> Iterator[Pair]:
    """A file with quoted cells, which may hold line ends; the delimiter is found from the first rows."""
    return read_rows(file, csv_rows(file), sides, "second column")


def read_xlsx(file: str, sides: Sides) -> Iterator[Pair]:
    """The rows of the first sheet."""
    from mt.data.corpus.xlsx import rows_of

    try:
        with zipfile.ZipFile(file) as book:
            if sum(item.file_size for item in book.infolist()) > max(
                PLENTY, MAX_RATIO * sum(item.compress_size for item in book.infolist())
            ):
                raise too_large(file)
            yield from read_rows(file, rows_of(book, file), sides, "second column")
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"`{file}` cannot be read as an XLSX workbook ({error}).") from None


def tsv_rows(file: str) -> Iterator[Row]:
    return ((number, line.split("\t")) for number, line in enumerate(read_lines(file), 1))


def csv_rows(file: str) -> Iterator[Row]:
    """Raises: DataError: for quotes that do not close, with the line."""
    reader = csv.reader((line + "\n" for line in read_lines(file)), delimiter=_delimiter(file), strict=True)
    try:
        for row in reader:
            yield reader.line_num, [" ".join(cell.split("\n")).strip() for cell in row]
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: this is not CSV: {error}.") from None


def read_rows(file: str, rows: Iterator[Row], sides: Sides, separator: str) -> Iterator[Pair]:
    """Args: separator: what parts two columns, for the message about a row that has only one.

    An empty row is an empty pair, which cleaning counts.
    Raises: DataError: for a row with too few columns, and where the columns cannot be known.
    """
    sample = list(islice(rows, SAMPLE))
    src, tgt, header = find_columns(file, [cells for _, cells in sample], sides)
    for number, cells in chain(sample[header:], rows):
        if not any(cells):
            yield Pair("", "", Origin(file, number))
        elif len(cells) <= max(src, tgt):
            found = f"has no {separator}" if len(cells) == 1 else f"has {len(cells)} columns"
            plain = (src, tgt, separator) == (0, 1, "tab")
            wanted = "be source, tab, target" if plain else f"have at least {max(src, tgt) + 1} columns"
            raise DataError(f"{file}:{number}: the line must {wanted}, but {found}.")
        else:
            yield Pair(cells[src], cells[tgt], Origin(file, number))


def find_columns(file: str, sample: Sequence[list[str]], sides: Sides) -> tuple[int, int, int]:
    """The places of source and target in a row, and the number of header rows: 0 or 1."""
    first = [cell.strip().lower() for cell in sample[0]] if sample else []
    if sides.columns:
        return _given(file, first, sides.columns)
    for src, tgt in sides.candidates:
        if src.lower() in first and tgt.lower() in first:
            i, j = first.index(src.lower()), first.index(tgt.lower())
            if j < i:
                raise DataError(
                    f"{file}:1: the header says {tgt} to {src}, but the settings say {src} to {tgt}.",
                    hint=f"if the header is right, write `data.columns=[{src},{tgt}]`.",
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
    """The languages of a table whose first row is two codes, such as "en" and "de", over rows that are none."""
    rows = {".tsv": tsv_rows, ".csv": csv_rows}.get(kind_of(file))
    first, *others = [cells for _, cells in islice(rows(file), 3)] if rows else [[]]
    codes = [cell.strip().lower() for cell in first]
    if len(others) < 2 or len(set(codes)) != 2 or not CODES.issuperset(codes):
        return None
    return (
        None if any(CODES.issuperset(cell.strip().lower() for cell in row) for row in others) else (codes[0], codes[1])
    )


def _given(file: str, first: list[str], columns: Sequence[str]) -> tuple[int, int, int]:
    """`data.columns`: numbers from 1, or names in the first row, which is then a header."""
    if all(name.isdecimal() and int(name) > 0 for name in columns):
        return int(columns[0]) - 1, int(columns[1]) - 1, 0
    missing = [name for name in columns if name.lower() not in first]
    if missing:
        raise DataError(f"`{file}` has no column `{missing[0]}`; its first row is {', '.join(first) or 'empty'}.")
    return first.index(columns[0].lower()), first.index(columns[1].lower()), 1


def _looks_like_text(sample: Sequence[list[str]], column: int) -> bool:
    """Whether most cells of a column hold letters that are no address, code or single word of digits."""
    cells = [row[column].strip() for row in sample if column < len(row) and row[column].strip()]
    return 2 * sum(has_letters(cell) and not _is_plain_number(cell) for cell in cells) > len(cells)


def _is_plain_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _delimiter(file: str) -> str:
    """The sign that splits the first rows into equally many columns, at least two; a comma where none does."""
    lines = [line + "\n" for line in islice(read_lines(file), SAMPLE)]
    for delimiter in DELIMITERS:
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
        except csv.Error:
            continue
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    return ","
