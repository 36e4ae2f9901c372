"""Batches: pairs as packed tensors, made in vectorised steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from mt.compute.device import copied_ahead
from mt.nn.ragged import Ragged
from mt.nn.source import FrameSource, Source, TokenSource

Ids = Sequence[Sequence[int]]  # token ids of some sentences


@dataclass(frozen=True)
class Batch:
    """The source of some pairs, and packed rows of their targets: decoder input begins with `bos`, output ends with
    `eos`."""

    source: Source
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    target_layout: Ragged
    indices: tuple[int, ...]  # of the pairs in their corpus; `corpus.pairs[i].origin` is file and line

    def to(self, device: torch.device) -> "Batch":
        if self.target_in.device == device:
            return self
        ahead = copied_ahead(device)
        return replace(
            self,
            source=self.source.to(device, non_blocking=ahead),
            target_in=self.target_in.to(device, non_blocking=ahead),
            target_out=self.target_out.to(device, non_blocking=ahead),
            target_layout=self.target_layout.to(device, non_blocking=ahead),
        )

    def part(self, first: int, last: int) -> "Batch":
        """The pairs from `first` to before `last`, without a copy."""
        layout, rows = self.target_layout.part(first, last)
        return Batch(
            self.source.part(first, last), self.target_in[rows], self.target_out[rows], layout, self.indices[first:last]
        )

    def halves(self) -> "tuple[Batch, Batch] | None":
        """The pairs in order as two batches with nearly equally many rows; None: there is only one pair."""
        count = len(self.indices)
        if count < 2:
            return None
        ends = (self.source.layout.on_host + self.target_layout.on_host).cumsum(0).tolist()
        middle = min(range(1, count), key=lambda n: abs(2 * ends[n - 1] - ends[-1]))
        return self.part(0, middle), self.part(middle, count)


class Flat(NamedTuple):
    """Items in one array: item `i` is `rows[starts[i] : starts[i] + lengths[i]]`."""

    rows: NDArray[np.int32] | NDArray[np.float32]  # token ids [N], or frames [N, F]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Ids) -> "Flat":
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        ids = np.fromiter(chain.from_iterable(sentences), np.int32, int(lengths.sum()))
        return cls(ids, lengths.cumsum() - lengths, lengths)

    def packed(self, order: NDArray[np.int64]) -> NDArray[Any]:
        """The rows of the items in `order`, end to end; token ids as int64."""
        lengths = self.lengths[order]
        ends = lengths.cumsum()
        shifts = np.repeat(self.starts[order] - (ends - lengths), lengths)
        rows = self.rows[shifts + np.arange(len(shifts))]
        return rows if rows.dtype == np.float32 else rows.astype(np.int64)

    def replaced(self, places: Sequence[int], sentences: Ids) -> "Flat":
        """The same sentences, but for those at `places`, which are `sentences`."""
        rows, new = self.packed(np.arange(len(self.lengths))), Flat.of(sentences)
        starts, lengths = self.lengths.cumsum() - self.lengths, self.lengths.copy()
        starts[places], lengths[places] = new.starts + len(rows), new.lengths
        return Flat(np.concatenate([rows, new.rows]).astype(np.int32), starts, lengths)

    def source(self, order: NDArray[np.int64]) -> Source:
        """The items in `order` as the source of a batch: tokens, or frames if the rows are floats."""
        rows, layout = torch.from_numpy(self.packed(order)), layout_of(self.lengths[order])
        return FrameSource(rows, layout) if rows.is_floating_point() else TokenSource(rows, layout)


class SourceItems(Protocol):
    """The sources of some pairs, as a `Flat` or as what a reader will read (`mt.data.batching.input_rows`)."""

    @property
    def lengths(self) -> NDArray[np.int64]: ...

    def source(self, order: NDArray[np.int64]) -> Source: ...


def layout_of(lengths: NDArray[np.int64]) -> Ragged:
    return Ragged(torch.from_numpy(lengths), num_rows=int(lengths.sum()), max_length=int(lengths.max()))


def shifted(
    packed: NDArray[Any], lengths: NDArray[np.int64], *, bos: int, eos: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The decoder's input (`bos` first) and output (`eos` last) of target tokens without marks, end to end."""
    ends = lengths.cumsum()
    return np.insert(packed, ends - lengths, bos), np.insert(packed, ends, eos)


def pack_batch(source: SourceItems, target: Flat, indices: Sequence[int], *, bos: int, eos: int) -> Batch:
    """A batch of all items of `source` and all sentences of `target`, which has no `bos` and `eos`."""
    order = np.arange(len(source.lengths))
    target_in, target_out = shifted(target.packed(order), target.lengths, bos=bos, eos=eos)
    return Batch(
        source.source(order),
        torch.from_numpy(target_in),
        torch.from_numpy(target_out),
        layout_of(target.lengths + 1),
        tuple(indices),
    )


def make_batch(source: Ids, target: Ids, indices: Sequence[int], *, bos: int, eos: int) -> Batch:
    """Args: source: token ids that end with `eos`; target: token ids without `bos` and `eos`."""
    return pack_batch(Flat.of(source), Flat.of(target), indices, bos=bos, eos=eos)


def cut_sorted(src: NDArray[np.int64], tgt: NDArray[np.int64], budget: int) -> list[int]:
    """Cut sorted sentences into batches; as `mt.nn.ragged.cut`, but with a loop over batches, not sentences.

    Args: src, tgt: rows of each sentence on each side, none over `budget`.
    Returns: 0 and the end of each batch.
    """
    sums = [rows.cumsum() for rows in (src, tgt)]
    ends = [0]
    while ends[-1] < len(src):
        first = ends[-1]
        before = [int(total[first - 1]) if first else 0 for total in sums]
        found = [int(np.searchsorted(t, b + budget, side="right")) for t, b in zip(sums, before, strict=True)]
        assert min(found) > first, "a sentence is over the budget"
        ends.append(min(found))
    return ends
