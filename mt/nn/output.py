"""The output layer: hidden rows to logits. Letters as in `mt.nn.transformer`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mt.compute.matmul import linear

BIAS_COLUMNS = 16  # of `factors`: of any other number of columns, products are slow


class OutputLayer(nn.Module):
    """Hidden rows -> logits."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias

    def forward(self, hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        return linear(hidden, self.weight, self.bias)

    def factors(self, hidden: Float[Tensor, "N D"]) -> tuple[Float[Tensor, "N E"], Float[Tensor, "V E"]]:
        """Rows and a matrix whose product is the logits: a bias is a column more, and zeros.

        The loss, which multiplies them chunk by chunk, needs no code for the bias then."""
        if self.bias is None:
            return hidden, self.weight
        more = (0, BIAS_COLUMNS - 1)
        one, bias = F.pad(hidden.new_ones(len(hidden), 1), more), F.pad(self.bias[:, None], more)
        return torch.cat([hidden, one], 1), torch.cat([self.weight, bias], 1)
