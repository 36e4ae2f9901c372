"""Forward, loss and backward of a batch as one launch: recorded once in a CUDA graph, replayed for every batch.

A small model's kernels take a GPU a few microseconds each, less than the host takes to launch one. What is recorded
reads and writes the same memory every time, in the same shapes: batches are copied into buffers and padded with
sentences (`mt.data.batching.fill_to`). Random numbers are drawn anew at every replay, from the current seed.

The padding does not change the loss. Hidden rows of padding are multiplied by zero before the output layer: their
logits are zero, and the negative log-likelihood of any token is log V, smoothed or not, which is subtracted for each.
They have no gradient: that of the output matrix is multiplied by the hidden row, zero, and their own by zero.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.compute.cuda_graphs import record
from mt.compute.device import autocast, autocast_dtype
from mt.config import Precision
from mt.data.batching import Batch, Shape, fill_to
from mt.errors import in_short
from mt.log import logger
from mt.nn.losses import Loss, cross_entropy
from mt.nn.ragged import Ragged
from mt.nn.source import TokenSource
from mt.nn.transformer import Transformer


@dataclass(frozen=True)
class Buffers:
    """A batch of one shape, in memory that stays where it is."""

    shape: Shape
    source: Int[Tensor, " S"]
    source_lengths: Int[Tensor, " B"]
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    target_lengths: Int[Tensor, " B"]
    own_rows: Int[Tensor, ""]  # of the target, without padding
    divisor: Float[Tensor, ""]

    @classmethod
    def of(cls, shape: Shape, device: torch.device) -> "Buffers":
        s, t, n = shape.num_source_rows, shape.num_target_rows, shape.sentences
        sizes = ((s,), (n,), (t,), (t,), (n,), ())
        numbers = [torch.zeros(size, dtype=torch.int64, device=device) for size in sizes]
        return cls(shape, *numbers, divisor=torch.ones((), device=device))

    def take(self, batch: Batch, divisor: int | Tensor) -> bool:
        """Copy the batch in, padded; False: it does not fit. Waits for no device."""
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
        """`mt.train.objective.batch_loss` of the batch inside."""
        width, num_rows = self.shape.width, self.shape.num_target_rows
        layout = Ragged(self.source_lengths, num_rows=self.shape.num_source_rows, max_length=width)
        target_layout = Ragged(self.target_lengths, num_rows=num_rows, max_length=width)
        with autocast(self.source.device, precision):
            hidden = model(TokenSource(self.source, layout), self.target_in, target_layout)
        own = torch.arange(num_rows, device=hidden.device) < self.own_rows
        hidden = hidden.to(autocast_dtype(precision)) * own[:, None]
        loss = cross_entropy(hidden, model.out_weight, self.target_out, smoothing)
        padding = (num_rows - self.own_rows) * math.log(model.out_weight.shape[0])
        return Loss(loss.smoothed - padding, loss.nll - padding)


class Recorded:
    """Gradients of batches by replay of a CUDA graph."""

    def __init__(self, model: Transformer, shape: Shape, *, precision: Precision, smoothing: float) -> None:
        """Nothing is recorded before the first batch that fits."""
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
        """Add the gradient of the batch's loss over `divisor` to the parameters'. None: nothing was done, since the
        batch does not fit, or nothing can be recorded here (one warning says so)."""
        if self.failed or not self.buffers.take(batch, divisor):
            return None
        if self.replay is None:
            try:
                self.replay, self.results = record(self.work, self.buffers.source.device)
            except Exception as error:
                self.failed = True
                logger.warning(f"no update can be recorded here, and training goes on without ({in_short(error)})")
                return None
        self.replay()
        # Copies: the next replay overwrites the results.
        sums, *gradients = torch._foreach_add(self.results, 0)  # pyright: ignore[reportPrivateImportUsage]
        for p, gradient in zip(self.parameters, gradients, strict=True):
            p.grad = gradient if p.grad is None else p.grad.add_(gradient)
        return Loss(*sums.unbind())
