"""One update: forward and backward over some batches, then one step of the optimiser.

On an accelerator nothing here waits for the device: whether a gradient is finite is decided on the device, and the
trainer reads an update's numbers one update later. In a group, each process has a part of the batches.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mt.checkpoint import Checkpoint, load_into
from mt.compute.distributed import Group
from mt.data.batching import Batch
from mt.train.acceleration.memory import BatchSplitter
from mt.train.acceleration.sharding import gathered, is_sharded, like, whole
from mt.train.gradients import Gradients
from mt.train.optim import Ema, load_optimizer_tensors, optimizer_tensors, set_rate, step_if


@dataclass(frozen=True)
class Update:
    """What an update did; losses are per target token, in nats. All numbers are of the batches of all processes."""

    loss: float
    nll: float
    grad_norm: float
    src_tokens: int
    tgt_tokens: int
    skipped: bool
    extra: dict[str, float] = field(default_factory=dict)  # of the objective, by the name in `metrics.jsonl`


def no_metrics(sums: Sequence[float]) -> dict[str, float]:
    return {}


class PendingUpdate:
    """An update whose numbers may still be on their way from the device."""

    def __init__(
        self,
        numbers: Float[Tensor, " N"],
        src_tokens: int,
        tgt_tokens: int,
        metrics: Callable[[Sequence[float]], dict[str, float]] = no_metrics,
    ) -> None:
        """Args: numbers: sums of the smoothed loss, of the negative log-likelihood, and the objective's own, of which
        `metrics` makes `Update.extra`; then the gradient's norm."""
        self._numbers = numbers.to("cpu", non_blocking=True)
        self._arrived = None
        if numbers.is_cuda:
            # Without an event, reading would also wait for all work launched since.
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        self._tokens = src_tokens, tgt_tokens
        self._metrics = metrics

    def read(self) -> Update:
        """Waits until the device has finished the update."""
        if self._arrived is not None:
            self._arrived.synchronize()
        smoothed, nll, *own, norm = self._numbers.tolist()
        src_tokens, tgt_tokens = self._tokens
        return Update(
            smoothed / tgt_tokens, nll / tgt_tokens, norm, src_tokens, tgt_tokens,
            skipped=not math.isfinite(norm), extra=self._metrics(own),
        )  # fmt: skip


class Updater:
    """A model and what changes it."""

    def __init__(
        self,
        gradients: Gradients,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float,
        ema: Ema | None = None,
        group: Group | None = None,
    ) -> None:
        """Args: gradients: of the model's objective, for one batch; clip_norm: gradients are scaled down to this norm,
        0: never; group: the processes of the run, None: this one alone."""
        self.compute_gradients = gradients
        self.objective = gradients.objective
        self.model = self.objective.model
        self.precision = self.objective.precision
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.ema = ema
        self.group = group or Group()
        self.sharded = is_sharded(self.model)
        self.device = next(self.model.parameters()).device
        self.scaler = gradients.scaler
        self.splitter = BatchSplitter()

    def __call__(self, batches: Sequence[Batch], lr: float, *, seeds: Sequence[int] | None = None) -> PendingUpdate:
        """Gradients are divided once, by the target tokens of all batches, so the sizes of batches do not matter.

        An update whose gradients are not finite is skipped: weights, moments and EMA stay as they were.

        Args: batches: this process's part of the update; seeds: the random seed of each batch (for dropout), so that
        its random numbers do not depend on which process computes it. None: the generator is not seeded.
        """
        self.model.train()
        rows = [(batch.source.layout.num_rows, batch.target_layout.num_rows) for batch in batches]
        src_tokens, tgt_tokens = map(int, self.group.all_reduce(*map(sum, zip(*rows, strict=True))))
        sums = torch.zeros(self.objective.num_sums, device=self.device)
        for number, batch in enumerate(batches):
            if seeds is not None:
                torch.manual_seed(seeds[number])
            sums += self.gradients(batch, tgt_tokens)
        # Gradients over all processes; those of a sharded model are reduced during its backward pass.
        own = [] if self.sharded else [p.grad for p in self.model.parameters() if p.grad is not None]
        self.group.all_reduce_tensors([*own, sums])
        norm = self._step(lr)
        return PendingUpdate(torch.stack([*sums, norm]), src_tokens, tgt_tokens, self.objective.metrics)

    def gradients(self, batch: Batch, divisor: int | Tensor) -> Float[Tensor, " K"]:
        """Add the gradient of one batch's loss over `divisor` to the parameters'; returns the loss's sums, not divided.

        Unless the model is sharded, nothing here waits for another process: a batch that does not fit in memory is
        split and computed again.
        """
        prepared = self.objective.prepare(batch)
        batch = batch.to(self.device)

        def compute(part: Batch) -> Tensor:
            needed = prepared if part is batch else self.objective.prepare(part)
            return self.compute_gradients(part, needed, divisor)

        return compute(batch) if self.sharded else self.splitter.run(batch, compute)

    def _step(self, lr: float) -> Float[Tensor, ""]:
        self.scaler.unscale_(self.optimizer)
        norm = whole(nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm or float("inf")))
        finite = torch.isfinite(norm)
        set_rate(self.optimizer, lr)
        step_if(self.optimizer, finite)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model, finite)
        return norm

    # ---- on disk --------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint stores, by file. Every process must call it; the main one gets the result."""
        files = {
            "model": {name: p.detach() for name, p in self.model.named_parameters()},
            "optimizer": optimizer_tensors(self.model, self.optimizer),
            **({"ema": self.ema.means} if self.ema is not None else {}),
        }
        return {name: gathered(tensors, keep=self.group.is_main) for name, tensors in files.items()}

    def load_tensors(self, checkpoint: Checkpoint) -> None:
        """Restore what `tensors` returned. The number of processes may have changed."""
        model = self.model
        load_into(model, like(checkpoint.model(), model), where=str(checkpoint.path))
        load_optimizer_tensors(model, self.optimizer, like(checkpoint.optimizer(), model))
        if self.ema is not None:
            means = like(checkpoint.ema() or {}, model)
            self.ema.means = {name: means[name].to(p.device) for name, p in model.named_parameters()}

    def state_dict(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state_dict(), "ema_updates": int(self.ema.updates) if self.ema else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["scaler"]:  # empty where the run was in another precision before
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.updates.fill_(state["ema_updates"])
