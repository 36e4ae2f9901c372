"""One update: forward and backward over some batches, one step of the optimiser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mt.batching import Batch
from mt.config import Precision
from mt.device import autocast, autocast_dtype
from mt.losses import Loss, cross_entropy
from mt.nn.transformer import Transformer
from mt.optim import Ema, set_rate


@dataclass(frozen=True)
class Update:
    """What an update did; losses are per target token, in nats."""

    loss: float
    nll: float
    grad_norm: float
    src_tokens: int
    tgt_tokens: int
    skipped: bool


def batch_loss(model: Transformer, batch: Batch, precision: Precision, smoothing: float) -> Loss:
    """Loss sums of one batch. The model runs in `precision`; the loss keeps its sums in 32 bits."""
    with autocast(batch.source.device, precision):
        hidden = model(batch.source, batch.source_rows, batch.target_in, batch.target_rows)
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
    ) -> None:
        """Args: clip_norm: gradients are scaled down to this norm; 0 leaves them as they are."""
        self.model = model
        self.optimizer = optimizer
        self.precision = precision
        self.smoothing = smoothing
        self.clip_norm = clip_norm
        self.ema = ema
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision is Precision.fp16)

    def __call__(self, batches: Sequence[Batch], lr: float) -> Update:
        """Gradients are divided once, by the target tokens of all `batches`: how they were cut does not matter.

        An update whose gradients are not finite is skipped: weights, moments and the running mean stay.
        """
        self.model.train()
        tgt_tokens = sum(batch.target_rows.num_rows for batch in batches)
        src_tokens = sum(batch.source_rows.num_rows for batch in batches)
        sums: list[Loss] = []
        for batch in batches:
            loss = batch_loss(self.model, batch.to(self.device), self.precision, self.smoothing)
            self.scaler.scale(loss.smoothed / tgt_tokens).backward()
            sums.append(Loss(loss.smoothed.detach(), loss.nll))
        norm = self._step(lr)
        smoothed, nll = (float(sum(part)) / tgt_tokens for part in zip(*sums, strict=True))
        skipped = not torch.isfinite(norm).item()
        return Update(smoothed, nll, norm.item(), src_tokens, tgt_tokens, skipped)

    def _step(self, lr: float) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm or float("inf"))
        set_rate(self.optimizer, lr)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)  # does nothing when a gradient is not finite
            self.scaler.update()
        elif torch.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None and torch.isfinite(norm):
            self.ema.update(self.model)
        return norm

    def state_dict(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state_dict(), "ema_updates": self.ema.updates if self.ema else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["scaler"]:  # empty where the run was in another precision before
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.updates = state["ema_updates"]
