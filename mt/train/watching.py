"""What cross-attention does at a validation: how sharp each layer is, and pictures of it for a few dev pairs.

The pairs are the same all run long, and their targets are the references: a picture compares with the one before.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from mt.corpus.pair import Pair
from mt.interpret.align import Reading, read, word_maps
from mt.interpret.observe import Observation, observe
from mt.interpret.picture import Picture
from mt.nn.transformer import Transformer
from mt.tokenizer import Tokenizer

LEGIBLE = 25  # words of a side


@dataclass(frozen=True)
class Watched:
    """One look at the model."""

    entropies: list[float]  # of each layer, in bits: the mean over heads and the decoder's inputs of all pairs
    seen: list[Observation]

    def scalars(self) -> dict[str, float]:
        return {f"entropy_{layer}": bits for layer, bits in enumerate(self.entropies, 1)}


def legible(pairs: Iterable[Pair], number: int) -> list[Pair]:
    """The first pairs that are more than a word and not too long to be looked at; where there are none, the first."""
    fits = (p for p in pairs if all(1 < len(text.split()) <= LEGIBLE for text in (p.src, p.tgt)))
    return list(islice(fits, number)) or list(islice(pairs, number))


def entropies(maps: Sequence[Float[Tensor, "L H _t _s"]]) -> list[float]:
    """Of each layer, in bits: 0 where every head looks at one piece, log2 of the source's length where all at all."""
    bits = [torch.special.entr(weights).sum(-1).mean(1) / math.log(2) for weights in maps]  # of [L, t] each
    return torch.cat(bits, dim=1).mean(1).tolist()


class AttentionWatch:
    """Some pairs to look at a model with."""

    def __init__(
        self, tokenizer: Tokenizer, pairs: Sequence[Pair], *, max_length: int, taught: Reading | None = None
    ) -> None:
        """Args: max_length: the longest sentence, in pieces, that the model takes; taught: the head that guided
        alignment teaches, which is drawn beside the layers."""
        self.tokenizer = tokenizer
        self.sources, self.targets = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
        self.max_length = max_length
        self.taught = taught
        self._pictures: list[Picture] = []

    def __call__(self, model: Transformer) -> Watched:
        """Force the pairs through the model; in 32 bits, for a moment."""
        found = observe(model, self.tokenizer, self.sources, self.targets, max_length=self.max_length, uses=("cross",))
        seen = list(found)
        return Watched(entropies([o.maps.cross for o in seen]), seen)

    def pictures(self, watched: Watched) -> list[UInt8[NDArray[Any], "_y _x 3"]]:
        """One of each pair: each layer's mean over heads, then the taught head.

        All are read where a target word is the decoder's input, which shows links better (`mt.interpret.align`).
        """
        layers, heads = watched.seen[0].maps.cross.shape[:2]
        readings = [Reading(layer, tuple(range(heads)), shifted=True) for layer in range(layers)]
        titles = [f"layer {layer}" for layer in range(1, layers + 1)]
        if self.taught is not None:
            readings.append(self.taught)
            titles.append(f"taught {self.taught.layer + 1}.{self.taught.heads[0] + 1}")  # layer and head
        if not self._pictures:  # words do not change
            self._pictures = [Picture(o.source.word_texts, o.target.word_texts, titles) for o in watched.seen]
        maps = [word_maps(o) for o in watched.seen]
        return [
            picture.draw(torch.stack([read(words, reading) for reading in readings]))
            for picture, words in zip(self._pictures, maps, strict=True)
        ]
