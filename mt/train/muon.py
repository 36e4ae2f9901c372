"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): an optimiser for the matrices of linear layers.

The update is a momentum made orthogonal: its singular values are all about one, so that it moves rare directions as
far as frequent ones. `torch.optim.Muon` does the same, but always in bfloat16, which takes thirty times as long as
32 bits on a CPU without such products (docs/LOG.md), and the host has to know whether an update is skipped.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mt.train.acceleration.sharding import sharded_like, whole

# Polynomials x -> ax + bx^3 + cx^5, one after the other: of all three such, they bring singular values in [0.01, 1]
# nearest to 1, to between 0.73 and 1.27 (Amsel et al. 2025, arXiv 2505.16932). docs/LOG.md has why three are enough.
OPTIMAL = ((8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526))
MARGIN = 1.01  # rounding may make a singular value larger than it can be, where the polynomials are steep
POLYNOMIALS = [(a / MARGIN, b / MARGIN**3, c / MARGIN**5) for a, b, c in OPTIMAL]
# The root mean square of an update, as a share of the learning rate. With 0.2 it is as long as AdamW's in a long
# training (Liu et al. 2025, arXiv 2502.16982); trainings of minutes learn more with longer ones (docs/LOG.md).
LENGTH = 0.4


class Muon(torch.optim.Optimizer):
    """Momentum with Nesterov's step, made orthogonal, of a length that suits AdamW's rates; weight decay is decoupled.

    As in torch's fused optimisers a tensor `found_inf`, if there is one, says on the device that this step is skipped.
    """

    def __init__(
        self, matrices: Iterable[Tensor], *, lr: float, momentum: float, weight_decay: float, dtype: torch.dtype
    ) -> None:
        """Args: dtype: of the products that make a momentum orthogonal, bfloat16 or float32."""
        values = {"lr": lr, "lr_ratio": 1.0, "momentum": momentum, "weight_decay": weight_decay, "fused": True}
        super().__init__(matrices, values)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of all matrices that have a gradient. Those of one shape are computed together."""
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None]
            for _, same in groupby(sorted(given, key=lambda p: p.shape), key=lambda p: p.shape):
                self._move(list(same), group)

    def _move(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        momenta = [self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in matrices]
        gradients = torch.stack([whole(p.grad) for p in matrices if p.grad is not None])
        means = torch.stack([whole(momentum) for momentum in momenta])
        wanted = 1 - getattr(self, "found_inf", torch.zeros((), device=gradients.device))  # 1, or 0: nothing changes
        gradients = torch.where(wanted > 0, gradients, 0.0)  # they may not be finite
        means.lerp_(gradients, (1 - group["momentum"]) * wanted)
        length = group["lr"] * LENGTH * max(matrices[0].shape) ** 0.5
        steps = orthogonal(gradients.lerp_(means, group["momentum"]), self.dtype) * (-length * wanted)
        for p, momentum, mean, step in zip(matrices, momenta, means, steps, strict=True):
            momentum.copy_(sharded_like(mean, p))
            if group["weight_decay"]:
                p.mul_(1 - group["lr"] * group["weight_decay"] * wanted)
            p.add_(sharded_like(step, p))


def orthogonal(matrices: Float[Tensor, "N R C"], dtype: torch.dtype) -> Float[Tensor, "N R C"]:
    """Each matrix with its singular vectors, and singular values of about one; the smallest, below a hundredth of the
    largest, stay small."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(dtype)
    squares = x @ x.mT
    # No singular value is larger than the root of this norm, which is nearer to the largest than the norm above.
    norm = squares.norm(dim=(1, 2), keepdim=True, dtype=torch.float32).clamp(min=1e-7)
    x, squares = (x / norm.sqrt()).to(dtype), (squares / norm).to(dtype)
    for place, (a, b, c) in enumerate(POLYNOMIALS):
        if place:
            squares = x @ x.mT
        polynomial = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)
