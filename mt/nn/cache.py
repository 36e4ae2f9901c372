"""What a decoder remembers between two steps, so that a step costs one row and not the whole prefix.

Letters: `R` hypotheses under construction, `B` sentences (`R` is a multiple of `B`; the rows of a sentence are
neighbours), `G` key/value heads, `K` size of a head, `L` places.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FIRST_CAPACITY = 16


class PastKeys:
    """Keys and values of the positions decoded so far, of one layer. Room doubles when it runs out."""

    def __init__(self) -> None:
        self.length = 0
        self._room: Tensor | None = None  # [2, R, G, capacity, K]

    def append(self, kv: Float[Tensor, "R 2 G K"]) -> tuple[Float[Tensor, "R G L K"], Float[Tensor, "R G L K"]]:
        """Add one position for every row; returns all keys and all values so far."""
        R, _, G, K = kv.shape
        if self._room is None:
            self._room = kv.new_empty(2, R, G, FIRST_CAPACITY, K)
        elif self.length == self._room.shape[3]:
            self._room = torch.cat([self._room, torch.empty_like(self._room)], dim=3)
        self._room[:, :, :, self.length] = kv.transpose(0, 1)
        self.length += 1
        keys, values = self._room[:, :, :, : self.length].unbind(0)
        return keys, values

    def reorder(self, rows: Int[Tensor, " R2"]) -> None:
        """Row i goes on from what was row `rows[i]`."""
        if self._room is not None:
            room = self._room.new_empty(2, rows.numel(), *self._room.shape[2:])
            room[:, :, :, : self.length] = self._room[:, :, :, : self.length].index_select(1, rows)
            self._room = room


@dataclass(kw_only=True)
class MemoryKeys:
    """Keys and values of the memory, of one layer: computed once per sentence, shared by its hypotheses."""

    keys: Float[Tensor, "B G L K"]
    values: Float[Tensor, "B G L K"]

    def select(self, sentences: Int[Tensor, " B2"]) -> "MemoryKeys":
        keys = self.keys.index_select(0, sentences)
        return MemoryKeys(keys=keys, values=self.values.index_select(0, sentences))


@dataclass(kw_only=True)
class DecoderState:
    """All that lies between two steps of a decoder."""

    memory: list[MemoryKeys]  # per layer
    hidden: Bool[Tensor, "B L"]  # places of the memory that hold no row
    past: list[PastKeys] = field(default_factory=list)  # per layer
    position: int = 0  # of the next token

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        """Hypothesis i goes on from hypothesis `rows[i]`; with `sentences`, only those stay in the batch."""
        for past in self.past:
            past.reorder(rows)
        if sentences is not None:
            self.memory = [layer.select(sentences) for layer in self.memory]
            self.hidden = self.hidden.index_select(0, sentences)
