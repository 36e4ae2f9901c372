"""Packed rows, and the sentences that own them.

A batch has no padding: its rows are one column, sentence after sentence. Only attention needs to know where a sentence
ends; a `Ragged` says it, made once per batch and shared by all layers.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

WIDTH_MULTIPLE = 8  # grid widths are multiples of it, so that shapes recur (`mt.data.batching.blocks`)
MIN_WIDTH = 16  # of a grid: the CPU's softmax takes 14 ns an element for rows of 15 floats, and 1 ns for rows of 16


class Ragged:
    """The layout of `B` sentences of `lengths` rows each: `N` rows in all.

    The *grid*, `[B, width]`, has the same rows padded, for attention kernels that need rectangles.
    """

    def __init__(
        self, lengths: Int[Tensor, " B"], *, num_rows: int, max_length: int, host: Int[Tensor, " B"] | None = None
    ) -> None:
        """Args: lengths: rows of each sentence, all positive, on the device of the batch; num_rows, max_length: their
        sum and maximum, which would have to wait for a GPU if they were computed here; host: `lengths` on the CPU, for
        layouts that are derived from this one."""
        self.lengths = lengths
        self.host = lengths if lengths.device.type == "cpu" else host
        self.num_sentences = lengths.numel()
        self.num_rows = num_rows
        self.max_length = max_length
        self.width = max(MIN_WIDTH, -(-max_length // WIDTH_MULTIPLE) * WIDTH_MULTIPLE)

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], device: torch.device | str = "cpu") -> "Ragged":
        tensor = torch.tensor(lengths, dtype=torch.int64)
        return cls(tensor, num_rows=sum(lengths), max_length=max(lengths)).to(device)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Ragged":
        if self.lengths.device == torch.device(device):
            return self
        return self._with(self.lengths.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Ragged":
        return self._with(self.lengths.pin_memory())

    def _with(self, lengths: Int[Tensor, " B"]) -> "Ragged":
        return Ragged(lengths, num_rows=self.num_rows, max_length=self.max_length, host=self.host)

    @cached_property
    def on_host(self) -> Int[Tensor, " B"]:
        """`lengths` on the CPU. Waits for a GPU unless the layout, or that which it is derived from, was made on the
        CPU."""
        return self.lengths.cpu() if self.host is None else self.host

    def part(self, first: int, last: int) -> tuple["Ragged", slice]:
        """The layout of sentences `first` to `last`, exclusive, and the slice of their rows. Waits as `on_host`."""
        host = self.on_host[first:last]
        begin, end = self._bounds[first], self._bounds[last]
        part = Ragged(self.lengths[first:last], num_rows=end - begin, max_length=int(host.max()), host=host)
        return part, slice(begin, end)

    def halved(self) -> "Ragged":
        """The layout with every second row of each sentence, the first of it included. Waits as `on_host`."""
        host = (self.on_host + 1) // 2
        lengths = host if self.host is self.lengths else (self.lengths + 1) // 2
        return Ragged(lengths, num_rows=int(host.sum()), max_length=(self.max_length + 1) // 2, host=host)

    @cached_property
    def offsets(self) -> Int[Tensor, " B1"]:
        """First row of each sentence, then the number of rows: `[B + 1]`, int32 for variable-length kernels."""
        return torch.nn.functional.pad(self.lengths.cumsum(0), (1, 0)).to(torch.int32)

    @cached_property
    def _bounds(self) -> list[int]:
        """`offsets` as numbers."""
        return [0, *self.on_host.cumsum(0).tolist()]

    @cached_property
    def owners(self) -> Int[Tensor, " N"]:
        """The sentence of each row."""
        sentences = torch.arange(self.num_sentences, device=self.lengths.device)
        return sentences.repeat_interleave(self.lengths, output_size=self.num_rows)

    @cached_property
    def positions(self) -> Int[Tensor, " N"]:
        """The position of each row in its sentence, from 0."""
        return torch.arange(self.num_rows, device=self.lengths.device) - self.offsets.long()[self.owners]

    @cached_property
    def last_rows(self) -> Int[Tensor, " B"]:
        return self.offsets[1:].long() - 1

    @cached_property
    def row_to_grid(self) -> Int[Tensor, " N"]:
        """The position of each row in the flattened grid."""
        return self.owners * self.width + self.positions

    @cached_property
    def filled(self) -> Bool[Tensor, "B L"]:
        """Which grid positions have a row."""
        return torch.arange(self.width, device=self.lengths.device) < self.lengths[:, None]

    @cached_property
    def grid_to_row(self) -> Int[Tensor, "B L"]:
        """The row at each grid position; empty positions repeat the last row of the sentence."""
        steps = torch.arange(self.width, device=self.lengths.device)
        return self.offsets[:-1].long()[:, None] + torch.minimum(steps, self.lengths[:, None] - 1)


def joined(layouts: Sequence[Ragged]) -> Ragged:
    """The layout of items whose parts have these layouts and lie end to end. Waits as `Ragged.on_host`."""
    lengths = torch.stack([layout.lengths for layout in layouts]).sum(0)
    host = lengths if lengths.device.type == "cpu" else torch.stack([layout.on_host for layout in layouts]).sum(0)
    num_rows = sum(layout.num_rows for layout in layouts)
    return Ragged(lengths, num_rows=num_rows, max_length=int(host.max()), host=host)


def joined_rows(layouts: Sequence[Ragged], whole: Ragged) -> Int[Tensor, " N"]:
    """Where the rows of the parts, one part after another, lie in `whole`, which is `joined(layouts)`."""
    firsts, found = whole.offsets[:-1].long(), []
    for layout in layouts:
        found.append(firsts[layout.owners] + layout.positions)
        firsts = firsts + layout.lengths
    return torch.cat(found)


def pack(sentences: Sequence[Sequence[int]]) -> tuple[Int[Tensor, " N"], Ragged]:
    """Token ids of all sentences, and their layout."""
    flat = torch.tensor([token for sentence in sentences for token in sentence], dtype=torch.int64)
    return flat, Ragged.from_lengths([len(sentence) for sentence in sentences])


def cut(order: Sequence[int], budget: int, *sides: Sequence[int]) -> list[list[int]]:
    """Cut `order` into runs of at most `budget` rows on every side; a longer sentence is a run of its own.

    Args: order: indices of sentences; sides: rows of each sentence on each side (source, target).
    """
    runs: list[list[int]] = []
    sums = [budget + 1] * len(sides)
    for i in order:
        sums = [total + side[i] for total, side in zip(sums, sides, strict=True)]
        if max(sums) > budget:
            runs.append([])
            sums = [side[i] for side in sides]
        runs[-1].append(i)
    return runs
