"""Files to pairs: plain text two by two, TSV, JSON lines, Parquet and datasets of the Hugging Face Hub."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mt.data.corpus.pair import Origin, Pair
from mt.errors import DataError
from mt.text.lines import MAX_RATIO, PLENTY, check_file, check_line_counts, decode_line, read_lines, too_large

OWN_FILES = "To train on your own files instead: mt train data.train='[a.en,a.de]'."

HUB = "hub:"
HUB_FORM = re.compile(r"hub:([^/@]+/[^/@]+)(?:/([^/@]+))?(?:@([^/@]+))?")
PARQUET_ROWS = 1024  # read together
COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
LANGUAGE = re.compile(r"\.([a-z]{2,3}(?:[-_][A-Za-z]{2,4})?)$")
NOT_LANGUAGES = {"csv", "dat", "doc", "hyp", "log", "md", "raw", "ref", "src", "tgt", "tok", "trg", "txt"}


def read_pairs(files: Sequence[str], src: str | None, tgt: str | None) -> Iterator[Pair]:
    """Yield the pairs of `files`, read from left to right.

    Plain files come two by two, first the source and then the target. A file holds both sides when its name ends in
    .tsv (columns 1 and 2), .jsonl or .parquet (fields: see `record_texts`), and so does
    `hub:owner/name[/config][@split]`, a dataset of the Hugging Face Hub. A further .gz, .xz, .zst or .bz2 does not
    change what a name says. `src` and `tgt` are the languages, or the names of the fields.

    Raises `DataError` at once for a file that is missing or has no partner, and while reading for a line that cannot
    be used, for two plain files of unequal length, and for files that hold no pair at all.
    """
    streams = plan(list(files), src, tgt)
    return chain(streams, list(files))


def infer_languages(files: Sequence[str]) -> tuple[str, str] | None:
    """The languages in the names of `files`; None if there are none, or names disagree.

    `train.en.gz train.de.gz` gives ("en", "de"), and so does the config in `hub:Helsinki-NLP/opus-100/en-de`.
    """
    plain = [Path(bare(file)).name for file in files if not kind_of(file)]
    configs = [form[2] or "" for file in files if (form := HUB_FORM.fullmatch(file))]
    found = {(form[1], form[2]) for config in configs if (form := re.fullmatch(r"([a-z]{2,3})-([a-z]{2,3})", config))}
    for source, target in zip(plain[::2], plain[1::2], strict=False):
        src, tgt = language_of(source), language_of(target)
        if src and tgt and src != tgt and source.removesuffix(src) == target.removesuffix(tgt):
            found.add((src, tgt))
    return found.pop() if len(found) == 1 else None


def check_order(files: Sequence[str], src: str | None, tgt: str | None, said: str) -> None:
    """Raise `DataError` when the names of the files give the opposite direction. `said`: what gives `src` and `tgt`."""
    inferred = infer_languages(files)
    if inferred and (tgt, src) == inferred:
        raise DataError(
            f"the file names say {inferred[0]} to {inferred[1]}, but {said} {src} to {tgt}: swap the source and target "
            "files."
        )


def plan(files: list[str], src: str | None, tgt: str | None) -> list[Iterator[Pair]]:
    """One stream of pairs for each group of files. Reads nothing yet, but raises for missing files."""
    if not files:
        raise DataError("no file is named: give two plain files or one .tsv file.")
    for file in files:
        if not file.startswith(HUB):
            check_file(file)
    readers: dict[str, Callable[[str], Iterator[Pair]]] = {
        HUB: lambda file: read_hub(file, src, tgt),
        ".tsv": read_tsv,
        ".jsonl": lambda file: read_jsonl(file, src, tgt),
        ".parquet": lambda file: read_parquet(file, src, tgt),
    }
    streams = []
    waiting = list(files)
    while waiting:
        file = waiting.pop(0)
        if kind := kind_of(file):
            streams.append(readers[kind](file))
        elif waiting and not kind_of(waiting[0]):
            streams.append(read_plain(file, waiting.pop(0)))
        else:
            raise DataError(
                f"`{file}` has no partner: name plain files in pairs, source then target. The name of a file that "
                f"contains both must end in .tsv, .jsonl or .parquet."
            )
    return streams


def chain(streams: list[Iterator[Pair]], files: list[str]) -> Iterator[Pair]:
    """All pairs of all streams. Raises `DataError` when there is none."""
    empty = True
    for stream in streams:
        for pair in stream:
            empty = False
            yield pair
    if empty:
        raise DataError(f"there are no pairs in {', '.join(f'`{file}`' for file in files)}; at least one is needed.")


def read_plain(source: str, target: str) -> Iterator[Pair]:
    """Line N of `source` with line N of `target`. Raises `DataError` with both counts when one has more lines."""
    lines = [0, 0]
    for number, (src, tgt) in enumerate(zip_longest(read_lines(source), read_lines(target)), 1):
        lines[0] += src is not None
        lines[1] += tgt is not None
        if src is not None and tgt is not None:
            yield Pair(src, tgt, Origin(source, number))
    check_line_counts(source, lines[0], target, lines[1])


def read_tsv(file: str) -> Iterator[Pair]:
    """Columns 1 and 2 of a file with tabs between columns; there is no quoting, and further columns are ignored."""
    for number, line in enumerate(read_lines(file), 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise DataError(f"{file}:{number}: the line must be source, tab, target, but has no tab.")
        yield Pair(columns[0], columns[1], Origin(file, number))


def read_jsonl(file: str, src: str | None, tgt: str | None) -> Iterator[Pair]:
    """One JSON object on each line, with the texts where `record_texts` finds them."""
    for number, line in enumerate(read_lines(file), 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}:{number}: the line is not a JSON object ({error}).") from error
        if not isinstance(record, dict):
            raise DataError(f"{file}:{number}: the line must be a JSON object, but is {type(record).__name__}.")
        yield Pair(*record_texts(record, src, tgt, f"{file}:{number}"), Origin(file, number))


def read_parquet(file: str, src: str | None, tgt: str | None) -> Iterator[Pair]:
    """The rows of a Parquet file, with the texts where `record_texts` finds them.

    A text that rows repeat is stored once, so a small file can unpack without end: as in `raw_lines` that is an error,
    by the size that the file declares and by the size of the rows.
    """
    import pyarrow
    import pyarrow.parquet

    number = size = 0
    most = max(PLENTY, MAX_RATIO * Path(file).stat().st_size)
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            columns = [name for name in table.schema_arrow.names if name in {src, tgt, "translation", "src", "tgt"}]
            groups = map(table.metadata.row_group, range(table.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > most:
                raise too_large(file)
            for batch in table.iter_batches(batch_size=PARQUET_ROWS, columns=columns or None):
                size += batch.nbytes
                if size > most:
                    raise too_large(file)
                for record in batch.to_pylist():
                    number += 1
                    yield Pair(*record_texts(record, src, tgt, f"{file}:{number}"), Origin(file, number))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"`{file}` cannot be read as a Parquet file ({first_line(error)}).") from error


def read_hub(address: str, src: str | None, tgt: str | None) -> Iterator[Pair]:
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
            f"`{address}` cannot be downloaded from the Hugging Face Hub ({first_line(error)}). {OWN_FILES}"
        ) from error
    for number, record in enumerate(rows, 1):
        yield Pair(*record_texts(record, src, tgt, f"{address}:{number}"), Origin(address, number))


def record_texts(record: Mapping[str, Any], src: str | None, tgt: str | None, where: str) -> tuple[str, str]:
    """Source and target of one record.

    Tried in turn: the fields that `src` and `tgt` (languages or columns) name, the same fields inside `translation`,
    and fields called "src" and "tgt". Raises `DataError` with the fields that were expected and found.
    """
    inner = record.get("translation")
    if src is not None and tgt is not None:
        for fields in (record, inner):
            if isinstance(fields, Mapping) and src in fields and tgt in fields:
                return field_text(fields, src, where), field_text(fields, tgt, where)
    if "src" in record and "tgt" in record:
        return field_text(record, "src", where), field_text(record, "tgt", where)
    found = list(record) + [f"translation.{key}" for key in inner or () if isinstance(inner, Mapping)]
    named = f"`{src}` and `{tgt}`, or " if src and tgt and (src, tgt) != ("src", "tgt") else ""
    raise DataError(
        f"{where}: there must be fields {named}`src` and `tgt`, but there are {', '.join(map(str, found)) or 'none'}: "
        "name the right ones with `data.src` and `data.tgt`."
    )


def field_text(fields: Mapping[str, Any], key: str, where: str) -> str:
    """The text of one field as one line: line ends inside it become spaces.

    Raises `DataError` for a field that is not text, and for text that is not allowed in a line of a file either.
    """
    text = fields[key]
    if not isinstance(text, str):
        raise DataError(
            f"{where}: field `{key}` must be text, but is {'null' if text is None else type(text).__name__}."
        )
    try:
        raw = text.rstrip("\r\n").replace("\r\n", " ").replace("\n", " ").encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: field `{key}` contains half of a surrogate pair, which is no character.") from error
    return decode_line(raw, f"{where}: field `{key}`")


def kind_of(file: str) -> str:
    """ "hub:", ".tsv", ".jsonl" or ".parquet"; "" for a plain file."""
    if file.startswith(HUB):
        return HUB
    suffix = Path(bare(file)).suffix.lower()
    return suffix if suffix in {".tsv", ".jsonl", ".parquet"} else ""


def name_of(file: str) -> str:
    """The name of a corpus by its first file: the file's name up to the first dot, or the dataset's name."""
    form = HUB_FORM.fullmatch(file)
    return form[1].partition("/")[2] if form else Path(file).name.partition(".")[0]


def bare(file: str) -> str:
    """A name without the suffix of a compression."""
    return next((file[: -len(suffix)] for suffix in COMPRESSED if file.lower().endswith(suffix)), file)


def language_of(name: str) -> str | None:
    """The language code at the end of a name, such as "en" of `train.en`."""
    match = LANGUAGE.search(name)
    return match[1] if match and match[1] not in NOT_LANGUAGES else None


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
