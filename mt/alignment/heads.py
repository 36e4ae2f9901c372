"""From attention maps to word links.

The row that *predicts* a token seems the obvious one to take its attention from. The row whose *input* is that token
knows the token when it attends to the source, and gives far better links (Chen et al. 2020, "SHIFT-ATT", arXiv
2004.14837). `AlignmentHeads` holds the layer, the heads and the row; `mt.alignment.choose_heads` finds the best ones of
a model without gold links.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.alignment.observe import Observation
from mt.alignment.shares import word_weights
from mt.compute import ties
from mt.errors import CheckpointError
from mt.text.words import Links


@dataclass(frozen=True)
class AlignmentHeads:
    """The cross-attention heads that word links are taken from. Layers and heads count from 0."""

    layer: int
    heads: tuple[int, ...]  # their weights are averaged
    shifted: bool  # take the row whose input is the token, not the row that predicts it

    def describe(self) -> str:
        heads = "head" if len(self.heads) == 1 else "heads"
        where = "input" if self.shifted else "prediction"
        return f"layer {self.layer + 1}, {heads} {', '.join(str(h + 1) for h in self.heads)}, read at the {where}"

    @classmethod
    def from_plain(cls, values: Any, where: str) -> "AlignmentHeads":
        """Raises: CheckpointError: when a value is missing or of another kind."""
        match values:
            case {"layer": int(layer), "heads": [*heads], "shifted": bool(shifted)} if heads:
                if layer >= 0 and all(isinstance(head, int) and head >= 0 for head in heads):
                    return cls(layer, tuple(heads), shifted)
        raise CheckpointError(f"{where} must hold a `layer`, some `heads` and `shifted`, but does not.")


def word_maps(seen: Observation) -> Float[Tensor, "2 L H V W1"]:
    """Cross-attention between words (`word_weights`): of the rows that predict target words, then of those whose inputs
    they are."""
    source, target, length = seen.source, seen.target, len(seen.target.tokens)
    both = torch.stack([seen.maps.cross[:, :, :length], seen.maps.cross[:, :, 1 : length + 1]])  # (2, L, H, P, s)
    return word_weights(both, source.tokens, source.words, target.tokens, target.words)


def head_mean(maps: Float[Tensor, "2 L H V W1"], heads: AlignmentHeads) -> Float[Tensor, "V W1"]:
    """The mean map of the chosen heads."""
    return maps[int(heads.shifted), heads.layer, list(heads.heads)].mean(0)


def hard_links(weights: Float[Tensor, "V W1"], least: float = 0.0) -> Links:
    """Each target word with the source word of greatest weight, the first of equals, if the weight exceeds `least`.

    The last column, eos, is left out: models attend to it when they need nothing from the source.
    """
    if weights.shape[1] < 2 or weights.shape[0] < 1:
        return set()
    greatest, where = first_most(weights[:, :-1])
    return {(i, j) for j, (i, w) in enumerate(zip(where.tolist(), greatest.tolist(), strict=True)) if w > least}


def first_most(weights: Float[Tensor, "*rows W"]) -> tuple[Float[Tensor, "*rows"], Int[Tensor, "*rows"]]:
    """The greatest weight of each row and the first place that has it up to rounding (`mt.compute.ties`).

    Weights are not negative, and W is not 0.
    """
    most = weights.amax(-1)
    return most, (weights >= most[..., None] * (1 - ties.FLOAT32)).byte().argmax(-1)


def soft_links(weights: Float[Tensor, "V W1"], least: float = 0.01) -> list[tuple[int, int, float]]:
    """(source word, target word, weight) of all weights of at least `least`, by target word."""
    rows = enumerate(weights[:, :-1].tolist())
    return [(i, j, weight) for j, row in rows for i, weight in enumerate(row) if weight >= least]


def turned(links: Links) -> Links:
    """Links with source and target exchanged."""
    return {(j, i) for i, j in links}


def joint_links(forward: Float[Tensor, "V W1"], backward: Float[Tensor, "W V1"], least: float = 0.1) -> Links:
    """Links for which the geometric mean of the weights of two directions is at least `least`.

    `forward[j, i]` is the weight of source word i for target word j, `backward[i, j]` the reverse.
    """
    both = (forward[:, :-1] * backward[:, :-1].t()).sqrt()
    return {(int(i), int(j)) for j, i in (both >= least).nonzero().tolist()}
