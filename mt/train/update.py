"""One update: forward and backward over some batches, one step of the optimiser.

On an accelerator nothing here waits for it: whether a gradient is finite is decided where the gradient is, and what an
update did is read by the trainer an update later. Of several processes each has a part of the batches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mt.batching import Batch, fill_up
from mt.checkpoint import Checkpoint, load_into
from mt.config import Precision
from mt.device import autocast, autocast_dtype
from mt.dist import Group
from mt.losses import Loss, cross_entropy
from mt.nn.transformer import Transformer
from mt.optim import Ema, load_optimizer_tensors, optimizer_tensors, set_rate, step_if
from mt.train.compiled import CompiledLayers
from mt.train.graphs import Recorded
from mt.train.guiding import Guiding
from mt.train.memory import Room, all_or_nothing
from mt.train.sharding import gathered, is_sharded, like, whole


@dataclass(frozen=True)
class Update:
    """What an update did; losses are per target token, in nats. Everything counts the batches of all processes."""

    loss: float
    nll: float
    grad_norm: float
    src_tokens: int
    tgt_tokens: int
    skipped: bool
    guided: float | None = None  # the taught head's loss per taught row, in nats; None: nothing was taught

    def more(self) -> dict[str, float]:
        """What only some runs have, by the name it has in `metrics.jsonl`."""
        return {} if self.guided is None else {"guided": self.guided}


class Unread:
    """An update whose numbers may still be under way from the device."""

    def __init__(self, numbers: Float[Tensor, " N"], src_tokens: int, tgt_tokens: int) -> None:
        """Args: numbers: sums of the smoothed loss and of the negative log-likelihood; with guided alignment, its
        sum and its number of rows; the gradient's norm."""
        self._numbers = numbers.to("cpu", non_blocking=True)
        self._arrived = None
        if numbers.is_cuda:
            # Read later without this, the numbers would queue behind all that the device was given since.
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        self._tokens = src_tokens, tgt_tokens

    def read(self) -> Update:
        """Waits until the device has come so far."""
        if self._arrived is not None:
            self._arrived.synchronize()
        smoothed, nll, *taught, norm = self._numbers.tolist()
        src_tokens, tgt_tokens = self._tokens
        return Update(
            smoothed / tgt_tokens, nll / tgt_tokens, norm, src_tokens, tgt_tokens,
            skipped=not math.isfinite(norm), guided=taught[0] / taught[1] if taught and taught[1] else None,
        )  # fmt: skip


def batch_loss(model: Transformer, batch: Batch, precision: Precision, smoothing: float) -> Loss:
    """Loss sums of one batch. The model runs in `precision`; the loss keeps its sums in 32 bits."""
    shaped = fill_up(batch)
    with autocast(batch.target_in.device, precision):
        hidden = model(shaped.source, shaped.target_in, shaped.target_layout)
    # CUDA's autocast leaves the last norm, and so `hidden`, in 32 bits; the largest product must not run in them.
    return cross_entropy(hidden.to(autocast_dtype(precision)), model.out_weight, batch.target_out, smoothing)


class Updater:
    """A model and what changes it."""

    def __init__(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        *,
        precision: Precision,
        smoothing: float,
        clip_norm: float,
        ema: Ema | None = None,
        group: Group | None = None,
    ) -> None:
        """Args: clip_norm: gradients are scaled down to this norm; 0 leaves them as they are. group: None: alone."""
        self.model = model
        self.optimizer = optimizer
        self.precision = precision
        self.smoothing = smoothing
        self.clip_norm = clip_norm
        self.ema = ema
        self.group = group or Group()
        self.sharded = is_sharded(model)
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision is Precision.fp16)
        self.room = Room()
        self.compiled: CompiledLayers | None = None  # both are set where they pay
        self.recorded: Recorded | None = None
        self.guiding: Guiding | None = None  # where one head is taught links

    def __call__(self, batches: Sequence[Batch], lr: float, *, seeds: Sequence[int] | None = None) -> Unread:
        """Gradients are divided once, by the target tokens of all batches: how they were cut does not matter.

        An update whose gradients are not finite is skipped: weights, moments and the running mean stay.

        Args: batches: this process's part of the update; seeds: what the random numbers of each batch (dropout) start
        from, so that they do not depend on who computes it. None: they go on from where they are.
        """
        self.model.train()
        rows = [(batch.source.layout.num_rows, batch.target_layout.num_rows) for batch in batches]
        src_tokens, tgt_tokens = map(int, self.group.add_up(*map(sum, zip(*rows, strict=True))))
        sums = torch.zeros(2, device=self.device)
        for number, batch in enumerate(batches):
            if seeds is not None:
                torch.manual_seed(seeds[number])
            sums += torch.stack(self.gradients(batch, tgt_tokens))
        if self.guiding is not None:
            sums = torch.cat([sums, self.guiding.take()])
        self._add_up(sums)
        norm = self._step(lr)
        return Unread(torch.stack([*sums, norm]), src_tokens, tgt_tokens)

    def gradients(self, batch: Batch, divisor: int | Tensor) -> Loss:
        """Add the gradient of one batch's loss, over `divisor`, to what is there; returns the sums, not divided.

        Nothing in here waits for another process, unless the model is sharded: a batch that does not fit the memory is
        cut and done again.
        """
        if self.guiding is not None:
            self.guiding.prepare(batch)
        batch = batch.to(self.device)
        if self.sharded:
            return self._backward(self.model, batch, divisor)
        return self.room.run(batch, lambda part: self.attempt(part, divisor))

    def attempt(self, batch: Batch, divisor: int | Tensor) -> Loss:
        """`gradients` of a batch that fits. Out of memory, nothing is left of it, and torch's error passes."""
        loss = self.recorded.run(batch, divisor) if self.recorded is not None else None
        if loss is not None:
            return loss

        def work(model: Transformer) -> Loss:
            with all_or_nothing(list(self.model.parameters())):
                return self._backward(model, batch, divisor)

        return work(self.model) if self.compiled is None else self.compiled.run(work)

    def try_out(self, batch: Batch) -> None:
        """What `attempt` does to the memory, for a batch of no real pairs; the gradients are the caller's to drop."""
        if self.guiding is not None:
            self.guiding.rehearse(batch)
        self.attempt(batch, 1)
        if self.guiding is not None:
            self.guiding.take()

    def _backward(self, model: Transformer, batch: Batch, divisor: int | Tensor) -> Loss:
        if self.guiding is None:
            loss = batch_loss(model, batch, self.precision, self.smoothing)
            self.scaler.scale(loss.smoothed / divisor).backward()
        else:
            with self.guiding.teach(batch) as heard:
                loss = batch_loss(model, batch, self.precision, self.smoothing)
            self.scaler.scale((loss.smoothed + self.guiding.weighted(heard)) / divisor).backward()
            self.guiding.count(heard)
        return Loss(loss.smoothed.detach(), loss.nll.detach())

    def _add_up(self, sums: Tensor) -> None:
        """Losses and gradients over all processes, in one go; a sharded model has added up its gradients by itself."""
        own = [] if self.sharded else [p.grad for p in self.model.parameters() if p.grad is not None]
        self.group.all_reduce_sum([*own, sums])

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
        """What a checkpoint keeps, file by file; each process calls it, and the first one has the result."""
        files = {
            "model": {name: p.detach() for name, p in self.model.named_parameters()},
            "optimizer": optimizer_tensors(self.model, self.optimizer),
            **({"ema": self.ema.means} if self.ema is not None else {}),
        }
        return {name: gathered(tensors, keep=self.group.is_main) for name, tensors in files.items()}

    def load_tensors(self, checkpoint: Checkpoint) -> None:
        """Put back what `tensors` gave, on as many processes as there are now."""
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
