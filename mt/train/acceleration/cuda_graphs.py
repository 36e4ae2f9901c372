"""Forward, loss and backward of a batch as one launch: captured once in a CUDA graph, replayed for every batch.

A graph reads and writes the same memory in the same shapes at every replay (`mt.compute.cuda_graphs`), so batches are
copied into buffers and padded with sentences (`mt.data.batching.fill_to`). Random numbers are drawn anew at every
replay, from the current seed.

The padding does not change the loss. Hidden rows of padding are multiplied by zero before the output layer: their
logits are zero, and the negative log-likelihood of any token is log V, smoothed or not, which is subtracted for each.
They have no gradient: that of the output matrix is multiplied by the hidden row, zero, and their own by zero.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.compute.cuda_graphs import capture
from mt.compute.device import autocast, autocast_dtype
from mt.config import Precision
from mt.data.batching import Batch, Shape, fill_to
from mt.errors import in_short
from mt.nn.losses import Loss, cross_entropy
from mt.nn.ragged import Ragged
from mt.nn.source import TokenSource
from mt.nn.transformer import Transformer

logger = logging.getLogger("mt")


@dataclass(frozen=True)
class Buffers:
    """A batch of one shape, at fixed addresses."""

    shape: Shape
    source: Int[Tensor, " S"]
    source_lengths: Int[Tensor, " B"]
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    target_lengths: Int[Tensor, " B"]
    own_rows: Int[Tensor, ""]  # target rows that are not padding
    divisor: Float[Tensor, ""]

    @classmethod
    def of(cls, shape: Shape, device: torch.device) -> "Buffers":
        s, t, n = shape.num_source_rows, shape.num_target_rows, shape.sentences
        sizes = ((s,), (n,), (t,), (t,), (n,), ())
        numbers = [torch.zeros(size, dtype=torch.int64, device=device) for size in sizes]
        return cls(shape, *numbers, divisor=torch.ones((), device=device))

    def take(self, batch: Batch, divisor: int | Tensor) -> bool:
        """Copy a batch into the buffers, padded. Returns False if it does not fit. Does not wait for the device."""
        filled = fill_to(batch, self.shape)
        if filled is None:
            return False
        assert isinstance(filled.source, TokenSource)
        self.source.copy_(filled.source.rows)
        self.source_lengths.copy_(filled.source.layout.lengths)
        self.target_in.copy_(filled.target_in)
        self.target_out[: len(filled.target_out)].copy_(filled.target_out)
        self.target_lengths.copy_(filled.target_layout.lengths)
        self.own_rows.fill_(len(filled.target_out))
        self.divisor.fill_(divisor)
        return True

    def loss(self, model: Transformer, precision: Precision, smoothing: float) -> Loss:
        """`mt.train.objective.batch_loss` of the batch in the buffers."""
        width, num_rows = self.shape.width, self.shape.num_target_rows
        layout = Ragged(self.source_lengths, num_rows=self.shape.num_source_rows, max_length=width)
        target_layout = Ragged(self.target_lengths, num_rows=num_rows, max_length=width)
        with autocast(self.source.device, precision):
            hidden = model(TokenSource(self.source, layout), self.target_in, target_layout)
        own = torch.arange(num_rows, device=hidden.device) < self.own_rows
        rows, weight = model.decoder.output.factors(hidden.to(autocast_dtype(precision)))
        loss = cross_entropy(rows * own[:, None], weight, self.target_out, smoothing)
        padding = (num_rows - self.own_rows) * math.log(model.out_weight.shape[0])
        return Loss(loss.smoothed - padding, loss.nll - padding)


class GraphedBatches:
    """Gradients of batches by replay of a CUDA graph."""

    def __init__(self, model: Transformer, shape: Shape, *, precision: Precision, smoothing: float) -> None:
        """The graph is captured at the first batch that fits."""
        self.parameters = list(model.parameters())
        self.buffers = Buffers.of(shape, model.out_weight.device)
        self.replay: Callable[[], None] | None = None
        self.results: list[Tensor] = []
        self.failed = False

        def work() -> list[Tensor]:
            loss = self.buffers.loss(model, precision, smoothing)
            gradients = torch.autograd.grad(loss.smoothed / self.buffers.divisor, self.parameters)
            return [torch.stack([loss.smoothed.detach(), loss.nll]), *gradients]

        self.work = work

    def run(self, batch: Batch, divisor: int | Tensor) -> Loss | None:
        """Add the gradient of the batch's loss over `divisor` to the parameters' gradients.

        Returns: None if nothing was done: the batch does not fit, or the capture failed, which is logged once.
        """
        if self.failed or not self.buffers.take(batch, divisor):
            return None
        if self.replay is None:
            try:
                self.replay, self.results = capture(self.work, self.buffers.source.device)
            except Exception as error:
                self.failed = True
                logger.warning(f"CUDA graphs cannot be used here, and training goes on without ({in_short(error)})")
                return None
        self.replay()
        # Copies: the next replay overwrites the results.
        sums, *gradients = torch._foreach_add(self.results, 0)  # pyright: ignore[reportPrivateImportUsage]
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient if p.grad is None else p.grad.add_(gradient)
        return Loss(*sums.unbind())
