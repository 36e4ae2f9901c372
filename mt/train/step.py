"""One update: forward and backward over some batches, then one step of the optimiser.

On an accelerator nothing here waits for the device: whether a gradient is finite is decided on the device, and the
trainer reads the numbers of an update one update later. In a group, each process has a part of the batches.
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
from mt.train.optim import Ema, load_optimizer_tensors, optimizer_tensors, step_if


@dataclass(frozen=True)
class Update:
    """The numbers of an update, over the batches of all processes. Losses are per target token, in nats."""

    loss: float
    nll: float
    grad_norm: float
    src_tokens: int
    tgt_tokens: int
    skipped: bool
    extra: dict[str, float] = field(default_factory=dict)  # of the objective, by the name in `metrics.jsonl`

    @property
    def larger_side(self) -> int:
        """The tokens of the side that has more of them, which the budget of a batch limits."""
        return max(self.src_tokens, self.tgt_tokens)


class PendingUpdate:
    """An update whose numbers the device may not have computed yet."""

    def __init__(
        self,
        numbers: Float[Tensor, " N"],
        src_tokens: int,
        tgt_tokens: int,
        metrics: Callable[[Sequence[float]], dict[str, float]] = lambda sums: {},
    ) -> None:
        """Args: numbers: sums of the smoothed loss, of the negative log-likelihood and of the objective's own terms,
        then the gradient's norm; metrics: makes `Update.extra` of the objective's own sums."""
        # Without an event to wait for, as on MPS, such a copy may be read before it is made.
        self._numbers = numbers.to("cpu", non_blocking=numbers.is_cuda)
        self._arrived = None
        if numbers.is_cuda:
            # Without an event, `read` would also wait for all work launched later.
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        self._tokens = src_tokens, tgt_tokens
        self._metrics = metrics

    def read(self) -> Update:
        """Wait until the device has finished the update."""
        if self._arrived is not None:
            self._arrived.synchronize()
        smoothed, nll, *own, norm = self._numbers.tolist()
        src_tokens, tgt_tokens = self._tokens
        return Update(
            smoothed / tgt_tokens, nll / tgt_tokens, norm, src_tokens, tgt_tokens,
            skipped=not math.isfinite(norm), extra=self._metrics(own),
        )  # fmt: skip


class Updater:
    """Updates a model: gradients, optimiser, EMA."""

    def __init__(
        self,
        gradients: Gradients,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float,
        ema: Ema | None = None,
        group: Group | None = None,
    ) -> None:
        """Args: gradients: of the model's objective, for one batch; clip_norm: the largest norm of the gradient, 0: no
        limit; group: the processes of the run, None: this one alone."""
        self.compute_gradients = gradients
        self.objective = gradients.eager.objective
        self.model = self.objective.model
        self.precision = self.objective.precision
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.ema = ema
        self.group = group or Group()
        self.sharded = is_sharded(self.model)
        self.device = next(self.model.parameters()).device
        self.scaler = gradients.eager.scaler
        self.splitter = BatchSplitter()

    def __call__(self, batches: Sequence[Batch], lr: float, *, seeds: Sequence[int] | None = None) -> PendingUpdate:
        """One update. The gradient is divided once, by the target tokens of all batches.

        An update whose gradient is not finite is skipped: weights, moments and EMA do not change.

        Args: batches: this process's part of the update; seeds: a random seed for each batch, so that its dropout does
        not depend on the process that computes it; None: the generator is not seeded.
        """
        self.model.train()
        rows = [(batch.source.layout.num_rows, batch.target_layout.num_rows) for batch in batches]
        src_tokens, tgt_tokens = map(int, self.group.all_reduce(*map(sum, zip(*rows, strict=True))))
        sums = torch.zeros(self.objective.num_sums, device=self.device)
        # `torch.manual_seed` takes a note of the stack for each kind of device that is not there: a millisecond.
        seed = torch.default_generator.manual_seed if self.device.type == "cpu" else torch.manual_seed
        for number, batch in enumerate(batches):
            if seeds is not None:
                seed(seeds[number])
            sums += self.gradients(batch, tgt_tokens)
        # A sharded model reduces its gradients during the backward pass.
        own = [] if self.sharded else [p.grad for p in self.model.parameters() if p.grad is not None]
        self.group.all_reduce_tensors([*own, sums])
        norm = self._step(lr)
        return PendingUpdate(torch.stack([*sums, norm]), src_tokens, tgt_tokens, self.objective.metrics)

    def gradients(self, batch: Batch, divisor: int | Tensor) -> Float[Tensor, " K"]:
        """As `Gradients`, for a batch on any device, which is split and computed again if memory runs out.

        This needs no other process, unless the model is sharded: then batches are not split.
        """
        prepared = self.objective.prepare(batch)
        batch = batch.to(self.device)

        def compute(part: Batch) -> Tensor:
            return self.compute_gradients(part, prepared if part is batch else self.objective.prepare(part), divisor)

        return compute(batch) if self.sharded else self.splitter.run(batch, compute)

    def _step(self, lr: float) -> Float[Tensor, ""]:
        self.scaler.unscale_(self.optimizer)
        norm = whole(nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm or float("inf")))
        finite = torch.isfinite(norm)
        for param_group in self.optimizer.param_groups:
            param_group["lr"] = lr * param_group["lr_ratio"]
        step_if(self.optimizer, finite)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model, finite)
        return norm

    # ---- on disk --------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of a checkpoint, by file. Every process must call it; the main one gets the result."""
        files = {
            "model": {name: p.detach() for name, p in self.model.named_parameters()},
            "optimizer": optimizer_tensors(self.model, self.optimizer),
            **({"ema": self.ema.means} if self.ema is not None else {}),
        }
        return {name: gathered(tensors, keep=self.group.is_main) for name, tensors in files.items()}

    def load_tensors(self, checkpoint: Checkpoint) -> None:
        """Restore the tensors of a checkpoint. The number of processes may have changed."""
        model = self.model
        load_into(model, like(checkpoint.model(), model), where=str(checkpoint.path))
        load_optimizer_tensors(model, self.optimizer, like(checkpoint.optimizer(), model))
        if self.ema is not None:
            means = like(checkpoint.ema() or {}, model)
            # Copies, as of all else: on a CPU, a tensor of a file maps it, and keeps its place on the disk.
            self.ema.means = {name: means[name].to(p.device, copy=True) for name, p in model.named_parameters()}

    def state_dict(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state_dict(), "ema_updates": int(self.ema.updates) if self.ema else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["scaler"]:  # empty if the run was in another precision before
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.updates.fill_(state["ema_updates"])
