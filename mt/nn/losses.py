"""Label-smoothed cross-entropy, computed from hidden rows in chunks, without a `[T, V]` matrix of logits.

Letters: `T` target rows, `D` model, `V` vocabulary.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mt.compute.matmul import linear, multiply

CPU_CHUNK, CHUNK = 1 << 22, 1 << 27  # logits held at a time, on a CPU and on other devices
CPU_SLICE = 1 << 19  # of those, in one softmax on a CPU: in 32 bits, the size of a core's cache
MIN_ROWS = 512  # of logits in a chunk: each chunk reads and writes the whole gradient of the weight


class Loss(NamedTuple):
    """Sums over target rows. The updater divides by the rows of the whole update."""

    smoothed: Float[Tensor, ""]  # the training loss
    nll: Float[Tensor, ""]  # negative log-likelihood of the references, in nats; carries no gradient


def chunk_rows(vocabulary: int, device: torch.device) -> tuple[int, int]:
    """How many rows of logits are computed at a time, and how many of them are in one softmax."""
    chunk, part = (CPU_CHUNK, CPU_SLICE) if device.type == "cpu" else (CHUNK, CHUNK)
    return max(MIN_ROWS, chunk // vocabulary), max(1, part // vocabulary)


def softmax_minus_reference_(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], confidence: float
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Replace logits x by p - confidence * onehot(y), in place; returns log Z and x_y. The softmax is in 32 bits.

    log Z = x_j - log p_j for every j; the largest p gives the most precise value.
    """
    y = targets[:, None]
    p = logits.softmax(1, dtype=torch.float32)
    log_z = logits.amax(1).float() - p.amax(1).log()
    picked = logits.gather(1, y).squeeze(1).float()
    logits.copy_(p.scatter_add_(1, y, p.new_full(y.shape, -confidence)))
    return log_z, picked


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass over chunks of rows: d loss / d x = p - q, where p is the softmax and

        q = (1 - e) onehot(y) + e / V                                              (Szegedy et al. 2016, section 7)
        - sum_j q_j log p_j = log Z - (1 - e) x_y - e mean(x),        mean(x) = h . mean(rows of the weight)

    mean(x) needs no logits. The constant part of the gradient, -e / V in every column, adds the same row to all hidden
    gradients and the same row to all weight gradients.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        rows, vocabulary = targets.numel(), weight.shape[0]
        w = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        log_z = hidden.new_empty(rows, dtype=torch.float32)
        picked = torch.empty_like(log_z)
        many, few = chunk_rows(vocabulary, hidden.device)
        for first in range(0, len(hidden), many):
            h = hidden[first : first + many]
            x = multiply(h, w.t())
            for start in range(first, min(first + many, rows), few):
                place = slice(start, min(start + few, first + many, rows))
                part = x[place.start - first : place.stop - first]
                log_z[place], picked[place] = softmax_minus_reference_(part, targets[place], 1 - smoothing)
            x[max(0, rows - first) :] = 0
            grad_hidden[first : first + many] = multiply(x, w)
            grad_weight += multiply(x.t(), h)
        nll = (log_z - picked).sum()
        smoothed = nll.clone()
        if smoothing:
            mean_row, share = weight.float().mean(0), smoothing / vocabulary
            sum_hidden = hidden[:rows].sum(0, dtype=torch.float32)
            smoothed = nll + smoothing * (picked.sum() - sum_hidden @ mean_row)
            grad_hidden[:rows] -= (smoothing * mean_row).to(hidden.dtype)
            grad_weight -= share * sum_hidden
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
    hidden: Float[Tensor, "N D"], weight: Float[Tensor, "V D"], targets: Int[Tensor, " T"], smoothing: float
) -> Loss:
    """The loss of `logits = hidden @ weight.T` against `targets`, as sums over rows.

    Rows beyond the last target, the padding of a batch of fixed shape, are ignored. Gradients are computed in the
    forward pass. Products are in the precision of `hidden`, sums and the softmax in 32 bits.
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        smoothed, nll = _ChunkedCrossEntropy.apply(hidden, weight, targets, smoothing)  # pyright: ignore[reportGeneralTypeIssues]
        return Loss(smoothed, nll)
    w, (_, step) = weight.to(hidden.dtype), chunk_rows(weight.shape[0], hidden.device)
    smoothed = nll = hidden.new_zeros((), dtype=torch.float32)
    for first in range(0, len(targets), step):
        y = targets[first : first + step]
        logits = linear(hidden[first : first + len(y)], w).float()
        exact = F.cross_entropy(logits, y, reduction="sum")
        nll = nll + exact
        smoothed = smoothed + (
            F.cross_entropy(logits, y, reduction="sum", label_smoothing=smoothing) if smoothing else exact
        )
    return Loss(smoothed, nll)
