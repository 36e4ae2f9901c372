"""Packed rows of some sentence pairs, as the model takes them; all in vectorised steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from mt.nn.ragged import Ragged

Ids = Sequence[Sequence[int]]  # pieces of some sentences


@dataclass(frozen=True)
class Batch:
    """Packed rows of some sentence pairs. The target goes in shifted right by one and comes out ended by `eos`."""

    source: Int[Tensor, " S"]
    source_rows: Ragged
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    target_rows: Ragged
    indices: tuple[int, ...]  # of the pairs in their corpus, whose `pairs[i].origin` tells file and line

    def to(self, device: torch.device) -> "Batch":
        if self.source.device == device:
            return self
        # A copy to a GPU is queued, not waited for, where the memory is pinned; a copy from one must be waited for.
        ahead = device.type == "cuda"
        return replace(
            self,
            source=self.source.to(device, non_blocking=ahead),
            source_rows=_moved(self.source_rows, device, ahead),
            target_in=self.target_in.to(device, non_blocking=ahead),
            target_out=self.target_out.to(device, non_blocking=ahead),
            target_rows=_moved(self.target_rows, device, ahead),
        )

    def halves(self) -> "tuple[Batch, Batch] | None":
        """Two batches that hold the sentences of this one in their order, as equal in rows of both sides as can be.

        None: there is one sentence only. Waits for a GPU that holds the batch.
        """
        src, tgt = self.source_rows.lengths.tolist(), self.target_rows.lengths.tolist()
        if len(src) < 2:
            return None
        ends = list(accumulate(s + t for s, t in zip(src, tgt, strict=True)))
        middle = min(range(1, len(src)), key=lambda n: abs(2 * ends[n - 1] - ends[-1]))
        s, t = sum(src[:middle]), sum(tgt[:middle])
        return (
            Batch(
                self.source[:s],
                _rows(self.source_rows.lengths[:middle], src[:middle]),
                self.target_in[:t],
                self.target_out[:t],
                _rows(self.target_rows.lengths[:middle], tgt[:middle]),
                self.indices[:middle],
            ),
            Batch(
                self.source[s:],
                _rows(self.source_rows.lengths[middle:], src[middle:]),
                self.target_in[t:],
                self.target_out[t:],
                _rows(self.target_rows.lengths[middle:], tgt[middle:]),
                self.indices[middle:],
            ),
        )


def _moved(rows: Ragged, device: torch.device, ahead: bool) -> Ragged:
    lengths = rows.lengths.to(device, non_blocking=ahead)
    return Ragged(lengths, num_rows=rows.num_rows, max_length=rows.max_length)


def _rows(lengths: Tensor, told: list[int]) -> Ragged:
    return Ragged(lengths, num_rows=sum(told), max_length=max(told))


class Flat(NamedTuple):
    """Sentences that lie somewhere in one array: sentence `i` is `ids[starts[i] : starts[i] + lengths[i]]`."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Ids) -> "Flat":
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        ids = np.fromiter(chain.from_iterable(sentences), np.int32, int(lengths.sum()))
        return cls(ids, lengths.cumsum() - lengths, lengths)

    def packed(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sentences of `order`, end to end."""
        lengths = self.lengths[order]
        ends = lengths.cumsum()
        shifts = np.repeat(self.starts[order] - (ends - lengths), lengths)
        return self.ids[shifts + np.arange(len(shifts))].astype(np.int64)


def shifted(
    packed: NDArray[np.int64], lengths: NDArray[np.int64], *, bos: int, eos: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bare target pieces, end to end, as what goes into the decoder (`bos` first) and what comes out (`eos` last)."""
    ends = (lengths + 1).cumsum()
    target_in, target_out = (np.empty(len(packed) + len(lengths), np.int64) for _ in range(2))
    for made, marks, mark in ((target_in, ends - lengths - 1, bos), (target_out, ends - 1, eos)):
        piece = np.ones(len(made), bool)
        piece[marks] = False
        made[piece] = packed
        made[marks] = mark
    return target_in, target_out


def pack_batch(source: Flat, target: Flat, indices: Sequence[int], *, bos: int, eos: int) -> Batch:
    """All sentences of `source` and `target`, which are bare pieces there."""
    order = np.arange(len(source.lengths))
    target_in, target_out = shifted(target.packed(order), target.lengths, bos=bos, eos=eos)
    return Batch(
        torch.from_numpy(source.packed(order)),
        Ragged.from_lengths(source.lengths.tolist()),
        torch.from_numpy(target_in),
        torch.from_numpy(target_out),
        Ragged.from_lengths((target.lengths + 1).tolist()),
        tuple(indices),
    )


def make_batch(source: Ids, target: Ids, indices: Sequence[int], *, bos: int, eos: int) -> Batch:
    """Args: source: pieces ended by `eos`; target: bare pieces."""
    return pack_batch(Flat.of(source), Flat.of(target), indices, bos=bos, eos=eos)


def cut_sorted(src: NDArray[np.int64], tgt: NDArray[np.int64], budget: int) -> list[int]:
    """Where to cut sentences that stand in order: `mt.nn.ragged.cut`, with a step for each batch, not each sentence.

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
