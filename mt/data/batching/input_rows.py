"""The source side of a corpus whose sources are not text alone: cells of a table, read when a batch needs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray

from mt.config import BatchConfig, Input, InputKind
from mt.data.batching.store import Table
from mt.data.corpus.pair import Pair
from mt.errors import ConfigError, DataError
from mt.inputs.reader import InputReader
from mt.nn.source import Source, pack_items


def check_rows(inputs: Sequence[Input], batch: BatchConfig, longest: int | None) -> None:
    """Raises: ConfigError: where images alone have more rows than a source may have, which the settings tell before any
    is read. Args: longest: `model.max_length`; None: no limit."""
    images = [one for one in inputs if one.kind is InputKind.image]
    least = sum(one.grid**2 for one in images) + len(inputs) - len(images)  # a row at least of each other input
    if not images or least <= batch.max_length:
        return
    limits = {"batch.max_length": batch.max_length, "model.max_length": longest, "batch.tokens": batch.tokens}
    low = [f"`{key}={least}`" for key, most in limits.items() if isinstance(most, int) and most < least]
    named = ", ".join(one.setting for one in images)
    raise ConfigError(
        f"`data.inputs` cuts {named} into {sum(one.grid**2 for one in images):,} patches, a row each, but "
        f"`batch.max_length` leaves out sources of more than {batch.max_length:,} rows.",
        hint=f"set {' and '.join(low)} or more, or make patches larger: `photo:image:SIDE:PATCH`.",
    )


def measured(
    pairs: Sequence[Pair],
    reader: InputReader,
    known: dict[tuple[int, str], int],
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[list[int]]:
    """For the `source` column of a table: instead of token ids the number of rows of each input, 0 for a missing one.

    Args: known: as `InputReader.counts`; a picture may have several captions, and is read once; on_progress: is told
    how many pairs are done. Raises: DataError, with the row."""
    found = []
    for done, pair in enumerate(pairs):
        on_progress(done)
        found.append(reader.counts(pair.src, str(pair.origin), known))
    return found


def check_test(pairs: Sequence[Pair], reader: InputReader, longest: int) -> None:
    """Read every source of a test set once, which is translated only when training has ended.

    Args: longest: rows that the model will read, `batch.max_length`. Raises: DataError: for a source that cannot be
    read, or has more rows.
    """
    for pair, counts in zip(pairs, measured(pairs, reader, {}), strict=True):
        if (rows := int(total(np.array([counts]))[0])) > longest:
            raise DataError(
                f"{pair.origin}: the source has {rows:,} rows, but the model will read at most {longest:,} "
                "(`batch.max_length`).",
                hint="raise `batch.max_length`, or shorten the source.",
            )


class InputRows:
    """As `TokenLists`, for sources that a reader reads."""

    def __init__(self, table: Table, reader: InputReader) -> None:
        self._table, self._reader = table, reader

    def flat(self, indices: NDArray[np.int64]) -> "InputItems":
        return InputItems(self._reader, self._table.texts("src", indices), self._counts(indices))

    def lengths(self) -> NDArray[np.int64]:
        """The number of rows of each source, of all inputs together."""
        return total(self._counts(np.arange(len(self._table))))

    def _counts(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of each input of some sources, `[N, inputs]`."""
        stored = self._table.source.flat(indices)
        return stored.rows[stored.starts[:, None] + np.arange(len(self._reader.inputs))].astype(np.int64)


def total(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of all inputs together. A missing input has one, which stands in for it."""
    return np.maximum(counts, 1).sum(1)


def choose_left_out(counts: NDArray[np.int64], probability: float, seed: int) -> NDArray[np.bool_]:
    """Source dropout: which inputs of which sources are left out, each with this probability, but never all that a
    source has. A pure function of the arguments. Args: counts: rows `[N, inputs]`, 0 for a missing input."""
    draws = torch.rand(*counts.shape, generator=torch.Generator().manual_seed(seed)).numpy()
    here = counts > 0
    left_out = here & (draws < probability)
    left_out[np.arange(len(counts)), np.where(here, draws, -1).argmax(1)] = False
    return left_out


@dataclass(frozen=True)
class InputItems:
    """As `Flat`: some sources, which are not read yet. Their rows would not always fit into memory."""

    reader: InputReader
    sources: list[str]
    counts: NDArray[np.int64]  # rows of each input, [N, inputs]
    left_out: NDArray[np.bool_] | None = None  # inputs that are treated as missing, [N, inputs]
    masks: NDArray[np.float32] | None = None  # of each item, as `draw_masks` gives them

    @property
    def lengths(self) -> NDArray[np.int64]:
        return total(self.counts if self.left_out is None else np.where(self.left_out, 0, self.counts))

    def source(self, order: NDArray[np.int64]) -> Source:
        return self.ordered(order).part(0, len(order))

    def ordered(self, order: NDArray[np.int64]) -> "InputItems":
        left_out = None if self.left_out is None else self.left_out[order]
        masks = None if self.masks is None else self.masks[order]
        return InputItems(self.reader, [self.sources[i] for i in order.tolist()], self.counts[order], left_out, masks)

    def part(self, first: int, last: int) -> Source:
        """The sources from `first` to before `last`, which are read here. Raises: DataError."""
        left_out = repeat(None) if self.left_out is None else self.left_out[first:last].tolist()
        masks = repeat(()) if self.masks is None else self.masks[first:last].tolist()
        sources = zip(self.sources[first:last], left_out, masks, strict=False)
        return pack_items([self.reader.item(source, left_out=out, masks=hidden) for source, out, hidden in sources])
