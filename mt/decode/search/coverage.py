"""Coverage: a translation pays for what it left out of its source (Wu et al. 2016, arXiv:1609.08144, equation 14).

    score = (log p + coverage_penalty * sum over source pieces s of log(min(1, sum over t of a[t, s]))) / penalty

`a[t, s]` is the weight of step t on source piece s: the mean over all layers and heads of the cross-attention. A piece
whose weights sum to one or more costs nothing; the end mark is no piece. The equation adds the cost
after the division, where its penalty hardly grows; beside a mean per piece (`average`) it would decide alone.

The cost only falls as a hypothesis grows, towards 0, so the bound by which `beam.py` stops holds as it is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.source import Items

LEAST = 1e-6  # the least sum of weights that counts: 16 bits may round its weights to 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """The weights of the open hypotheses so far, summed; by unit, as in `beam.py`."""

    weight: float
    num_pieces: Int[Tensor, " U"]  # of the source, without the end mark
    attended: Float[Tensor, "U W S"]  # S is 0 before the first step

    @classmethod
    def first(cls, weight: float, source: Items, groups: int, device: torch.device) -> "Coverage":
        num_pieces = torch.tensor([len(sentence) - 1 for sentence in source], device=device).repeat_interleave(groups)
        return cls(weight, num_pieces, torch.zeros(len(num_pieces), 1, 0, device=device))

    def add(self, weights: Float[Tensor, "R S"]) -> "Coverage":
        """With the weights of this step; all groups of a sentence begin with the one row that it has."""
        units, width = self.attended.shape[:2]
        attended = weights.repeat_interleave(units * width // len(weights), dim=0).view(units, width, -1)
        return Coverage(self.weight, self.num_pieces, self.attended + attended if self.attended.shape[2] else attended)

    def follow(self, beam: Int[Tensor, "U W2"]) -> "Coverage":
        """Of hypotheses that go on from these beams."""
        attended = self.attended.gather(1, beam[:, :, None].expand(-1, -1, self.attended.shape[2]))
        return Coverage(self.weight, self.num_pieces, attended)

    def select(self, units: Int[Tensor, " U2"]) -> "Coverage":
        return Coverage(self.weight, self.num_pieces[units], self.attended[units])

    def cost(self) -> Float[Tensor, "U W"]:
        """What is added to the score of each hypothesis; never more than 0."""
        logs = self.attended.clamp(LEAST, 1).log()
        beyond = torch.arange(logs.shape[2], device=logs.device) >= self.num_pieces[:, None]
        return self.weight * logs.masked_fill(beyond[:, None], 0).sum(-1)
