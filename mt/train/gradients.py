"""The gradients of one batch: forward, loss and backward, in one of several ways that give the same numbers.

An `Updater` is given one of these. They nest: recorded gradients may fall back on compiled ones, and those on eager.
"""

from contextlib import nullcontext
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from mt.config import Precision
from mt.data.batching import Batch
from mt.nn.transformer import Transformer
from mt.train.acceleration.compile import CompiledLayers
from mt.train.acceleration.cuda_graphs import Recorded
from mt.train.acceleration.memory import all_or_nothing
from mt.train.acceleration.sharding import is_sharded
from mt.train.objective import Objective


class Gradients(Protocol):
    """Computes gradients of an objective."""

    @property
    def objective(self) -> Objective: ...

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss, and so the gradients, in fp16; in other precisions it does nothing."""
        ...

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        """Add the gradient of the batch's loss, over `divisor`, to the parameters' gradients.

        Where it fails, as for want of memory, gradients stay as they were.

        Args: batch: on the model's device; prepared: what `objective.prepare` gave for it.
        Returns: the loss's sums, not divided.
        """
        ...


class EagerGradients:
    """The model as it is."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.parameters = list(objective.model.parameters())
        self.scaler = torch.amp.GradScaler(
            self.parameters[0].device.type, enabled=objective.precision is Precision.fp16
        )
        # FSDP adds gradients up by itself, and a sharded model never repeats a batch.
        self._guarded = not is_sharded(objective.model)

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        return self.compute(self.objective.model, batch, prepared, divisor)

    def compute(self, model: Transformer, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        """Args: model: the objective's, or one around its parameters."""
        with all_or_nothing(self.parameters) if self._guarded else nullcontext():
            loss = self.objective(model, batch, prepared)
            self.scaler.scale(loss.total / divisor).backward()
        return loss.sums


class CompiledGradients:
    """As `eager`, with layers that are compiled; without them from where the compiler fails."""

    def __init__(self, eager: EagerGradients, layers: CompiledLayers) -> None:
        self.eager = eager
        self.layers = layers

    @property
    def objective(self) -> Objective:
        return self.eager.objective

    @property
    def scaler(self) -> torch.amp.GradScaler:
        return self.eager.scaler

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        return self.layers.run(lambda model: self.eager.compute(model, batch, prepared, divisor))


class RecordedGradients:
    """Replays of a CUDA graph, and for batches that do not fit it the gradients of `otherwise`."""

    def __init__(self, otherwise: Gradients, recorded: Recorded) -> None:
        self.otherwise = otherwise
        self.recorded = recorded

    @property
    def objective(self) -> Objective:
        return self.otherwise.objective

    @property
    def scaler(self) -> torch.amp.GradScaler:
        return self.otherwise.scaler

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        loss = self.recorded.run(batch, divisor)
        return self.otherwise(batch, prepared, divisor) if loss is None else torch.stack(loss)
