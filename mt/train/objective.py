"""Training objectives: what turns a batch into a loss. The usual one is the translation loss."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from mt.compute.device import autocast, autocast_dtype
from mt.config import Precision
from mt.data.batching import Batch, fill_up
from mt.nn.losses import Loss, cross_entropy
from mt.nn.transformer import Transformer


class ObjectiveLoss(NamedTuple):
    """The loss of one batch, summed over target rows."""

    total: Float[Tensor, ""]  # to be minimised
    sums: Float[Tensor, " K"]  # for logging, without a gradient: smoothed loss, nll, the objective's own terms


class Objective(Protocol):
    """The loss that an update minimises."""

    model: Transformer
    precision: Precision
    num_sums: int  # K

    def prepare(self, batch: Batch) -> Any:
        """Whatever the loss needs besides the batch. Called before the batch moves to the device, where reading its ids
        would wait; called again for each part of a batch that is split."""
        ...

    def prepare_largest(self, batch: Batch) -> Any:
        """As `prepare`, for a batch of random ids: the largest possible result, to measure memory."""
        ...

    def __call__(self, model: Transformer, batch: Batch, prepared: Any) -> ObjectiveLoss:
        """Args: model: `self.model`, or one that shares its parameters (`mt.nn.replace`)."""
        ...

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Entries for `metrics.jsonl`. Args: sums: the objective's own, the last K - 2, over a whole update."""
        ...


class TranslationLoss:
    """Label-smoothed cross-entropy of the target text."""

    num_sums = 2

    def __init__(self, model: Transformer, *, precision: Precision, smoothing: float) -> None:
        self.model = model
        self.precision = precision
        self.smoothing = smoothing

    def prepare(self, batch: Batch) -> None:
        """Nothing is needed besides the batch."""

    prepare_largest = prepare

    def __call__(self, model: Transformer, batch: Batch, prepared: None) -> ObjectiveLoss:
        loss = batch_loss(model, batch, self.precision, self.smoothing)
        return ObjectiveLoss(loss.smoothed, torch.stack(loss).detach())

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        return {}


def batch_loss(model: Transformer, batch: Batch, precision: Precision, smoothing: float) -> Loss:
    """The loss of one batch. The model runs in `precision`; sums are in 32 bits."""
    padded = fill_up(batch)
    with autocast(batch.target_in.device, precision):
        hidden = model(padded.source, padded.target_in, padded.target_layout)
    return target_loss(model, hidden, batch, precision, smoothing)


def target_loss(
    model: Transformer, hidden: Float[Tensor, "_T D"], batch: Batch, precision: Precision, smoothing: float
) -> Loss:
    """The loss of hidden rows that predict the targets of `batch`; rows after them predict nothing."""
    # CUDA's autocast runs the last norm in 32 bits, in which the product with the output matrix would be slow.
    rows, weight = model.decoder.output.factors(hidden.to(autocast_dtype(precision)))
    return cross_entropy(rows, weight, batch.target_out, smoothing)
