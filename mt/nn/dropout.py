"""Dropout with fast random numbers on the CPU.

torch draws one Bernoulli variable per element, which takes longer than the matrix products around it. One random byte
per element, eight from each 64-bit draw, is about six times faster; the probability is then a multiple of 1/256.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LEVELS = 256


def random_bytes(count: int) -> Tensor:
    """`count` uniform random bytes from torch's default CPU generator."""
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:count]


def _factors(drawn: Tensor, threshold: int, like: Tensor) -> Tensor:
    """0 or 1 / (1 - p) for every byte."""
    # Converted before the comparison, since torch converts bytes eight times faster than booleans.
    return drawn.to(like.dtype).view(like.shape).ge_(threshold).mul_(LEVELS / (LEVELS - threshold))


class _ByteDropout(torch.autograd.Function):
    """Saves the bytes for the backward pass; the factors would take two or four times the memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        drawn = random_bytes(x.numel())
        ctx.save_for_backward(drawn)
        ctx.threshold = threshold
        return _factors(drawn, threshold, x).mul_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (drawn,) = ctx.saved_tensors
        return _factors(drawn, ctx.threshold, grad).mul_(grad), None


def dropout(x: Float[Tensor, "*shape"], p: float, training: bool) -> Float[Tensor, "*shape"]:
    """Zero elements with probability `p` and scale the rest by 1 / (1 - p) (Srivastava et al. 2014)."""
    if not training or p == 0:
        return x
    threshold = round(p * LEVELS)
    if x.device.type != "cpu" or threshold in (0, LEVELS) or torch.compiler.is_compiling():
        return F.dropout(x, p, training=True)
    return _ByteDropout.apply(x, threshold)  # pyright: ignore[reportReturnType]


def drop_rows(x: Float[Tensor, "N D"], p: float, training: bool) -> Float[Tensor, "N D"]:
    """Word dropout: whole rows become zero with probability `p`; the others are not scaled (Gal 2016)."""
    if not training or p == 0:
        return x
    kept = torch.rand(x.shape[0], 1, device=x.device) >= p
    return x * kept.to(x.dtype)
