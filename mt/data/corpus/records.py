"""Records with named fields to pairs: JSON lines, JSON arrays, Parquet and datasets of the Hugging Face Hub."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mt.data.corpus.names import HUB_FORM
from mt.data.corpus.pair import Origin, Pair, Sides
from mt.errors import DataError, json_kind
from mt.text.lines import (
    BOM,
    DAMAGE,
    MAX_RATIO,
    PLENTY,
    decode,
    decode_line,
    open_text,
    read_lines,
    too_large,
    unreadable,
)

OWN_FILES = "to train on your own files instead, write `mt train 'data.train=[a.en,a.de]'`."
PARQUET_ROWS = 1024  # read together


def read_jsonl(file: str, sides: Sides) -> Iterator[Pair]:
    """One JSON object on each line, with the texts where `record_texts` finds them. An empty line is an empty pair,
    which cleaning counts."""
    for number, line in enumerate(read_lines(file), 1):
        if not line.strip():
            yield Pair("", "", Origin(file, number))
            continue
        record = json_line(line, f"{file}:{number}")
        if not isinstance(record, dict):
            raise DataError(f"{file}:{number}: the line must be a JSON object, but is {json_kind(record)}.")
        yield Pair(*record_texts(record, sides, f"{file}:{number}"), Origin(file, number))


def json_line(line: str, where: str) -> Any:
    """What a line of JSON lines holds. Raises: DataError: for what is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: the line is not a JSON object ({error}).") from error


def read_json(file: str, sides: Sides) -> Iterator[Pair]:
    """An array of JSON objects, which is read into memory, or one object on each line. Records count from 1."""
    try:
        with open_text(file) as stream:
            raw = stream.read(1 << 16)
            start = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
            if re.match(rb"\{\s*\n", start):
                raise DataError(
                    f"`{file}` must be an array of objects, or have one object on each line, but is one object.",
                    hint="write its pairs as `[{...}, {...}]`.",
                )
            if not start.startswith(b"["):
                yield from read_jsonl(file, sides)
                return
            records = json.loads(decode(raw + stream.read(), f"`{file}`").removeprefix(BOM))
    except DAMAGE as error:
        raise unreadable(file, error) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"`{file}` is not JSON ({error}).") from error
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise DataError(f"{file}: record {number} must be a JSON object, but is {json_kind(record)}.")
        yield Pair(*record_texts(record, sides, f"{file}: record {number}"), Origin(file, number))


def read_parquet(file: str, sides: Sides) -> Iterator[Pair]:
    """The rows of a Parquet file, with the texts where `record_texts` finds them.

    A text that rows repeat is stored once, so a small file can unpack without end: as in `raw_lines` that is an error,
    by the size that the file declares and by the size of the rows, of which no more are unpacked together than fit.
    """
    import pyarrow
    import pyarrow.parquet

    number = size = 0
    most = max(PLENTY, MAX_RATIO * Path(file).stat().st_size)
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            columns = list({*(sides.among(names) or ()), *({"translation"} & {*names})})
            groups = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
            if sum(group.total_byte_size for group in groups) > most:
                raise too_large(file)
            rows = max(1, min(PARQUET_ROWS, most // max(1, _longest(groups, columns))))
            for batch in table.iter_batches(batch_size=rows, columns=columns or None):
                size += batch.nbytes
                if size > most:
                    raise too_large(file)
                for record in batch.to_pylist():
                    number += 1
                    yield Pair(*record_texts(record, sides, f"{file}:{number}"), Origin(file, number))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"`{file}` cannot be read as a Parquet file ({first_line(error)}).") from error


def _longest(groups: Sequence[Any], columns: Collection[str]) -> int:
    """The bytes that the longest value may have: no more than its row group stores of its column. Args: columns: those
    that are read, empty: all."""
    chunks = (group.column(place) for group in groups for place in range(group.num_columns))
    read = (one for one in chunks if not columns or one.path_in_schema.startswith(tuple(columns)))
    return max((one.total_uncompressed_size for one in read), default=0)


def read_hub(address: str, sides: Sides) -> Iterator[Pair]:
    """The rows of a dataset of the Hugging Face Hub, which `datasets` downloads once to its cache."""
    form = HUB_FORM.fullmatch(address)
    if form is None:
        raise DataError(f"`{address}` must have the form hub:owner/name[/config][@split].")
    name, config, split = form.groups()
    try:
        import datasets

        rows: Any = datasets.load_dataset(name, config, split=split or "train")
    except Exception as error:  # network, login, unknown name, config or split: dozens of types
        raise DataError(
            f"`{address}` cannot be downloaded from the Hugging Face Hub ({first_line(error)}).", hint=OWN_FILES
        ) from error
    for number, record in enumerate(rows, 1):
        yield Pair(*record_texts(record, sides, f"{address}:{number}"), Origin(address, number))


def record_texts(record: Mapping[str, Any], sides: Sides, where: str) -> tuple[str, str]:
    """Source and target of one record.

    Tried in turn: `data.columns`, the languages, and pairs of names that are in use, such as "source" and "target";
    each inside its field "translation" and in the record itself.

    Raises `DataError` with the fields that were expected and found.
    """
    inner = record.get("translation")
    for fields in (inner, record):
        if isinstance(fields, Mapping) and (found := sides.among(fields)):
            return field_text(fields, found[0], where), field_text(fields, found[1], where)
    there = [*record, *(f"translation.{key}" for key in (inner if isinstance(inner, Mapping) else ()))]
    src, tgt = sides.candidates[0]
    raise DataError(
        f"{where}: there must be fields `{src}` and `{tgt}`, but there are {', '.join(map(str, there)) or 'none'}.",
        hint="name the right ones, as in `data.columns=[source,target]`.",
    )


def field_text(fields: Mapping[str, Any], key: str, where: str) -> str:
    """The text of one field as one line: line ends inside it become spaces.

    Raises `DataError` for a field that is not text, and for text that is not allowed in a line of a file either.
    """
    text = fields[key]
    if not isinstance(text, str):
        raise DataError(f"{where}: field `{key}` must be a string, but is {json_kind(text)}.")
    try:
        raw = text.rstrip("\r\n").replace("\r\n", " ").replace("\n", " ").encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: field `{key}` contains half of a surrogate pair, which is no character.") from error
    return decode_line(raw, f"{where}: field `{key}`")


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
