"""Encoders of several inputs: one memory, in which the memories of the inputs lie end to end.

    concat         each input has its own encoder (Zoph & Knight 2016, arXiv 1601.00710), and the decoder one attention
                   over all memories ("flat" in Libovický et al. 2018, arXiv 1811.04716)
    co_attention   two encoders whose layers also attend to the rows of the other (Lu et al. 2019, arXiv 1908.02265)

Every row of the memory gets a learned embedding of its input. An input that an item lacks is one learned row, so that
no attention is over nothing, and the decoder learns what its absence means. Source dropout makes such items in training
(`mt.data.batching.input_rows`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mt.config import ModelConfig
from mt.nn.ragged import Ragged, joined, joined_rows
from mt.nn.source import Memory, SeveralSources, SourceEncoder
from mt.nn.transformer import EncoderLayer, embedding_matrix, final_norm, make_attention, make_norm


class ConcatEncoder(SourceEncoder):
    """An encoder for each input."""

    def __init__(self, config: ModelConfig, encoders: Sequence[SourceEncoder], used: Sequence[int]) -> None:
        """Args: encoders: all different; used: the place of the encoder of each input."""
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.used = list(used)
        self.kinds = embedding_matrix(len(used), config)  # the embedding of each input
        self.absent = embedding_matrix(len(used), config)  # what stands in for each input

    @property
    def vectors(self) -> list[nn.Parameter]:
        return [self.kinds, self.absent]

    @property
    def of_inputs(self) -> list[Any]:
        """The encoder of each input."""
        return [self.encoders[place] for place in self.used]

    def forward(self, source: SeveralSources) -> Memory:
        return end_to_end(
            [
                Memory(memory.rows + kind.to(memory.rows.dtype), memory.layout)
                for memory, kind in zip(self.memories(source), self.kinds, strict=True)
            ]
        )

    def memories(self, source: SeveralSources) -> list[Memory]:
        """The memory of each input, before its embedding is added."""
        found = [encoder(part) for encoder, part in zip(self.of_inputs, source.parts, strict=True)]
        return self.with_absent(found, source)

    def with_absent(self, memories: Sequence[Memory], source: SeveralSources) -> list[Memory]:
        """The same with the learned row in place of each missing input."""
        found = []
        for memory, absent, present in zip(memories, self.absent, source.present.unbind(1), strict=True):
            here = present[memory.layout.owners][:, None]
            rows = torch.where(here, memory.rows, absent.to(memory.rows.dtype))
            found.append(Memory(rows, memory.layout))
        return found


class CoAttentionLayer(EncoderLayer):
    """Self-attention, attention to the rows of the other input, then feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.cross_attention = make_attention(config, rotary=False)
        self.cross_norm = make_norm(config)
        self.memory_norm = final_norm(config)  # with pre-norm, the other input's rows are not normalised yet

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Float[Tensor, "S D"], layout: Ragged, other: Memory
    ) -> Float[Tensor, "S D"]:
        memory = Memory(self.memory_norm(other.rows), other.layout)
        x = self.residual(self.self_norm, x, lambda rows: self.self_attention(rows, layout))
        x = self.residual(self.cross_norm, x, lambda rows: self.cross_attention(rows, layout, memory=memory))
        return self.residual(self.feed_forward_norm, x, self.feed_forward)


class CoAttentionEncoder(ConcatEncoder):
    """Two encoders of `CoAttentionLayer`. In each layer both attend to the rows with which the other enters it."""

    def memories(self, source: SeveralSources) -> list[Memory]:
        first, second = self.of_inputs
        embedded = [encoder.embed(part) for encoder, part in zip((first, second), source.parts, strict=True)]
        a, b = self.with_absent(embedded, source)
        for layer, other in zip(first.layers, second.layers, strict=True):
            a, b = Memory(layer(a.rows, a.layout, b), a.layout), Memory(other(b.rows, b.layout, a), b.layout)
        return [Memory(first.norm(a.rows), a.layout), Memory(second.norm(b.rows), b.layout)]


def end_to_end(memories: Sequence[Memory]) -> Memory:
    """One memory: for each item its rows of the first memory, then those of the second, and so on."""
    layouts = [memory.layout for memory in memories]
    whole, rows = joined(layouts), torch.cat([memory.rows for memory in memories])
    # Every row has one place, and this backward pass, unlike that of a choice of rows, is a choice of rows.
    return Memory(torch.empty_like(rows).index_copy(0, joined_rows(layouts, whole), rows), whole)
