"""The gradients of one batch: forward, loss and backward, in one of several ways that give the same numbers."""

from contextlib import nullcontext
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from mt.config import Precision
from mt.data.batching import Batch
from mt.nn.transformer import Transformer
from mt.train.acceleration.compile import CompiledLayers
from mt.train.acceleration.cuda_graphs import GraphedBatches
from mt.train.acceleration.memory import all_or_nothing
from mt.train.acceleration.sharding import is_sharded
from mt.train.objective import Objective


class Gradients(Protocol):
    """Computes gradients of an objective."""

    eager: "EagerGradients"  # has the objective, and is the fallback

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        """Add the gradient of the batch's loss over `divisor` to the parameters' gradients. On an error, such as a lack
        of memory, the gradients stay as they were.

        Args: batch: on the model's device; prepared: the result of `objective.prepare` for it.
        Returns: the sums of the loss, not divided.
        """
        ...


class EagerGradients:
    """The gradients of the model as it is."""

    def __init__(self, objective: Objective) -> None:
        self.eager = self
        self.objective = objective
        self.parameters = list(objective.model.parameters())
        # Scales the loss, and so the gradients, in fp16; does nothing in other precisions.
        self.scaler = torch.amp.GradScaler(
            self.parameters[0].device.type, enabled=objective.precision is Precision.fp16
        )
        # FSDP accumulates gradients by itself, and a sharded model never repeats a batch.
        self._repeatable = not is_sharded(objective.model)

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        return self.compute(self.objective.model, batch, prepared, divisor)

    def compute(self, model: Transformer, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        """Args: model: the objective's, or one that shares its parameters."""
        with all_or_nothing(self.parameters) if self._repeatable else nullcontext():
            loss = self.objective(model, batch, prepared)
            self.scaler.scale(loss.total / divisor).backward()
        return loss.sums


class CompiledGradients:
    """Gradients through compiled layers; through the original ones after an error of the compiler."""

    def __init__(self, eager: EagerGradients, layers: CompiledLayers) -> None:
        self.eager = eager
        self.layers = layers

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        return self.layers.run(lambda model: self.eager.compute(model, batch, prepared, divisor))


class GraphedGradients:
    """Gradients by replay of a CUDA graph; those of `fallback` for batches that do not fit the graph."""

    def __init__(self, fallback: Gradients, graphed: GraphedBatches) -> None:
        self.eager = fallback.eager
        self.fallback = fallback
        self.graphed = graphed

    def __call__(self, batch: Batch, prepared: Any, divisor: int | Tensor) -> Float[Tensor, " K"]:
        loss = self.graphed.run(batch, divisor)
        return self.fallback(batch, prepared, divisor) if loss is None else torch.stack(loss)
