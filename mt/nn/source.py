"""The input of an encoder and its output, which the decoder attends to: packed rows, item after item.

An *item* has one translation: a sentence of text, later an utterance or an image.

Letters: `B` items, `S` source rows, `M` memory rows (possibly fewer than `S`), `F` numbers in a frame, `D` model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mt.inputs.several import SeveralInputs
from mt.nn.ragged import Ragged, joined, pack

# Not yet packed: token ids of sentences, or frames, or several of them each.
Items = Sequence[Sequence[int] | Float[Tensor, "_ F"] | SeveralInputs]


@runtime_checkable  # for the type checks in tests
class Source(Protocol):
    """The source side of a batch. Only an encoder knows what its rows are."""

    @property
    def layout(self) -> Ragged:
        """Of all rows, whatever they are."""
        ...

    @property
    def layouts(self) -> Sequence[Ragged]:
        """Of each input, for `padded`."""
        ...

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Source": ...

    def pin_memory(self) -> "Source": ...

    def part(self, first: int, last: int) -> "Source":
        """Items `first` to `last`, exclusive, without a copy."""
        ...

    def padded(self, layouts: Sequence[Ragged]) -> "Source":
        """The same with rows of zeros appended. Args: layouts: `layouts` with more items."""
        ...


@dataclass(frozen=True)
class RowSource:
    """The source side of a batch with one input."""

    rows: Tensor
    layout: Ragged

    @property
    def layouts(self) -> list[Ragged]:
        return [self.layout]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "RowSource":
        rows = self.rows.to(device, non_blocking=non_blocking)
        return type(self)(rows, self.layout.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "RowSource":
        return type(self)(self.rows.pin_memory(), self.layout.pin_memory())

    def part(self, first: int, last: int) -> "RowSource":
        layout, rows = self.layout.part(first, last)
        return type(self)(self.rows[rows], layout)

    def shortened(self, items: Bool[Tensor, " B"]) -> "RowSource":
        """The same with the first row only of these items. Waits if the source is on an accelerator."""
        keep = ~items[self.layout.owners] | (self.layout.positions == 0)
        lengths = self.layout.lengths.masked_fill(items, 1).tolist()
        return type(self)(self.rows[keep], Ragged.from_lengths(lengths, self.rows.device))

    def padded(self, layouts: Sequence[Ragged]) -> "RowSource":
        (layout,) = layouts
        zeros = self.rows.new_zeros(layout.num_rows - self.layout.num_rows, *self.rows.shape[1:])
        return type(self)(torch.cat([self.rows, zeros]), layout)


@dataclass(frozen=True)
class TokenSource(RowSource):
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
class FrameSource(RowSource):
    """Features, such as speech frames or image patches: each row is `F` numbers."""

    rows: Float[Tensor, "S F"]

    @classmethod
    def pack(cls, items: Sequence[Float[Tensor, "_ F"]]) -> "FrameSource":
        """Args: items: frames, at least one each."""
        return cls(torch.cat(list(items)), Ragged.from_lengths([len(item) for item in items]))


@dataclass(frozen=True)
class SeveralSources:
    """The source side of a batch with several inputs. Every item has a row or more in each part, missing or not."""

    parts: tuple[RowSource, ...]
    present: Bool[Tensor, "B _P"]  # false where an input of an item is missing

    @property
    def layout(self) -> Ragged:
        return joined(self.layouts)

    @property
    def layouts(self) -> list[Ragged]:
        return [part.layout for part in self.parts]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "SeveralSources":
        parts = tuple(part.to(device, non_blocking=non_blocking) for part in self.parts)
        return SeveralSources(parts, self.present.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "SeveralSources":
        return SeveralSources(tuple(part.pin_memory() for part in self.parts), self.present.pin_memory())

    def part(self, first: int, last: int) -> "SeveralSources":
        return SeveralSources(tuple(part.part(first, last) for part in self.parts), self.present[first:last])

    def without(self, left_out: Bool[Tensor, "B _P"]) -> "SeveralSources":
        """The same with inputs of some items missing. Waits if the source is on an accelerator."""
        parts = tuple(part.shortened(items) for part, items in zip(self.parts, left_out.unbind(1), strict=True))
        return SeveralSources(parts, self.present & ~left_out)

    def padded(self, layouts: Sequence[Ragged]) -> "SeveralSources":
        parts = tuple(part.padded([layout]) for part, layout in zip(self.parts, layouts, strict=True))
        missing = layouts[0].num_sentences - len(self.present)
        return SeveralSources(parts, torch.cat([self.present, self.present.new_ones(missing, len(parts))]))


def pack_items(items: Items) -> Source:
    """Args: items: all of one kind: token ids, or frames, or the same inputs."""
    if isinstance(items[0], SeveralInputs):
        columns = zip(*(item.parts for item in items), strict=True)  # pyright: ignore[reportAttributeAccessIssue]
        present = torch.tensor([item.present for item in items])  # pyright: ignore[reportAttributeAccessIssue]
        return SeveralSources(tuple(pack_items(column) for column in columns), present)  # pyright: ignore[reportArgumentType]
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

    every = 1  # source rows for a row of the memory, rounded up: where pictures of attention lay the weights

    @property
    def vectors(self) -> list[nn.Parameter]:
        """Parameters that are initialized like embeddings, besides those of its `Embedding` and `InputLayer`."""
        return []

    def pack(self, items: Items) -> Any:
        """The `Source` of items, of the kind that this encoder reads, on the CPU."""
        return pack_items(items)

    def forward(self, source: Any) -> Memory:
        """Args: source: as from `pack`."""
        raise NotImplementedError
