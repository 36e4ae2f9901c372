"""The loss of two readings of a batch: their cross-entropies, and how far apart their predictions are.

The readings differ in what the model does not see: by dropout, which is R-Drop (Liang et al. 2021, arXiv 2106.14448),
or by an input that one of them lacks. As in `mt.nn.losses`, gradients are computed in the forward pass, chunk by chunk,
without a `[T, V]` matrix of logits.

Letters: `T` target rows, `N` of them and rows of padding, `D` model, `V` vocabulary.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from mt.compute.matmul import multiply
from mt.nn.losses import Loss, chunk_rows


class ConsistencyLoss(NamedTuple):
    """Sums over target rows."""

    total: Float[Tensor, ""]  # to be minimised
    first: Loss  # of the first reading; carries no gradient
    divergence: Float[Tensor, ""]  # (KL(p || q) + KL(q || p)) / 2, in nats; carries no gradient


def differentiate_(
    x: Float[Tensor, "N V"], y: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float, consistency: float
) -> Float[Tensor, " 4"]:
    """Replace the logits of both readings by the gradients of the loss, in place. Softmax and sums are in 32 bits.

    With softmaxes p of x and q of y, d = log p - log q, and t the smoothed reference:

        loss = (CE(p, t) + CE(q, t)) / 2 + consistency / 2 * sum (p - q) d
        d loss / d x = (p - t) / 2 + consistency / 2 * (p (d - KL(p || q)) + p - q)        and likewise for y

    Returns: sums of the loss, of the first reading's smoothed loss and negative log-likelihood, and of the divergence.
    """
    log_p, log_q = (logits.log_softmax(1, dtype=torch.float32) for logits in (x, y))
    p, q, apart = log_p.exp(), log_q.exp(), log_p - log_q
    kl_p, kl_q = (p * apart).sum(1, keepdim=True), -(q * apart).sum(1, keepdim=True)
    place, half = targets[:, None], consistency / 2
    losses = []
    for logits, log_mine, mine, other, ahead in (x, log_p, p, q, apart - kl_p), (y, log_q, q, p, -apart - kl_q):
        nll = -log_mine.gather(1, place).sum()
        losses.append(Loss((1 - smoothing) * nll - smoothing * log_mine.mean(1).sum(), nll))
        gradient = mine * (half * ahead + (0.5 + half)) - half * other - smoothing / (2 * logits.shape[1])
        logits.copy_(gradient.scatter_add_(1, place, gradient.new_full(place.shape, (smoothing - 1) / 2)))
    first, second = losses
    divergence = (kl_p + kl_q).sum() / 2
    total = (first.smoothed + second.smoothed) / 2 + consistency * divergence
    return torch.stack([total, *first, divergence])


class _ConsistencyLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor, weight: Tensor, targets: Tensor, smoothing: float, consistency: float
    ) -> tuple[Tensor, Tensor]:
        rows, w = targets.numel(), weight.to(first.dtype)
        grad_first, grad_second = torch.zeros_like(first), torch.zeros_like(second)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        sums = first.new_zeros(4, dtype=torch.float32)
        many, few = chunk_rows(len(weight), first.device)
        for start in range(0, rows, many):
            chunk = slice(start, start + many)
            x, y = multiply(first[chunk], w.t()), multiply(second[chunk], w.t())
            wanted = targets[chunk]
            for place in range(0, len(wanted), few):
                part = slice(place, min(place + few, len(wanted)))
                sums += differentiate_(x[part], y[part], wanted[part], smoothing, consistency)
            x[len(wanted) :], y[len(wanted) :] = 0, 0
            grad_first[chunk], grad_second[chunk] = multiply(x, w), multiply(y, w)
            grad_weight += multiply(x.t(), first[chunk]) + multiply(y.t(), second[chunk])
        ctx.save_for_backward(grad_first, grad_second, grad_weight)
        ctx.weight_dtype = weight.dtype
        total, others = sums[0].clone(), sums[1:].clone()
        ctx.mark_non_differentiable(others)
        return total, others

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *of_rows, grad_weight = ctx.saved_tensors
        first, second = (rows * grad.to(rows.dtype) for rows in of_rows)
        return first, second, (grad_weight * grad).to(ctx.weight_dtype), None, None, None


def consistency_loss(
    first: Float[Tensor, "N D"],
    second: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " T"],
    *,
    smoothing: float,
    consistency: float,
) -> ConsistencyLoss:
    """The mean of both readings' cross-entropies, plus `consistency` times their divergence.

    Args: first, second: hidden rows of the readings; `hidden @ weight.T` are their logits. Rows after the last target
    are padding. consistency: half of R-Drop's alpha, since its loss is twice this one.
    """
    total, others = _ConsistencyLoss.apply(first, second, weight, targets, smoothing, consistency)  # pyright: ignore[reportGeneralTypeIssues]
    smoothed, nll, divergence = others.unbind()
    return ConsistencyLoss(total, Loss(smoothed, nll), divergence)
