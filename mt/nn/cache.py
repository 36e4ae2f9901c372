"""The keys and values that a decoder caches, so that a step computes one row and not the whole prefix.

The hypotheses of a sentence share prefixes, so they are a tree. The keys and values of a token are stored once, as a
*node*, for all hypotheses that have this token in their prefix; `seen` says which nodes each hypothesis has. Reordering
hypotheses changes this table only, and not the keys and values, which are thousands of times larger. The place of a
node that no hypothesis has is used again. A sentence that leaves the batch may be overwritten by the last one, so that
no other has to move.

Letters: `R` hypotheses under construction, `B` sentences, `W` hypotheses of each (`R = B * W`; the rows of a sentence
are neighbours), `G` key/value heads, `K` size of a head, `L` places of the memory, `N` places for nodes of a sentence.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mt.nn.attention import as_bias

PLACES = 16  # the number of places is a multiple of it: softmax on shorter rows is six times slower on a CPU


class PastKeys:
    """Keys and values of all nodes, of one layer; zero in unused places, since hidden keys must be finite."""

    def __init__(self, *buffers: Float[Tensor, "B G N K"]) -> None:
        self._buffers = list(buffers)  # keys and values; empty before the first node

    def write(
        self, kv: Float[Tensor, "R 2 G K"], places: Int[Tensor, "B W"], num_places: int
    ) -> tuple[Float[Tensor, "B G N K"], Float[Tensor, "B G N K"]]:
        """Write a node for every hypothesis into its place. Returns all keys and all values."""
        B, G, K = len(places), kv.shape[2], kv.shape[3]
        if not self._buffers:
            self._buffers = [kv.new_zeros(B, G, num_places, K) for _ in range(2)]
        elif self._buffers[0].shape[2] < num_places:
            more = num_places - self._buffers[0].shape[2]
            self._buffers = [F.pad(side, (0, 0, 0, more)) for side in self._buffers]
        heads = torch.arange(B * G, device=places.device).view(B, 1, G) * num_places
        rows = (heads + places[:, :, None]).flatten()  # of [B * G * N, K], for every hypothesis and head
        for side, new in zip(self._buffers, kv.unbind(1), strict=True):
            side.view(-1, K).index_copy_(0, rows, new.reshape(-1, K))
        keys, values = self._buffers
        return keys, values

    def select(self, sentences: Int[Tensor, " B2"]) -> None:
        self._buffers = [move(side, sentences) for side in self._buffers]

    def lies_at(self, address: int, num_places: int) -> bool:
        """Whether the keys are at this address, with this number of places."""
        return (
            bool(self._buffers) and self._buffers[0].data_ptr() == address and self._buffers[0].shape[2] == num_places
        )

    def take(self, other: "PastKeys") -> None:
        """Copy the contents of `other` into the buffers of this one, which may be larger."""
        for side, old in zip(self._buffers, other._buffers or [None, None], strict=True):
            side.zero_() if old is None else fill(side, old)


@dataclass(kw_only=True)
class MemoryKeys:
    """Keys and values of the memory, of one layer: computed once per sentence, shared by its hypotheses.

    The keys are contiguous as [B, G, K, L], the layout in which `attend_cached` multiplies them fastest.
    """

    keys: Float[Tensor, "B G L K"]
    values: Float[Tensor, "B G L K"]

    def select(self, sentences: Int[Tensor, " B2"]) -> None:
        self.keys = move(self.keys.transpose(2, 3), sentences).transpose(2, 3)
        self.values = move(self.values, sentences)

    def take(self, other: "MemoryKeys") -> None:
        """As `PastKeys.take`."""
        fill(self.keys, other.keys)
        fill(self.values, other.values)


@dataclass(kw_only=True)
class DecoderState:
    """The state of a decoder between two steps."""

    memory: list[MemoryKeys]  # per layer
    memory_bias: Float[Tensor, "B 1 L"]  # minus infinity in empty places of the memory
    past: list[PastKeys]  # per layer
    seen: Bool[Tensor, "B W N"]  # the nodes of each hypothesis
    past_bias: Float[Tensor, "B W N"]  # minus infinity for all other nodes
    places: Int[Tensor, "B W"]  # of the nodes of this step
    position: int = 0  # of the next token
    attended: list[Float[Tensor, "B W L"]] | None = None  # last step's weights on the memory, per layer

    @classmethod
    def first(cls, memory: list[MemoryKeys], *, hidden: Bool[Tensor, "B L"]) -> "DecoderState":
        """The state before the first step: one hypothesis for each sentence, and no node."""
        seen = hidden.new_zeros(len(hidden), 1, 0)
        return cls(
            memory=memory,
            memory_bias=as_bias(hidden[:, None], memory[0].keys.dtype),
            past=[PastKeys() for _ in memory],
            seen=seen,
            past_bias=as_bias(seen, memory[0].keys.dtype),
            places=seen.new_zeros(seen.shape[:2], dtype=torch.long),
        )

    @property
    def num_sentences(self) -> int:
        return len(self.seen)

    def advance(self, num_rows: int) -> None:
        """Add a node for the next token of every hypothesis, which only this hypothesis sees."""
        width, num_places = self.seen.shape[1:]
        assert num_rows == self.num_sentences * width, "one token for each hypothesis"
        used = self.seen.any(dim=1)
        need = int(used.sum(dim=1).max()) + width
        if need > num_places:
            more = -(-need // PLACES) * PLACES - num_places
            self.seen, used = F.pad(self.seen, (0, more)), F.pad(used, (0, more))
        self.places = used.byte().argsort(dim=1, stable=True)[:, :width]  # the first free ones
        self.seen = self.seen.scatter(2, self.places[:, :, None], True)
        self.past_bias = as_bias(~self.seen, self.memory_bias.dtype)
        self.position += 1
        self.attended = None if self.attended is None else []

    def write(
        self, layer: int, kv: Float[Tensor, "R 2 G K"]
    ) -> tuple[Float[Tensor, "B G N K"], Float[Tensor, "B G N K"]]:
        """Write the nodes of this step of one layer. Returns all keys and all values of the layer."""
        return self.past[layer].write(kv, self.places, self.seen.shape[2])

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        """Hypothesis i continues hypothesis `rows[i]`. Args: sentences: those that stay in the batch; None: all."""
        num_sentences = self.num_sentences if sentences is None else len(sentences)
        self.seen = self.seen.flatten(0, 1).index_select(0, rows).unflatten(0, (num_sentences, -1))
        if sentences is not None:
            self.memory_bias = move(self.memory_bias, sentences)
            for layer in (*self.memory, *self.past):
                layer.select(sentences)

    def move_into(self, buffers: "DecoderState") -> None:
        """Continue in the buffers of another state, which has as many sentences, and as many places or more."""
        for memory, other in zip(buffers.memory, self.memory, strict=True):
            memory.take(other)
        for past, other in zip(buffers.past, self.past, strict=True):
            past.take(other)
        fill(buffers.memory_bias, self.memory_bias, float("-inf"))
        self.memory, self.past, self.memory_bias = buffers.memory, buffers.past, buffers.memory_bias
        more = buffers.seen.shape[2] - self.seen.shape[2]
        self.seen = F.pad(self.seen, (0, more))
        self.past_bias = F.pad(self.past_bias, (0, more), value=float("-inf"))


def fill(buffer: Float[Tensor, "..."], x: Float[Tensor, "..."], rest: float = 0.0) -> None:
    """Copy x to the front of `buffer` in every dimension, and set the rest. The two may overlap."""
    padding = [n for inside, size in zip(buffer.shape[::-1], x.shape[::-1], strict=True) for n in (0, inside - size)]
    buffer.copy_(F.pad(x, padding, value=rest))


def move(x: Float[Tensor, "B *rest"], sentences: Int[Tensor, " B2"]) -> Float[Tensor, "B2 *rest"]:
    """`x[sentences]` in the memory of x; copies only the sentences that move."""
    moved = (sentences != torch.arange(len(sentences), device=sentences.device)).nonzero().flatten()
    if len(moved):
        x.index_copy_(0, moved, x.index_select(0, sentences[moved]))
    return x[: len(sentences)]
