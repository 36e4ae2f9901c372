"""The source side of a corpus whose sources are not text alone: cells of a table, read when a batch needs them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mt.data.batching.store import Table
from mt.data.corpus.pair import Pair
from mt.inputs.reader import InputReader
from mt.nn.source import Source, pack_items


def measured(pairs: Sequence[Pair], reader: InputReader) -> list[list[int]]:
    """For the `source` column of a table: instead of token ids the number of rows. Raises: DataError, with the row."""
    return [[len(reader.item(pair.src, str(pair.origin)))] for pair in pairs]


class InputRows:
    """As `TokenLists`, for sources that a reader reads."""

    def __init__(self, table: Table, reader: InputReader) -> None:
        self._table, self._reader = table, reader

    def flat(self, indices: NDArray[np.int64]) -> "InputItems":
        counts = self._table.source.flat(indices)
        return InputItems(self._reader, self._table.texts("src", indices), counts.rows[counts.starts].astype(np.int64))

    def lengths(self) -> NDArray[np.int64]:
        """The number of rows of each source."""
        counts = self._table.source.flat(np.arange(len(self._table)))
        return counts.rows[counts.starts].astype(np.int64)


@dataclass(frozen=True)
class InputItems:
    """As `Flat`: some sources, which are not read yet. Their rows would not always fit into memory."""

    reader: InputReader
    sources: list[str]
    lengths: NDArray[np.int64]

    def source(self, order: NDArray[np.int64]) -> Source:
        return self.unread(order).part(0, len(order))

    def unread(self, order: NDArray[np.int64]) -> "UnreadSource":
        return UnreadSource(self.reader, [self.sources[i] for i in order.tolist()])


@dataclass(frozen=True)
class UnreadSource:
    """The sources of a pool, of which `part` reads those of a batch."""

    reader: InputReader
    sources: list[str]

    def part(self, first: int, last: int) -> Source:
        return pack_items([self.reader.item(source) for source in self.sources[first:last]])
