"""Tables whose columns are the inputs of a model: TSV with a header, or JSON lines with fields.

The source of a pair is the cells of the input columns with tabs between them (`mt.inputs.reader`). File names in cells
are relative to the folder of their table.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mt.config import Input, InputKind
from mt.data.corpus.names import bare, kind_of
from mt.data.corpus.pair import Origin, Pair
from mt.data.corpus.readers import no_pairs, read_pairs
from mt.data.corpus.records import field_text, json_line
from mt.errors import DataError
from mt.text.lines import check_file, read_lines
from mt.text.media import ADVICE, media_of

TABLES = (".tsv", ".jsonl", ".ndjson")
WRITE = 'python -c "import json, sys{more}; [print(json.dumps(row)) for row in {rows}]" {file} > {to}'
CONVERTED = {  # tables of other formats, and how Python reads their rows
    ".csv": (", csv", "csv.DictReader(open(sys.argv[1], encoding='utf-8-sig', newline=''))"),
    ".json": ("", "json.load(open(sys.argv[1], encoding='utf-8'))"),
    ".parquet": (", pyarrow.parquet", "pyarrow.parquet.read_table(sys.argv[1]).to_pylist()"),
}


class Columns:
    """Finds named columns in the lines of one table, in order: the first line of a TSV table is its header."""

    def __init__(self, inputs: Sequence[Input], file: str, *, folder: str, target: str | None = None) -> None:
        """Args: file: the name of the table for errors; folder: where file names in cells start; target: one more
        column, of text."""
        self.inputs = inputs
        self.file = file
        self.folder = folder
        self.names = [*(one.column for one in inputs), *([target] if target is not None else [])]
        self.places: list[int] | None = None
        self.records = False  # the lines are JSON objects, as the first one is

    @property
    def begun(self) -> bool:
        """Whether a line has said what the table is: its header, or a record."""
        return self.records or self.places is not None

    def __call__(self, number: int, line: str) -> list[str] | None:
        """The cells of one line, those of an empty one empty; None for the header. Raises: DataError."""
        if self.places is not None:
            cells = self._of_row(number, line, self.places)
        elif self.records or is_record(line):
            self.records = True
            cells = self._of_record(number, line)
        else:
            self.places = self._of_header(number, [name.strip() for name in line.split("\t")])
            return None
        from mt.inputs.reader import located  # imports torch

        files = (located(one.kind, cell, self.folder) for one, cell in zip(self.inputs, cells, strict=False))
        return [*files, *cells[len(self.inputs) :]]

    def _of_header(self, number: int, header: list[str]) -> list[int]:
        for name in self.names:
            if name not in header:
                raise DataError(
                    f"{self.file}:{number}: the table must have a column `{name}`, but its first line is "
                    f"{', '.join(header) or 'empty'}.",
                    hint=_meant(name, header),
                )
            if header.count(name) > 1:
                raise DataError(
                    f"{self.file}:{number}: the table must have one column `{name}`, but has {header.count(name)}.",
                    hint="rename the others.",
                )
        return [header.index(name) for name in self.names]

    def _of_row(self, number: int, line: str, places: list[int]) -> list[str]:
        row = line.split("\t")
        if line and len(row) <= max(places):
            raise DataError(
                f"{self.file}:{number}: the row must have at least {max(places) + 1} columns, but has {len(row)}."
            )
        return [row[place].strip() if line else "" for place in places]

    def _of_record(self, number: int, line: str) -> list[str]:
        where = f"{self.file}:{number}"
        if not line.strip():
            return [""] * len(self.names)
        record = json_line(line, where)
        if not isinstance(record, dict):
            raise DataError(f"{where}: the line must be a JSON object, but is `{line.strip():.40}`.")
        if missing := [name for name in self.names if name not in record]:
            found = ", ".join(map(str, record)) or "none"
            raise DataError(f"{where}: there must be a field `{missing[0]}`, but there are {found}.")
        texts = ("" if record[name] is None else field_text(record, name, where) for name in self.names)
        return [text.replace("\t", " ").strip() for text in texts]


def _meant(name: str, header: Sequence[str]) -> str:
    """The hint where a header lacks a column."""
    for found in header:
        if found.strip("\"'").casefold() == name.casefold():
            if found.casefold() != name.casefold():
                return f"write the table without quotes around its cells: {found} is not `{name}`."
            return f"did you mean `{found}`? Capital and small letters are not the same here."
    return "the first line of a table has the names of its columns, with tabs between them."


def is_record(first: str) -> bool:
    """Whether a table with this first line has JSON lines, and no header."""
    return first.lstrip().startswith("{")


def read_table(files: Sequence[str], inputs: Sequence[Input], target: str) -> Iterator[Pair]:
    """The rows of tables as pairs; no files, no pairs.

    Raises: DataError: for a file or a row that cannot be used, and for files that have no row."""
    empty = bool(files)
    for file in files:
        _check_folder(file, inputs)
        for cells, origin in _rows(file, inputs, target):
            empty = False
            yield Pair("\t".join(cells[:-1]), cells[-1], origin)
    if empty:
        raise no_pairs(files)


def _check_folder(file: str, inputs: Sequence[Input]) -> None:
    """Raises: DataError: when the files that a table names are in a folder whose name no text can hold."""
    try:
        str(Path(file).parent).encode("utf-8")
    except UnicodeEncodeError:
        if any(one.kind is not InputKind.text for one in inputs):
            raise DataError(
                f"`{file}` names files, but the name of the folder that they are in is not UTF-8.",
                hint="rename the folder.",
            ) from None


def read_sources(file: str, inputs: Sequence[Input]) -> Iterator[tuple[str, Origin]]:
    """The sources of a table with their places; the target is not read. An empty row gives empty cells.

    Raises: DataError.
    """
    return (("\t".join(cells), origin) for cells, origin in _rows(file, inputs))


def _rows(file: str, inputs: Sequence[Input], target: str | None = None) -> Iterator[tuple[list[str], Origin]]:
    check_table(file)
    columns = Columns(inputs, file, folder=str(Path(file).parent), target=target)
    for number, line in enumerate(read_lines(file), 1):
        if (cells := columns(number, line)) is not None:
            yield cells, Origin(file, number)


def unplaced(pairs: Sequence[Pair], inputs: Sequence[Input]) -> list[Pair]:
    """Rows of tables with names of files as the tables have them, so that they are the same wherever the folder is."""
    from mt.inputs.reader import as_written  # imports torch

    return [replace(pair, src=as_written(inputs, pair.src, str(Path(pair.origin.file).parent))) for pair in pairs]


def read_given(
    files: Sequence[str], columns: tuple[Sequence[Input], str], src: str | None, tgt: str | None
) -> Iterator[Pair]:
    """The pairs of files for a given model: of tables, if it has input columns, else of text.

    Args: columns: its inputs and the column of the target. Raises: DataError.
    """
    inputs, target = columns
    return read_table(files, inputs, target) if inputs else read_pairs(files, src, tgt)


def check_table(file: str) -> None:
    """Raises: DataError: unless the file is a table of a known format."""
    check_file(file)
    if found := media_of(file):
        raise DataError(f"`{file}` is {found.what}, but must be a table.", hint=ADVICE)
    if kind_of(file) not in TABLES:
        hint = ""
        if (kind := kind_of(file)) in CONVERTED and bare(file) == file:
            more, rows = CONVERTED[kind]
            to = str(Path(file).with_suffix(".jsonl"))  # in the same folder, from which the names in its cells count
            typed = WRITE.format(more=more, rows=rows, file=shlex.quote(file), to=shlex.quote(to))
            hint = f"write it as JSON lines: `{typed}`."
        raise DataError(
            f"`{file}` must be a table, with a name that ends in {', '.join(TABLES[:-1])} or {TABLES[-1]}.", hint=hint
        )
