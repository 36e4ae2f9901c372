"""Replacing modules: a second model with the same parameters that computes some of its layers differently.

Used for compiled layers (`mt.train.acceleration.compile`) and prepacked weights (`mt.nn.prepacked`). The original
model does not change.
"""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def replaced(model: M, replacement: Callable[[nn.Module], nn.Module | None]) -> M:
    """A model with some modules replaced.

    Parameters, buffers and modules without a replaced one inside are shared with `model`; other modules are shallow
    copies.

    Args: replacement: returns the replacement of a module, or None to go on with its children; called for outer
        modules first.
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
