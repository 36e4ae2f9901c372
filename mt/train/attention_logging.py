"""Attention logging at validations: the entropy of each cross-attention layer, pictures for a few dev pairs and, for a
model of several inputs, the share of each.

The pairs are the same for the whole run, and their targets are the references, so pictures can be compared over time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mt.alignment.heads import AlignmentHeads, head_mean, word_maps
from mt.alignment.observe import Observation, observe
from mt.config import Subset
from mt.data.corpus.pair import Pair
from mt.inputs.reader import InputReader
from mt.interpret.heat_maps import HeatMaps
from mt.interpret.input_pictures import picture_of
from mt.interpret.inputs import InputObservation, observe_inputs
from mt.nn.transformer import Transformer
from mt.text.lines import spread
from mt.text.tokenizer import Tokenizer
from mt.text.words import reading_words

MAX_WORDS = 25  # a side, of pairs that are pictured where there are such pairs
MAX_DRAWN = 40  # a side, in a picture; the rest of a longer pair is left out


@dataclass(frozen=True)
class AttentionSnapshot:
    """The cross-attention of the model at one validation."""

    entropies: list[float]  # of each layer, in bits: the mean over heads and the decoder's inputs of all pairs
    observations: Sequence[Any]  # as the logger made them, for its pictures
    shares: dict[str, float] = field(default_factory=dict)  # of the attention that each of several inputs gets

    def scalars(self) -> dict[str, float]:
        shares = {f"share_{column}": share for column, share in self.shares.items()}
        return {f"entropy_{layer}": bits for layer, bits in enumerate(self.entropies, 1)} | shares


def legible(pairs: Sequence[Pair], number: int, subset: Subset = Subset.spread) -> list[Pair]:
    """Pairs with 2 to `MAX_WORDS` words a side, spread evenly; without any, the shortest of two words or more.

    Runs of older versions, whose `subset` is `first`, keep showing the first such pairs, or the first of all.
    """
    if subset is Subset.first:
        short = [p for p in pairs if all(1 < len(text.split()) <= MAX_WORDS for text in (p.src, p.tgt))]
        return (short or list(pairs))[:number]
    words = [[len(reading_words(text)) for text in (p.src, p.tgt)] for p in pairs]
    fits = [p for p, sides in zip(pairs, words, strict=True) if min(sides) > 1 and max(sides) <= MAX_WORDS]
    if fits:
        return [fits[place] for place in spread(len(fits), number)]
    order = sorted(range(len(pairs)), key=lambda n: (min(words[n]) < 2, max(words[n])))
    return [pairs[n] for n in sorted(order[:number])]


def entropies(maps: Sequence[Float[Tensor, "L H _t _s"]]) -> list[float]:
    """The mean entropy of each layer, in bits: 0 if every head attends to one token, log2(s) if evenly to all."""
    bits = [torch.special.entr(weights).sum(-1).mean(1) / math.log(2) for weights in maps]  # of [L, t] each
    return torch.cat(bits, dim=1).mean(1).tolist()


class AttentionLogger(Protocol):
    """Computes the attention of a model for a few pairs in a teacher-forced pass, in 32 bits, and draws it."""

    def __call__(self, model: Transformer) -> AttentionSnapshot: ...

    def pictures(self, snapshot: AttentionSnapshot) -> list[UInt8[np.ndarray, "_y _x 3"]]:
        """A picture of each pair. Args: snapshot: of this logger."""
        ...


class TextAttentionLogger:
    """The `AttentionLogger` of a model of text."""

    def __init__(
        self, tokenizer: Tokenizer, pairs: Sequence[Pair], *, max_length: int, guided: AlignmentHeads | None = None
    ) -> None:
        """Args: max_length: of a sentence, in tokens; guided: the head of guided alignment, which is drawn too."""
        self.tokenizer = tokenizer
        self.sources, self.targets = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
        self.max_length = max_length
        self.guided = guided
        self._pictures: list[HeatMaps] = []

    def __call__(self, model: Transformer) -> AttentionSnapshot:
        found = observe(model, self.tokenizer, self.sources, self.targets, max_length=self.max_length, uses=("cross",))
        observations: list[Observation] = list(found)
        return AttentionSnapshot(entropies([o.maps.cross for o in observations]), observations)

    def pictures(self, snapshot: AttentionSnapshot) -> list[UInt8[np.ndarray, "_y _x 3"]]:
        """A picture of each pair: the mean over the heads of each layer, then the guided head.

        The weights are those of the rows whose input is the target word, which show links better
        (`mt.alignment.heads`).
        """
        layers, count = snapshot.observations[0].maps.cross.shape[:2]
        shown = [AlignmentHeads(layer, tuple(range(count)), shifted=True) for layer in range(layers)]
        titles = [f"layer {layer}" for layer in range(1, layers + 1)]
        if self.guided is not None:
            shown.append(self.guided)
            titles.append(f"guided {self.guided.layer + 1}.{self.guided.heads[0] + 1}")  # layer and head
        if not self._pictures:  # words do not change
            sides = [[side.word_texts[:MAX_DRAWN] for side in (o.source, o.target)] for o in snapshot.observations]
            self._pictures = [HeatMaps(source, target, titles) for source, target in sides]
        maps = [word_maps(o) for o in snapshot.observations]
        return [
            picture.draw(torch.stack([drawn(head_mean(words, heads)) for heads in shown]))
            for picture, words in zip(self._pictures, maps, strict=True)
        ]


class InputAttentionLogger:
    """The `AttentionLogger` of a model that reads columns of a table."""

    def __init__(self, tokenizer: Tokenizer, reader: InputReader, pairs: Sequence[Pair], *, max_length: int) -> None:
        """Args: max_length: of a target, in tokens."""
        self.tokenizer, self.reader, self.pairs, self.max_length = tokenizer, reader, pairs, max_length

    def __call__(self, model: Transformer) -> AttentionSnapshot:
        sources, targets = [pair.src for pair in self.pairs], [pair.tgt for pair in self.pairs]
        items = [self.reader.item(source, str(pair.origin)) for source, pair in zip(sources, self.pairs, strict=True)]
        found = observe_inputs(model, self.tokenizer, self.reader, sources, items, targets, max_length=self.max_length)
        means = [sum(column) / len(found) for column in zip(*(one.shares() for one in found), strict=True)]
        columns = [one.column for one in self.reader.inputs]
        shares = dict(zip(columns, means, strict=True)) if len(columns) > 1 else {}
        return AttentionSnapshot(entropies([one.cross for one in found]), found, shares)

    def pictures(self, snapshot: AttentionSnapshot) -> list[UInt8[np.ndarray, "_y _x 3"]]:
        """The mean over layers and heads, of the rows that predict the pieces of the target."""
        found: Sequence[InputObservation] = snapshot.observations
        return [picture_of(one) for one in found]


def drawn(weights: Float[Tensor, "_v _w"]) -> Float[Tensor, "_a _b"]:
    """The weights of the first `MAX_DRAWN` words of both sides, and of eos, which is the last column."""
    weights = weights[:MAX_DRAWN]
    return torch.cat([weights[:, :-1][:, :MAX_DRAWN], weights[:, -1:]], dim=1)
