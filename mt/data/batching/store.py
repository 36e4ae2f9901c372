"""Tokenised pairs in one memory-mapped Arrow file.

The file is written with pyarrow itself. `datasets` writes the same format, but names its files by a hash of the code
(by dill); here the key is a hash of the text, and a folder has nothing but an Arrow file and a JSON file.

Sentences are looked up many at a time. The whole file is viewed as one array of 32-bit integers. The tokens of a record
batch are one run in it, the ends of its sentences another, so that any choice of sentences is a few vectorised
look-ups.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mt.data.batching.batch import Flat
from mt.data.corpus.pair import Origin, Pair
from mt.files import sha256, whole_folder

logger = logging.getLogger("mt")
VERSION = 1  # of the layout; raise it when the same text would be written differently
TABLE, FACTS = "pairs.arrow", "facts.json"
ABANDONED = 24 * 3600.0  # seconds after which the unfinished folder of a killed process is removed
SCHEMA = pa.schema(
    [
        ("src", pa.large_string()),
        ("tgt", pa.large_string()),
        ("file", pa.int32()),  # a number in `Facts.files`
        ("line", pa.int64()),
        ("source", pa.list_(pa.int32())),
        ("target", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a table that are stored beside it, as JSON."""

    pairs: int
    too_long: int  # pairs that were left out
    source_pieces: int
    target_pieces: int
    fingerprint: str
    files: list[str]  # names of the files that pairs come from
    longest: int = 0  # rows of the longer side of the longest pair; 0: not known, of an older version
    written: str = ""  # as `fingerprint`, with names of files in cells as the tables have them; empty for text


Build = Callable[[pa.NativeFile], Facts]  # writes a table


class Table:
    """Tokenised pairs in Arrow's file format. Pickled for another process, a table on disk is only its path."""

    def __init__(self, buffer: pa.Buffer, facts: Facts, path: Path | None = None) -> None:
        """Args: path: the file that `buffer` maps; None: it is in memory only."""
        self.facts = facts
        self._path = path
        self._buffer = buffer
        reader = pa.ipc.open_file(buffer)
        self.batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        rows = [batch.num_rows for batch in self.batches]
        self.firsts = np.cumsum([0, *rows])[:-1]  # the first row of each record batch
        words = np.frombuffer(buffer, np.int32, buffer.size // 4)
        self.source = TokenLists(self, words, "source")
        self.target = TokenLists(self, words, "target")
        if sum(rows) != facts.pairs:
            raise ValueError(f"it holds {sum(rows):,} pairs, not {facts.pairs:,}")

    def __len__(self) -> int:
        return self.facts.pairs

    def find(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each pair its record batch and its row there."""
        batch = np.searchsorted(self.firsts, indices, side="right") - 1
        return batch, indices - self.firsts[batch]

    def texts(self, column: str, indices: NDArray[np.int64]) -> list[str]:
        """One side (`src` or `tgt`) of some pairs."""
        columns = [batch.column(column) for batch in self.batches]
        batches, rows = self.find(indices)
        return [columns[b][r].as_py() for b, r in zip(batches.tolist(), rows.tolist(), strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        return {"facts": self.facts, "path": self._path, "bytes": None if self._path else self._buffer.to_pybytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        path, data = state["path"], state["bytes"]
        self.__init__(_mapped(path) if path else pa.py_buffer(data), state["facts"], path)


class TokenLists:
    """One side of a table: a list of token ids for each pair. `flat` gives many at once without making lists."""

    def __init__(self, table: Table, words: NDArray[np.int32], column: str) -> None:
        """Args: words: the whole file."""
        self._table, self._words = table, words
        base = words.__array_interface__["data"][0]
        arrays = [batch.column(column) for batch in table.batches]
        self._offsets = np.array([_place(a.offsets, base) for a in arrays], np.int64)  # of each batch's first sentence
        self._tokens = np.array([_place(a.values, base) for a in arrays], np.int64)  # of each batch's first token
        self._sizes = [len(a.values) for a in arrays]  # in tokens

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> list[int]:
        ids, starts, lengths = self.flat(np.array([range(len(self))[index]]))
        return ids[starts[0] : starts[0] + lengths[0]].tolist()

    def flat(self, indices: NDArray[np.int64]) -> Flat:
        """The places of some sentences in the file."""
        batch, row = self._table.find(indices)
        at = self._offsets[batch] + row
        begin, end = self._words[at].astype(np.int64), self._words[at + 1]
        return Flat(self._words, self._tokens[batch] + begin, end - begin)

    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each sentence."""
        return self.flat(np.arange(len(self))).lengths

    def count_token(self, token: int) -> int:
        """How often a token occurs in all sentences."""
        # Not by pyarrow's `to_numpy`, which imports pandas.
        runs = (self._words[begin : begin + size] for begin, size in zip(self._tokens, self._sizes, strict=True))
        return sum(int(np.count_nonzero(run == token)) for run in runs)


class Pairs(Sequence[Pair]):
    """The texts of a table with their origins."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        batch, row = self._table.find(np.array(range(len(self))[index]))
        return next(self._read(int(batch), int(row), 1))

    def __iter__(self) -> Iterator[Pair]:
        for number, batch in enumerate(self._table.batches):
            yield from self._read(number, 0, batch.num_rows)

    def _read(self, batch: int, row: int, rows: int) -> Iterator[Pair]:
        part, names = self._table.batches[batch].slice(row, rows), self._table.facts.files
        columns = (part.column(name).to_pylist() for name in ("src", "tgt", "file", "line"))
        for src, tgt, file, line in zip(*columns, strict=True):
            yield Pair(src, tgt, Origin(names[file], line))


def _place(array: pa.Array, base: int) -> int:
    """The begin of an array in the file, in 32-bit words."""
    buffer = array.buffers()[1]
    return (buffer.address - base) // 4 + array.offset if buffer is not None and buffer.size else 0


# ---------------------------------------------------------------- in memory and on disk


def in_memory(build: Build) -> Table:
    sink = pa.BufferOutputStream()
    facts = build(sink)
    return Table(sink.getvalue(), facts)


def cached(folder: Path, build: Build) -> Table:
    """The table in `folder`, built if it is missing or damaged. If it cannot be stored, it is kept in memory, with a
    warning."""
    try:
        if folder.exists():
            return open_table(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's own errors are of the first two kinds
        logger.warning("the cached tokenised text in `%s` is damaged (%s); it is created again.", folder, error)
    try:
        return _store(folder, build)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # pyarrow's own `strerror` is long
        logger.warning("the tokenised text cannot be cached in `%s` (%s); it is kept in memory.", folder, why)
    return in_memory(build)


def open_table(folder: Path) -> Table:
    """Raises: OSError, ValueError, KeyError, TypeError: when a file is missing or has changed."""
    stored = json.loads((folder / FACTS).read_bytes())
    path = folder / TABLE
    if path.stat().st_size != stored["bytes"] or sha256(path) != stored["sha256"]:
        raise ValueError(f"{TABLE} has changed")
    return Table(_mapped(path), Facts(**stored["facts"]), path.absolute())


def _store(folder: Path, build: Build) -> Table:
    """Raises: OSError."""
    _sweep(folder.parent)
    with whole_folder(folder, keep=lambda: _is_table(folder)) as fresh:
        path = fresh / TABLE
        with pa.OSFile(str(path), "wb") as sink:
            facts = build(sink)
        stored = {"facts": asdict(facts), "bytes": path.stat().st_size, "sha256": sha256(path)}
        (fresh / FACTS).write_text(json.dumps(stored, indent=2), encoding="utf-8")
    return Table(_mapped(folder / TABLE), facts, (folder / TABLE).absolute())


def _is_table(folder: Path) -> bool:
    """Whether another process was faster and has stored the table, which it may be reading."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        open_table(folder)
        return True
    return False


def _sweep(folder: Path) -> None:
    """Remove the unfinished folders of killed processes."""
    for path in [*folder.glob(".tmp-*"), *folder.glob(".old-*")]:
        with suppress(OSError):  # another process has just renamed it
            times = [file.stat().st_mtime for file in path.glob("*")] or [path.stat().st_mtime]
            if time.time() - max(times) > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _mapped(path: Path) -> pa.Buffer:
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()
