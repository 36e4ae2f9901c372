"""Compiled layers: norms, dropout, feed-forward layers and the sums between them in few kernels.

Only `Layer.feed` is compiled (regional compilation): it takes `[N, D]` rows without sentence boundaries, so one
compilation serves all layers of a stack and, with `dynamic=True`, any number of rows. Compiling the whole model would
trace the tables of every batch. The compiled function replaces a method and does not wrap the module, so parameters
keep their names.
"""

from collections.abc import Callable
from functools import cache
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mt.errors import in_short
from mt.log import logger
from mt.nn.transformer import Layer, Transformer
from mt.train.memory import is_out_of_memory

T = TypeVar("T")


class CompiledLayers:
    """The layers of a model, compiled for training. Translation and validation use them as they are."""

    def __init__(self, model: Transformer, *, backend: str | Callable[..., Any] = "inductor") -> None:
        """Nothing is compiled before the first batch. Args: backend: of `torch.compile`."""
        self.layers: list[nn.Module] = [*model.encoder, *model.decoder]
        self.active = True
        # When it is first needed: even loading the compiler may fail.
        compiled = cache(lambda: torch.compile(Layer.feed, dynamic=True, backend=backend))

        def feed(layer: Layer, x: Tensor, f: Tensor, norm: nn.Module) -> Tensor:
            # Every state of autograd and autocast is a compilation of its own, and validation has few batches.
            training = layer.training and torch.is_grad_enabled()
            return (compiled() if training else Layer.feed)(layer, x, f, norm)

        for layer in self.layers:
            layer.__dict__["feed"] = MethodType(feed, layer)

    def run(self, work: Callable[[], T]) -> T:
        """The result of `work`. If it fails, but not for want of memory, the layers stay uncompiled and it is repeated.

        It needs what a machine may lack (a C++ compiler, Triton), and may fail at the first batch or at a later one
        of a new kind. Training works without it, so it must not end.

        Args: work: all or nothing: where it fails it has no effect.
        """
        if not self.active:
            return work()
        try:
            return work()
        except Exception as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            said = in_short(error)
        # Out of the handler, which holds on to every tensor of the attempt.
        logger.warning(f"the layers cannot be compiled here, and training goes on without ({said})")
        self.undo()
        return work()

    def undo(self) -> None:
        """Restore the plain layers."""
        self.active = False
        for layer in self.layers:
            layer.__dict__.pop("feed", None)
