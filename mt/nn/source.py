"""The input of an encoder and its output, which the decoder attends to: packed rows, item after item.

An *item* has one translation: a sentence of text, later an utterance or an image.

Letters: `B` items, `S` source rows, `M` memory rows (possibly fewer than `S`), `F` numbers in a frame, `D` model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mt.nn.ragged import Ragged, pack

Items = Sequence[Sequence[int] | Float[Tensor, "_ F"]]  # not yet packed: token ids of sentences, or frames


@dataclass(frozen=True)
class Source:
    """The source side of a batch. Only an encoder knows what its rows are."""

    rows: Tensor
    layout: Ragged

    @property
    def device(self) -> torch.device:
        return self.rows.device

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Source":
        rows = self.rows.to(device, non_blocking=non_blocking)
        return type(self)(rows, self.layout.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Source":
        return type(self)(self.rows.pin_memory(), self.layout.pin_memory())

    def part(self, first: int, last: int) -> "Source":
        """Items `first` to `last`, exclusive, without a copy. Waits for a GPU."""
        layout, rows = self.layout.part(first, last)
        return type(self)(self.rows[rows], layout)

    def padded(self, layout: Ragged) -> "Source":
        """The same with rows of zeros appended. Args: layout: this one with more items."""
        zeros = self.rows.new_zeros(layout.num_rows - self.layout.num_rows, *self.rows.shape[1:])
        return type(self)(torch.cat([self.rows, zeros]), layout)


@dataclass(frozen=True)
class TokenSource(Source):
    """Text: each row is a token id."""

    rows: Int[Tensor, " S"]

    @classmethod
    def pack(cls, items: Sequence[Sequence[int]]) -> "TokenSource":
        """Args: items: token ids, each with eos at the end."""
        return cls(*pack(items))

    def items(self) -> list[list[int]]:
        """The inverse of `pack`. Waits for a GPU."""
        return [ids.tolist() for ids in self.rows.cpu().split(self.layout.lengths.tolist())]


@dataclass(frozen=True)
class FrameSource(Source):
    """Features, such as speech frames or image patches: each row is `F` numbers."""

    rows: Float[Tensor, "S F"]

    @classmethod
    def pack(cls, items: Sequence[Float[Tensor, "_ F"]]) -> "FrameSource":
        """Args: items: frames, at least one each."""
        return cls(torch.cat(list(items)), Ragged.from_lengths([len(item) for item in items]))


def pack_items(items: Items) -> Source:
    """Args: items: all of one kind: token ids, or frames."""
    if isinstance(items[0], Tensor):
        return FrameSource.pack(items)  # pyright: ignore[reportArgumentType]
    return TokenSource.pack(items)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Memory:
    """The output of an encoder, which the decoder attends to."""

    rows: Float[Tensor, "M D"]
    layout: Ragged


class SourceEncoder(nn.Module):
    """Turns the source side of a batch into a memory: `encoder(source) -> Memory`."""

    def pack(self, items: Any) -> Source:
        """A source on the CPU. Args: items: `Items` of the kind that this encoder reads."""
        raise NotImplementedError

    def forward(self, source: Any) -> Memory:
        """Args: source: as from `pack`."""
        raise NotImplementedError
