"""Layers compiled for training: norms, dropout, the feed-forward layers and the residual sums in few kernels.

Each layer's `forward` is compiled as it stands, except for its attention, which needs the layout of every batch and
runs uncompiled between the compiled parts. Those see `[N, D]` rows only, so one compilation serves all layers of a
stack and, with `dynamic=True`, any number of rows.
"""

import logging
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mt.errors import in_short
from mt.nn.attention import MultiHeadAttention
from mt.nn.replace import replaced
from mt.nn.transformer import Layer, Transformer
from mt.train.acceleration.memory import is_out_of_memory

logger = logging.getLogger("mt")
T = TypeVar("T")
Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]


class _Uncompiled(nn.Module):
    """Attention that the compiler does not trace."""

    def __init__(self, attention: MultiHeadAttention, call: Callable[..., Any]) -> None:
        """Args: call: `_call`, disabled; the same for all layers, or each would be compiled separately."""
        super().__init__()
        self.attention = attention
        self.call = call

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.call(self.attention, *args, **options)


def _call(module: nn.Module, *args: Any, **options: Any) -> Any:
    return module(*args, **options)


class _CompiledLayer(nn.Module):
    def __init__(self, layer: Layer, compiled: Compile, call: Callable[..., Any]) -> None:
        super().__init__()
        self.layer = replaced(layer, lambda m: _Uncompiled(m, call) if isinstance(m, MultiHeadAttention) else None)
        self.compiled = compiled

    def forward(self, *args: Any) -> Tensor:
        return self.compiled(type(self.layer).forward)(self.layer, *args)


class CompiledLayers:
    """A model for training, and a second one with the same parameters whose layers are compiled.

    Translation and validation use the first: every state of autograd and autocast would be one more compilation.
    """

    def __init__(self, model: Transformer, *, backend: str | Callable[..., Any] = "inductor") -> None:
        """Nothing is compiled before the first batch. Args: backend: of `torch.compile`."""
        self.model = model
        self.backend = backend
        self.active = True

    @cached_property
    def compiled(self) -> Transformer:
        """The second model. Made on first use, since it loads torch's compiler, which may fail."""
        compiled = cache(lambda forward: torch.compile(forward, dynamic=True, backend=self.backend))
        call = torch.compiler.disable(_call)
        return replaced(self.model, lambda m: _CompiledLayer(m, compiled, call) if isinstance(m, Layer) else None)

    def run(self, work: Callable[[Transformer], T]) -> T:
        """The result of `work` on the compiled model. After an error other than a lack of memory, `work` is repeated on
        the original model, which is used from then on.

        Compilation needs a C++ compiler or Triton, which a machine may lack, and may fail at the first batch or at a
        later one of a new kind. Training works without it, so it must not end.

        Args: work: must have no effect where it fails.
        """
        if not self.active:
            return work(self.model)
        try:
            return work(self.compiled)
        except Exception as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            cause = in_short(error)
        # Outside of the handler, which keeps every tensor of the attempt alive.
        logger.warning(f"the layers cannot be compiled here, and training goes on without ({cause})")
        self.active = False
        return work(self.model)
