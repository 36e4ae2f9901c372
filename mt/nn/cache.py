"""What a decoder remembers between two steps, so that a step costs one row and not the whole prefix.

The hypotheses of a sentence are a tree: all begin alike, and part later. What attention needs of a row is kept once,
as a *node* of its sentence, however many hypotheses go on from it, and `seen` says which nodes lie behind which
hypothesis. When hypotheses change places, only this table does; keys and values, thousands of times its size, stay
where they are. Nodes behind which no hypothesis stands any more are dropped now and then.

Letters: `R` hypotheses under construction, `B` sentences, `W` hypotheses of each (`R = B * W`; the rows of a sentence
are neighbours), `G` key/value heads, `K` size of a head, `L` places of the memory, `N` nodes of a sentence.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FIRST_CAPACITY = 32
TIDY_EVERY = 4  # steps; dropping nodes copies those that stay, and those not dropped are multiplied for nothing


class PastKeys:
    """Keys and values of all nodes, of one layer. Room doubles when it runs out."""

    def __init__(self) -> None:
        self.length = 0
        self._room: Tensor | None = None  # [2, B, G, capacity, K]

    def append(
        self, kv: Float[Tensor, "R 2 G K"], num_sentences: int
    ) -> tuple[Float[Tensor, "B G N K"], Float[Tensor, "B G N K"]]:
        """Add a node for every hypothesis, in the order of the rows; returns all keys and all values so far."""
        new = kv.unflatten(0, (num_sentences, -1)).permute(2, 0, 3, 1, 4)  # (B*W, 2, G, K) -> (2, B, G, W, K)
        end = self.length + new.shape[3]
        room = self._room
        if room is None or room.shape[3] < end:
            capacity = max(FIRST_CAPACITY, 2 * end)
            grown = new.new_empty(*new.shape[:3], capacity, new.shape[4])
            if room is not None:
                grown[:, :, :, : self.length] = room[:, :, :, : self.length]
            self._room = room = grown
        room[:, :, :, self.length : end] = new
        self.length = end
        keys, values = room[:, :, :, :end].unbind(0)
        return keys, values

    def select(self, sentences: Int[Tensor, " B2"], nodes: Int[Tensor, "B2 N2"]) -> None:
        """Keep these sentences, and of each of them these nodes."""
        if self._room is None:
            return
        _, B, G, capacity, K = self._room.shape
        heads = torch.arange(G, device=nodes.device)[:, None]
        rows = (sentences[:, None, None] * G + heads) * capacity + nodes[:, None]  # [B2, G, N2]
        rows = torch.stack([rows, rows + B * G * capacity])
        room = self._room.new_empty(2, len(sentences), G, capacity, K)
        self.length = nodes.shape[1]
        room[:, :, :, : self.length] = self._room.view(-1, K).index_select(0, rows.view(-1)).view(*rows.shape, K)
        self._room = room


@dataclass(kw_only=True)
class MemoryKeys:
    """Keys and values of the memory, of one layer: computed once per sentence, shared by its hypotheses.

    The keys lie in memory as [B, G, K, L], the way `look_up` multiplies them: at 40 places in 16 bits its product takes
    0.3 ms instead of 1.4.
    """

    keys: Float[Tensor, "B G L K"]
    values: Float[Tensor, "B G L K"]

    def select(self, sentences: Int[Tensor, " B2"]) -> "MemoryKeys":
        keys = self.keys.transpose(2, 3).index_select(0, sentences).transpose(2, 3)
        return MemoryKeys(keys=keys, values=self.values.index_select(0, sentences))


@dataclass(kw_only=True)
class DecoderState:
    """All that lies between two steps of a decoder."""

    memory: list[MemoryKeys]  # per layer
    memory_bias: Float[Tensor, "B 1 L"]  # minus infinity at places of the memory that hold no row
    past: list[PastKeys]  # per layer
    seen: Bool[Tensor, "B W N"]  # which nodes lie behind each hypothesis
    past_bias: Float[Tensor, "B W N"] | None = None  # the same for attention; None: every node behind every hypothesis
    position: int = 0  # of the next token
    tidied: int = field(default=0)  # the position at which nodes were dropped last

    @classmethod
    def first(cls, memory: list[MemoryKeys], *, hidden: Bool[Tensor, "B L"]) -> "DecoderState":
        """Before the first step: one hypothesis for each sentence, and no node."""
        return cls(
            memory=memory,
            memory_bias=as_bias(hidden[:, None], memory[0].keys.dtype),
            past=[PastKeys() for _ in memory],
            seen=hidden.new_ones(len(hidden), 1, 0),
        )

    @property
    def num_sentences(self) -> int:
        return len(self.seen)

    def advance(self, num_rows: int) -> None:
        """Every hypothesis takes one more position: a node of its own, which only it sees."""
        width = self.seen.shape[1]
        assert num_rows == self.num_sentences * width, "one token for each hypothesis"
        own = torch.eye(width, dtype=torch.bool, device=self.seen.device).expand(self.num_sentences, -1, -1)
        self.seen = torch.cat([self.seen, own], dim=2)
        self.past_bias = None if self.alone else as_bias(~self.seen, self.memory_bias.dtype)
        self.position += 1

    @property
    def alone(self) -> bool:
        """Whether no sentence has ever had two hypotheses: as many nodes as positions, and one row that sees them."""
        return self.seen.shape[1] == 1 and self.seen.shape[2] == self.position + 1

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        """Hypothesis i goes on from hypothesis `rows[i]`; with `sentences`, only those stay in the batch."""
        num_sentences = self.num_sentences if sentences is None else len(sentences)
        self.seen = self.seen.flatten(0, 1).index_select(0, rows).unflatten(0, (num_sentences, -1))
        if sentences is not None:
            self.memory = [layer.select(sentences) for layer in self.memory]
            self.memory_bias = self.memory_bias.index_select(0, sentences)
        elif self.seen.shape[1] == 1 or self.position < self.tidied + TIDY_EVERY:
            return
        self.tidy(sentences)

    def tidy(self, sentences: Int[Tensor, " B2"] | None) -> None:
        """Drop the nodes that no hypothesis goes on from. All sentences keep as many as the one that needs most."""
        self.tidied = self.position
        used = self.seen.any(dim=1)
        most = int(used.sum(dim=1).max())
        nodes = used.byte().argsort(dim=1, descending=True, stable=True)[:, :most]  # in their order, used ones first
        self.seen = self.seen.gather(2, nodes[:, None].expand(-1, self.seen.shape[1], -1))
        if sentences is None:
            sentences = torch.arange(len(nodes), device=nodes.device)
        for past in self.past:
            past.select(sentences, nodes)


def as_bias(hidden: Bool[Tensor, "B _ L"], dtype: torch.dtype) -> Float[Tensor, "B _ L"]:
    """What to add to attention scores so that these keys have no weight."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
