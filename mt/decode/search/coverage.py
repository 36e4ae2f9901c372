"""Coverage: a penalty for unattended source tokens (Wu et al. 2016, arXiv:1609.08144, equation 14).

    score = (log p + coverage_penalty * sum over source tokens s of log(min(1, sum over t of a[t, s]))) / penalty

`a[t, s]` is the weight of step t on source token s: the mean over all layers and heads of the cross-attention. A token
whose weights sum to one or more costs nothing, and eos is left out. The equation adds the cost after the division by
its penalty, which hardly grows; next to a mean per token (`average`) the cost would then decide alone.

The cost only shrinks towards 0 as a hypothesis grows, so the stopping bound of `beam.py` holds.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.source import Items

LEAST = 1e-6  # lower bound of a sum of weights, which 16 bits may round to 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """The summed weights of the open hypotheses; by unit, as in `beam.py`."""

    weight: float
    num_tokens: Int[Tensor, " U"]  # of the source, without eos
    attended: Float[Tensor, "U W S"]  # S is 0 before the first step

    @classmethod
    def first(cls, weight: float, source: Items, groups: int, device: torch.device) -> "Coverage":
        num_tokens = torch.tensor([len(sentence) - 1 for sentence in source], device=device).repeat_interleave(groups)
        return cls(weight, num_tokens, torch.zeros(len(num_tokens), 1, 0, device=device))

    def add(self, weights: Float[Tensor, "R S"]) -> "Coverage":
        """Add the weights of this step. At the first step a sentence has one row for all its groups."""
        units, width = self.attended.shape[:2]
        attended = weights.repeat_interleave(units * width // len(weights), dim=0).view(units, width, -1)
        return Coverage(self.weight, self.num_tokens, self.attended + attended if self.attended.shape[2] else attended)

    def follow(self, beam: Int[Tensor, "U W2"]) -> "Coverage":
        """The coverage of hypotheses that continue these beams."""
        attended = self.attended.gather(1, beam[:, :, None].expand(-1, -1, self.attended.shape[2]))
        return Coverage(self.weight, self.num_tokens, attended)

    def select(self, units: Int[Tensor, " U2"]) -> "Coverage":
        return Coverage(self.weight, self.num_tokens[units], self.attended[units])

    def cost(self) -> Float[Tensor, "U W"]:
        """The addend to the log-probability of each hypothesis, at most 0."""
        logs = self.attended.clamp(LEAST, 1).log()
        beyond = torch.arange(logs.shape[2], device=logs.device) >= self.num_tokens[:, None]
        return self.weight * logs.masked_fill(beyond[:, None], 0).sum(-1)
