"""From maps to word links.

Cross-attention is read in one of two ways. The row that *predicts* a piece is the obvious one; but the row whose
*input* is that piece knows it, and asks the source with the piece in hand: links read there are far better (Chen et al.
2020, "SHIFT-ATT", arXiv 2004.14837). Which layer, which heads and which way is a `Reading`; `mt.alignment.choose_heads`
finds the best one of a model without gold links.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.alignment.observe import Observation
from mt.compute import ties
from mt.errors import CheckpointError
from mt.text.words import Links


@dataclass(frozen=True)
class Reading:
    """Which rows of which map say where a target word came from. Layers and heads count from 0."""

    layer: int
    heads: tuple[int, ...]  # their weights are averaged
    shifted: bool  # read where a piece is the decoder's input, not where it is predicted

    def describe(self) -> str:
        heads = "head" if len(self.heads) == 1 else "heads"
        where = "input" if self.shifted else "prediction"
        return f"layer {self.layer + 1}, {heads} {', '.join(str(h + 1) for h in self.heads)}, read at the {where}"

    def to_plain(self) -> dict[str, Any]:
        return {**asdict(self), "heads": list(self.heads)}

    @classmethod
    def from_plain(cls, values: Any, where: str) -> "Reading":
        """Raises: CheckpointError: when the values are no reading."""
        match values:
            case {"layer": int(layer), "heads": [*heads], "shifted": bool(shifted)} if heads:
                if layer >= 0 and all(isinstance(head, int) and head >= 0 for head in heads):
                    return cls(layer, tuple(heads), shifted)
        raise CheckpointError(f"{where} must hold a `layer`, some `heads` and `shifted`, but does not.")

    def fits(self, layers: int, heads: int) -> bool:
        return self.layer < layers and max(self.heads) < heads


def word_maps(seen: Observation) -> Float[Tensor, "2 L H V W1"]:
    """All maps over words: read where target words are predicted, and where they are inputs.

    A source word has the weight of all its pieces, a target word the mean over its own. The last column is the weight
    that goes to no word: the end mark. A target word without pieces has a row of zeros.
    """
    pieces = len(seen.target.pieces)
    both = torch.stack([seen.maps.cross[:, :, :pieces], seen.maps.cross[:, :, 1 : pieces + 1]])  # (2, L, H, P, s)
    to_target = seen.target_shares()
    to_target = to_target / to_target.sum(0, keepdim=True).clamp(min=1e-9)
    return torch.einsum("xlhps,pv,sw->xlhvw", both, to_target, seen.source_shares())


def read(maps: Float[Tensor, "2 L H V W1"], reading: Reading) -> Float[Tensor, "V W1"]:
    """The one map that a reading takes."""
    return maps[int(reading.shifted), reading.layer, list(reading.heads)].mean(0)


def hard_links(weights: Float[Tensor, "V W1"], least: float = 0.0) -> Links:
    """Each target word with the source word that has most of its weight, of equals the first, where that is more than
    `least`.

    The last column, of the end mark, is passed over: models rest there when they need nothing.
    """
    if weights.shape[1] < 2 or weights.shape[0] < 1:
        return set()
    most, where = first_most(weights[:, :-1])
    return {
        (int(i), j) for j, (i, weight) in enumerate(zip(where.tolist(), most.tolist(), strict=True)) if weight > least
    }


def first_most(weights: Float[Tensor, "*rows W"]) -> tuple[Float[Tensor, "*rows"], Int[Tensor, "*rows"]]:
    """The greatest weight of each row, and the first place that has it, but for rounding (`mt.compute.ties`).

    Weights are not negative, and W is not 0.
    """
    most = weights.amax(-1)
    return most, (weights >= most[..., None] * (1 - ties.FLOAT32)).byte().argmax(-1)


def soft_links(weights: Float[Tensor, "V W1"], least: float = 0.01) -> list[tuple[int, int, float]]:
    """(source word, target word, weight) of all weights of at least `least`, by target word."""
    return [
        (i, j, weight)
        for j, row in enumerate(weights[:, :-1].tolist())
        for i, weight in enumerate(row)
        if weight >= least
    ]


def turned(links: Links) -> Links:
    """The links of the pair turned round."""
    return {(j, i) for i, j in links}


def joint_links(forward: Float[Tensor, "V W1"], backward: Float[Tensor, "W V1"], least: float = 0.1) -> Links:
    """Links on which two directions agree by weight: where the geometric mean of both is at least `least`.

    `forward[j, i]` says how much target word j asks source word i, `backward[i, j]` the reverse.
    """
    both = (forward[:, :-1] * backward[:, :-1].t()).sqrt()
    return {(int(i), int(j)) for j, i in (both >= least).nonzero().tolist()}
