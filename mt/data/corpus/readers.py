"""Files to pairs: plain text two by two, or one file that holds both sides, by the format that its name says."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations, zip_longest
from pathlib import Path

from mt.data.corpus.memories import declared_languages, read_memory
from mt.data.corpus.names import (
    BOTH_SIDES,
    FOLDER,
    HUB,
    HUB_FORM,
    TABLES,
    bare,
    corpora,
    kind_of,
    language_of,
    without_language,
)
from mt.data.corpus.pair import Origin, Pair, Sides
from mt.data.corpus.records import read_hub, read_json, read_jsonl, read_parquet
from mt.data.corpus.tables import header_languages, read_csv, read_tsv, read_xlsx
from mt.errors import DataError
from mt.text.languages import plain_code
from mt.text.lines import check_file, check_line_counts, check_not_one_pipe, raw_lines, read_lines

READERS: dict[str, Callable[[str, Sides], Iterator[Pair]]] = {
    HUB: read_hub, ".tsv": read_tsv, ".csv": read_csv, ".xlsx": read_xlsx, ".parquet": read_parquet,
    ".jsonl": read_jsonl, ".ndjson": read_jsonl, ".json": read_json,
    ".tmx": read_memory, ".xlf": read_memory, ".xliff": read_memory, ".po": read_memory,
}  # fmt: skip
PACKED = {".xlsx", ".parquet"}
DECLARING: dict[str, Callable[[str], tuple[str, str] | None]] = {  # formats that may name their languages
    ".tmx": declared_languages, ".xlf": declared_languages, ".xliff": declared_languages,
    ".tsv": header_languages, ".csv": header_languages,
}  # fmt: skip


def read_pairs(files: Sequence[str], src: str | None, tgt: str | None, columns: Sequence[str] = ()) -> Iterator[Pair]:
    """Yield the pairs of `files`, read from left to right.

    Plain files come two by two, first the source and then the target; a folder stands for the two files in it whose
    names end in the two languages. A file whose name ends in one of `BOTH_SIDES`, or `hub:owner/name[/config][@split]`
    (a dataset of the Hugging Face Hub), holds both sides. A further .gz, .xz, .zst or .bz2 does not change what a name
    says. `src` and `tgt` are the languages, `columns` the names or numbers of columns: see `Sides`.

    Raises `DataError` at once for a file that is missing or has no partner, and while reading for a line that cannot
    be used, for two plain files of unequal length, and for files that hold no pair at all.
    """
    return chain(plan(list(files), src, tgt, columns), list(files))


def infer_languages(files: Sequence[str]) -> tuple[str, str] | None:
    """The languages in the names of `files`, or in translation memories; None if there are none, or they disagree.
    Varieties of a language agree, and the first is taken, of plain files if there are some.

    `train.en.gz train.de.gz` gives ("en", "de"), and so does the config in `hub:Helsinki-NLP/opus-100/en-de`.
    """
    plain = [Path(bare(file)).name for file in files if not kind_of(file)]
    configs = [form[2] or "" for file in files if (form := HUB_FORM.fullmatch(file))]
    forms = [form for config in configs if (form := re.fullmatch(r"([a-z]{2,3})-([a-z]{2,3})", config))]
    found = {(form[1], form[2]): None for form in forms}
    for source, target in zip(plain[::2], plain[1::2], strict=False):
        src, tgt = language_of(source), language_of(target)
        if src and tgt and src != tgt and without_language(source) == without_language(target):
            found[src, tgt] = None
    for file in files:
        if kind_of(file) in DECLARING and Path(file).is_file() and (declared := DECLARING[kind_of(file)](file)):
            found[declared] = None
    return next(iter(found)) if len({(plain_code(src), plain_code(tgt)) for src, tgt in found}) == 1 else None


def check_order(files: Sequence[str], src: str | None, tgt: str | None, said: str) -> None:
    """Raise `DataError` when the names of two files give the opposite direction. `said`: what gives `src` and `tgt`.

    Only plain files have an order: the columns of a Hub dataset are found by name, and its configuration, such as
    "de-en", is in alphabetical order; a translation memory names the language of each text.
    """
    plain = [file for file in files if not kind_of(file)]
    wanted = plain_code(tgt or ""), plain_code(src or "")
    for pair in (plain[i : i + 2] for i in range(0, len(plain), 2)):
        named = infer_languages(pair)
        if named and wanted[0] != wanted[1] and (plain_code(named[0]), plain_code(named[1])) == wanted:
            names = "the file names" if len(plain) == 2 else f"the names `{pair[0]}` and `{pair[1]}`"
            raise DataError(
                f"{names} say {named[0]} to {named[1]}, but {said} {src} to {tgt}.",
                hint=f"swap the source and target files: `{pair[1]}` before `{pair[0]}`.",
            )


def check_columns(files: Sequence[str], columns: Sequence[str], said: str) -> None:
    """Raise `DataError` when columns are chosen, and no file has any. `said`: what chooses them."""
    if columns and not any(kind_of(file) in TABLES for file in files):
        raise DataError(
            f"{said} chooses the columns {' and '.join(columns)}, but `{files[0]}` is no table.",
            hint="leave it out; only tables, such as .tsv or .csv, have columns.",
        )


def check_partners(pairs: Sequence[Sequence[str]]) -> None:
    """Raise `DataError` where all sources are named before all targets: each pair would be in one language, though a
    file that is named as the translation of its source is in the list."""
    languages = [[language_of(bare(file)) for file in pair] for pair in pairs]
    if any(source != target for source, target in languages):
        return
    mates: dict[str, list[str]] = {}
    for file in (file for pair in pairs for file in pair):
        mates.setdefault(without_language(bare(file)), []).append(file)
    for source, target in pairs:
        language, name = language_of(bare(source)), without_language(bare(source))
        if language and language == language_of(bare(target)) and target not in mates[name]:
            for mate in mates[name]:
                if language_of(bare(mate)) != language:
                    raise DataError(
                        f"`{source}` is followed by `{target}`, in the same language, but its translation is `{mate}`.",
                        hint="name each source and then its target, as in `a.en a.de b.en b.de`; if they are meant so, "
                        "say that both sides are in that language, in training with `data.src` and `data.tgt`.",
                    )


def plan(files: list[str], src: str | None, tgt: str | None, columns: Sequence[str] = ()) -> list[Iterator[Pair]]:
    """One stream of pairs for each group of files. Reads nothing yet, but raises for missing files."""
    if not files:
        raise DataError("no file is named.", hint="give two plain files or one .tsv file.")
    for file in files:
        if not file.startswith(HUB):
            check_file(file, files)
    if src is None or src != tgt:
        check_partners([group for group in corpora(files) if len(group) == 2])
    sides = Sides(src, tgt, tuple(columns))
    streams = []
    waiting = list(files)
    while waiting:
        file = waiting.pop(0)
        kind = kind_of(file)
        if kind == FOLDER:
            streams.append(read_plain(*files_in(file, src, tgt)))
        elif kind in PACKED and bare(file) != file:
            raise DataError(
                f"`{file}` is compressed twice, because a {kind} file is compressed already.", hint="unpack it once."
            )
        elif kind:
            streams.append(READERS[kind](file, sides))
        elif waiting and not kind_of(waiting[0]):
            streams.append(read_plain(file, waiting.pop(0)))
        else:
            if Path(file).is_file():
                next(raw_lines(file), None)  # an archive has no partner, either
            raise DataError(
                f"`{file}` has no partner.",
                hint="name plain files in pairs, source then target. The name of a file with both sides ends in "
                f"{', '.join(BOTH_SIDES[:-1])} or {BOTH_SIDES[-1]}.",
            )
    return streams


def files_in(folder: str, src: str | None, tgt: str | None) -> tuple[str, str]:
    """The two plain files of a folder, as OPUS packs them: names alike up to the languages at their ends, such as
    `corpus.de-en.de`, which says an order, too.

    Raises: DataError: when there are none, or more than two.
    """
    names = sorted(path.name for path in Path(folder).iterdir() if path.is_file())
    alike: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        if language := language_of(bare(name)):
            alike.setdefault(without_language(bare(name)), []).append((name, language))
    found = [
        (one, other)
        for files in alike.values()
        for (one, a), (other, b) in permutations(files, 2)
        if a != b and (((a, b) == (src, tgt)) if src and tgt and (src, tgt) != ("src", "tgt") else f"{a}-{b}" in one)
    ]
    if len(found) != 1:
        shown = ", ".join(names[:6]) or "nothing"
        raise DataError(
            f"`{folder}` is a folder with {shown}.", hint="name its two files in place of it, source first."
        )
    return str(Path(folder) / found[0][0]), str(Path(folder) / found[0][1])


def chain(streams: list[Iterator[Pair]], files: list[str]) -> Iterator[Pair]:
    """All pairs of all streams. Raises `DataError` when there is none."""
    empty = True
    for stream in streams:
        for pair in stream:
            empty = False
            yield pair
    if empty:
        raise no_pairs(files)


def no_pairs(files: Sequence[str]) -> DataError:
    return DataError(f"there are no pairs in {', '.join(f'`{file}`' for file in files)}; at least one is needed.")


def read_plain(source: str, target: str) -> Iterator[Pair]:
    """Line N of `source` with line N of `target`. Raises `DataError` with both counts when one has more lines."""
    check_not_one_pipe(source, target)
    lines = [0, 0]
    for number, (src, tgt) in enumerate(zip_longest(read_lines(source), read_lines(target)), 1):
        lines[0] += src is not None
        lines[1] += tgt is not None
        if src is not None and tgt is not None:
            yield Pair(src, tgt, Origin(source, number))
    check_line_counts(source, lines[0], target, lines[1])
