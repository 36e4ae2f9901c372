"""What a decoder remembers between two steps, so that a step costs one row and not the whole prefix.

The hypotheses of a sentence are a tree: all begin alike, and part later. What attention needs of a row is kept once,
as a *node* of its sentence, however many hypotheses go on from it, and `seen` says which nodes lie behind which
hypothesis. When hypotheses change places, only this table does; keys and values, thousands of times its size, stay
where they are. A node behind which no hypothesis stands any more makes way for a new one. When a sentence leaves, the
last one that stays may take its place: then nothing else moves.

Letters: `R` hypotheses under construction, `B` sentences, `W` hypotheses of each (`R = B * W`; the rows of a sentence
are neighbours), `G` key/value heads, `K` size of a head, `L` places of the memory, `N` places for nodes of a sentence.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PLACES = 16  # the number of places is a multiple: softmax of shorter rows takes the CPU six times as long


class PastKeys:
    """Keys and values of all nodes, of one layer; zero where no node has been, for what is hidden must be finite."""

    def __init__(self, *buffers: Float[Tensor, "B G N K"]) -> None:
        self._buffers = list(buffers)  # keys and values; empty before the first node

    def write(
        self, kv: Float[Tensor, "R 2 G K"], places: Int[Tensor, "B W"], num_places: int
    ) -> tuple[Float[Tensor, "B G N K"], Float[Tensor, "B G N K"]]:
        """Put a node for every hypothesis where `places` says, in the order of the rows; all keys and all values."""
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
        """Whether the keys begin there in memory, and have so many places."""
        return (
            bool(self._buffers) and self._buffers[0].data_ptr() == address and self._buffers[0].shape[2] == num_places
        )

    def take(self, other: "PastKeys") -> None:
        """What the other holds, in the memory of this one, which has space for as much or more."""
        for side, old in zip(self._buffers, other._buffers or [None, None], strict=True):
            side.zero_() if old is None else fill(side, old)


@dataclass(kw_only=True)
class MemoryKeys:
    """Keys and values of the memory, of one layer: computed once per sentence, shared by its hypotheses.

    The keys lie in memory as [B, G, K, L], the way `look_up` multiplies them: at 40 places in 16 bits its product takes
    0.3 ms instead of 1.4.
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
    """All that lies between two steps of a decoder."""

    memory: list[MemoryKeys]  # per layer
    memory_bias: Float[Tensor, "B 1 L"]  # minus infinity at places of the memory that hold no row
    past: list[PastKeys]  # per layer
    seen: Bool[Tensor, "B W N"]  # which nodes lie behind each hypothesis
    past_bias: Float[Tensor, "B W N"]  # the same for attention
    places: Int[Tensor, "B W"]  # of the nodes of this step
    position: int = 0  # of the next token
    attended: list[Float[Tensor, "B W L"]] | None = None  # weights on the memory, last step, per layer; None: not kept

    @classmethod
    def first(cls, memory: list[MemoryKeys], *, hidden: Bool[Tensor, "B L"]) -> "DecoderState":
        """Before the first step: one hypothesis for each sentence, and no node."""
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
        """Every hypothesis takes one more position: a node of its own, which only it sees."""
        width, num_places = self.seen.shape[1:]
        assert num_rows == self.num_sentences * width, "one token for each hypothesis"
        used = self.seen.any(dim=1)
        need = int(used.sum(dim=1).max()) + width
        if need > num_places:
            more = -(-need // PLACES) * PLACES - num_places
            self.seen, used = F.pad(self.seen, (0, more)), F.pad(used, (0, more))
        self.places = used.byte().argsort(dim=1, stable=True)[:, :width]  # the first that are free
        self.seen = self.seen.scatter(2, self.places[:, :, None], True)
        self.past_bias = as_bias(~self.seen, self.memory_bias.dtype)
        self.position += 1
        self.attended = None if self.attended is None else []

    def write(
        self, layer: int, kv: Float[Tensor, "R 2 G K"]
    ) -> tuple[Float[Tensor, "B G N K"], Float[Tensor, "B G N K"]]:
        """This step's nodes of one layer; all keys and values of the layer."""
        return self.past[layer].write(kv, self.places, self.seen.shape[2])

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        """Hypothesis i goes on from hypothesis `rows[i]`; with `sentences`, only those stay in the batch."""
        num_sentences = self.num_sentences if sentences is None else len(sentences)
        self.seen = self.seen.flatten(0, 1).index_select(0, rows).unflatten(0, (num_sentences, -1))
        if sentences is not None:
            self.memory_bias = move(self.memory_bias, sentences)
            for layer in (*self.memory, *self.past):
                layer.select(sentences)

    def move_into(self, buffers: "DecoderState") -> None:
        """Go on in the memory of another state, which is of as many sentences and has space for as much or more."""
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
    """x at the front of `buffer`, in every dimension, and `rest` behind. They may lie in the same memory."""
    behind = [n for inside, size in zip(buffer.shape[::-1], x.shape[::-1], strict=True) for n in (0, inside - size)]
    buffer.copy_(F.pad(x, behind, value=rest))


def move(x: Float[Tensor, "B *rest"], sentences: Int[Tensor, " B2"]) -> Float[Tensor, "B2 *rest"]:
    """`x[sentences]` in the memory of x: only sentences whose place changes are copied."""
    into = (sentences != torch.arange(len(sentences), device=sentences.device)).nonzero().flatten()
    if len(into):
        x.index_copy_(0, into, x.index_select(0, sentences[into]))
    return x[: len(sentences)]


def as_bias(hidden: Bool[Tensor, "B _ L"], dtype: torch.dtype) -> Float[Tensor, "B _ L"]:
    """What to add to attention scores so that these keys have no weight."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
