"""The one way to have part of a model computed differently: a second model around the same parameters.

Compiled layers (`mt.train.acceleration.compile`) and prepacked weights (`mt.nn.prepacked`) are modules that stand in
for others. The model that they are made from stays as it is, so there is nothing to undo. CUDA graphs replay whole
passes of such a model (`mt.decode.search.cuda_graphs`) or of the model itself (`mt.train.acceleration.cuda_graphs`),
and replace no layer.
"""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def replaced(model: M, replacement: Callable[[nn.Module], nn.Module | None]) -> M:
    """The model with other modules in place of some of those inside it.

    Parameters, buffers and modules that hold no replaced one are shared with `model`; those around are shallow copies.

    Args: replacement: asked for every module inside, outer ones first; None: look further inside.
    """
    children: dict[str, nn.Module | None] = {}
    for name, child in model._modules.items():
        other = None if child is None else replacement(child)
        children[name] = other if other is not None or child is None else replaced(child, replacement)
    if all(children[name] is child for name, child in model._modules.items()):
        return model
    copy = type(model).__new__(type(model))
    copy.__dict__ = {**model.__dict__, "_modules": children}
    return copy
