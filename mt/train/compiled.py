"""Layers compiled for training: norms, dropout, the feed-forward layers and the sums between them in few kernels.

Each layer's `forward` is compiled as it stands, but for its attention, which needs the tables of every batch: it runs
uncompiled between the compiled parts. Those see `[N, D]` rows only, so one compilation serves all layers of a stack
and, with `dynamic=True`, any number of rows.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from mt.errors import in_short
from mt.log import logger
from mt.losses import Loss
from mt.nn.attention import MultiHeadAttention
from mt.nn.replace import replaced
from mt.nn.transformer import Layer, Transformer
from mt.train.memory import is_out_of_memory

Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]


class _Uncompiled(nn.Module):
    """Attention that the compiler does not look into."""

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, *args: Any, **options: Any) -> Any:
        return _call(self.attention, *args, **options)


@torch.compiler.disable
def _call(module: nn.Module, *args: Any, **options: Any) -> Any:
    return module(*args, **options)


class _CompiledLayer(nn.Module):
    def __init__(self, layer: Layer, compiled: Compile) -> None:
        super().__init__()
        self.layer = replaced(layer, lambda m: _Uncompiled(m) if isinstance(m, MultiHeadAttention) else None)
        self.compiled = compiled

    def forward(self, *args: Any) -> Tensor:
        return self.compiled(type(self.layer).forward)(self.layer, *args)


class CompiledLayers:
    """A model for training, and a second one with the same parameters whose layers are compiled.

    Translation and validation use the first: every state of autograd and autocast is a compilation of its own.
    """

    def __init__(self, model: Transformer, *, backend: str | Callable[..., Any] = "inductor") -> None:
        """Nothing is compiled before the first batch. Args: backend: of `torch.compile`."""
        self.model = model
        self.active = True
        # When it is first needed: even loading the compiler may fail.
        compiled = cache(lambda forward: torch.compile(forward, dynamic=True, backend=backend))
        self.compiled = replaced(model, lambda m: _CompiledLayer(m, compiled) if isinstance(m, Layer) else None)

    def run(self, work: Callable[[Transformer], Loss]) -> Loss:
        """`work` with the compiled model; where it fails, for another reason than want of memory, with the first one,
        now and from now on.

        A compiler needs what a machine may lack (a C++ compiler, Triton), and may fail at the first batch or at a later
        one of a new kind; training that works without must not end for it.

        Args: work: all or nothing: where it fails it leaves nothing behind.
        """
        if not self.active:
            return work(self.model)
        try:
            return work(self.compiled)
        except Exception as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            said = in_short(error)
        # Out of the handler, which holds on to every tensor of the attempt.
        logger.warning(f"the layers cannot be compiled here, and training goes on without ({said})")
        self.active = False
        return work(self.model)
