"""Label-smoothed cross-entropy, straight from hidden rows, without ever holding all logits.

Letters: `T` target rows, `D` model, `V` vocabulary.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = 1 << 22  # logits held at a time: 16 MiB in 32 bits, of the order of a CPU's last-level cache


class Loss(NamedTuple):
    """Sums over target rows. The trainer divides once, by the rows of the whole update."""

    smoothed: Float[Tensor, ""]  # what is trained on
    nll: Float[Tensor, ""]  # negative log-likelihood of the references, in nats; carries no gradient


def chunk_loss(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Smoothed loss sum, negative log-likelihood sum and softmax of a few rows; all in 32 bits.

    With q = (1 - e) onehot(y) + e / V (Szegedy et al. 2016, section 7):
    -sum q log p = logsumexp(x) - (1 - e) x_y - e mean(x).
    """
    x = logits.float()
    picked = x.gather(1, targets[:, None]).squeeze(1)
    probabilities = x.softmax(1)
    # log Z = x_j - log p_j for every j; the largest p has the most digits.
    peak, where = probabilities.max(1)
    log_z = x.gather(1, where[:, None]).squeeze(1) - peak.log()
    nll = (log_z - picked).sum()
    if smoothing == 0:
        return nll, nll, probabilities
    smoothed = (log_z - (1 - smoothing) * picked - smoothing * x.mean(1)).sum()
    return smoothed, nll, probabilities


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass over chunks of rows: with p the softmax, d loss / d x = p - q.

    The gradient's constant part, -e / V in every column, never touches the `[T, V]` matrix: it adds the same row to
    all hidden gradients and the same row to all weight gradients.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        rows, vocabulary = hidden.shape[0], weight.shape[0]
        w = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        smoothed = hidden.new_zeros((), dtype=torch.float32)
        nll = torch.zeros_like(smoothed)
        step = max(1, CHUNK_ELEMENTS // vocabulary)
        for first in range(0, rows, step):
            h, y = hidden[first : first + step], targets[first : first + step]
            s, n, p = chunk_loss(h @ w.t(), y, smoothing)
            smoothed += s
            nll += n
            p.scatter_add_(1, y[:, None], p.new_full((y.numel(), 1), smoothing - 1))
            p = p.to(hidden.dtype)
            torch.mm(p, w, out=grad_hidden[first : first + step])
            grad_weight += p.t() @ h
        if smoothing:
            share = smoothing / vocabulary
            grad_hidden -= (share * weight.sum(0)).to(hidden.dtype)
            grad_weight -= share * hidden.sum(0, dtype=torch.float32)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.mark_non_differentiable(nll)
        ctx.weight_dtype = weight.dtype
        return smoothed, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad.to(grad_hidden.dtype), (grad_weight * grad).to(ctx.weight_dtype), None, None


def cross_entropy(
    hidden: Float[Tensor, "T D"], weight: Float[Tensor, "V D"], targets: Int[Tensor, " T"], smoothing: float
) -> Loss:
    """The loss of `logits = hidden @ weight.T` against `targets`, as sums over rows.

    Gradients are made in the forward pass, a chunk of rows at a time, and cost no `[T, V]` matrix. Products run in
    the precision of `hidden`, sums and the softmax in 32 bits.
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        smoothed, nll = _ChunkedCrossEntropy.apply(hidden, weight, targets, smoothing)  # pyright: ignore[reportGeneralTypeIssues]
        return Loss(smoothed, nll)
    w, step = weight.to(hidden.dtype), max(1, CHUNK_ELEMENTS // weight.shape[0])
    parts = [
        chunk_loss(hidden[i : i + step] @ w.t(), targets[i : i + step], smoothing)[:2]
        for i in range(0, len(hidden), step)
    ]
    return Loss(sum(p[0] for p in parts), sum(p[1] for p in parts))  # pyright: ignore[reportArgumentType]
