"""What a model reads and what its decoder attends to: packed rows, item after item.

An *item* is what has one translation: a sentence of text, later an utterance or an image. A batch holds its items as a
`Source`, the encoder makes a `Memory` of it, and nothing but the encoder knows what the rows are.

Letters: `B` items, `S` source rows, `M` memory rows (there may be fewer than `S`), `F` numbers in a frame, `D` model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mt.nn.ragged import Ragged, pack

Items = Sequence[Sequence[int] | Float[Tensor, "_ F"]]  # not yet packed: token ids of sentences, or frames


@runtime_checkable  # so that shape checks in tests can tell one
class Source(Protocol):
    """The source side of a batch, to everything but an encoder."""

    @property
    def layout(self) -> Ragged:
        """Which rows belong to which item."""
        ...

    @property
    def device(self) -> torch.device: ...

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Source": ...

    def pin_memory(self) -> "Source":
        """A copy in memory from which a GPU copies by itself."""
        ...

    def part(self, first: int, last: int) -> "Source":
        """The items from `first` up to, not including, `last`, without a copy. Waits for a GPU."""
        ...

    def padded(self, layout: Ragged) -> "Source":
        """Rows of zeros behind the own ones. Args: layout: the own one with more items."""
        ...


@dataclass(frozen=True)
class _PackedRows:
    """A source that is one tensor."""

    rows: Tensor
    layout: Ragged

    @property
    def device(self) -> torch.device:
        return self.rows.device

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "_PackedRows":
        rows = self.rows.to(device, non_blocking=non_blocking)
        return type(self)(rows, self.layout.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "_PackedRows":
        return type(self)(self.rows.pin_memory(), self.layout.pin_memory())

    def part(self, first: int, last: int) -> "_PackedRows":
        layout, rows = self.layout.part(first, last)
        return type(self)(self.rows[rows], layout)

    def padded(self, layout: Ragged) -> "_PackedRows":
        zeros = self.rows.new_zeros(layout.num_rows - self.layout.num_rows, *self.rows.shape[1:])
        return type(self)(torch.cat([self.rows, zeros]), layout)


@dataclass(frozen=True)
class TokenSource(_PackedRows):
    """Text: a token id for each row."""

    rows: Int[Tensor, " S"]

    @classmethod
    def pack(cls, items: Sequence[Sequence[int]]) -> "TokenSource":
        """Args: items: token ids, each ended by eos."""
        return cls(*pack(items))

    def items(self) -> list[list[int]]:
        """What was packed. Waits for a GPU."""
        return [ids.tolist() for ids in self.rows.cpu().split(self.layout.lengths.tolist())]


@dataclass(frozen=True)
class FrameSource(_PackedRows):
    """Features of any origin, such as speech frames or patches of an image: `F` numbers for each row."""

    rows: Float[Tensor, "S F"]

    @classmethod
    def pack(cls, items: Sequence[Float[Tensor, "_ F"]]) -> "FrameSource":
        """Args: items: frames, at least one each."""
        return cls(torch.cat(list(items)), Ragged.from_lengths([len(item) for item in items]))


@dataclass(frozen=True)
class Memory:
    """What the decoder attends to: rows of any origin, and which item owns them."""

    rows: Float[Tensor, "M D"]
    layout: Ragged


class SourceEncoder(nn.Module):
    """Makes a memory of the source side of a batch: `encoder(source) -> Memory`."""

    def pack(self, items: Any) -> Source:
        """`Items` of the kind that this encoder reads, as a source on the CPU."""
        raise NotImplementedError

    def forward(self, source: Any) -> Memory:
        """Args: source: what `pack` gives."""
        raise NotImplementedError
