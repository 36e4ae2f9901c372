"""Shape checks of annotated functions, made once for arguments of the same types, dtypes and shapes.

jaxtyping's import hook checks every call, which takes longer than what many small functions do. Whether a call passes
hangs on the types, dtypes and shapes of what goes in and comes out, so a call like one that has passed is not checked.
"""

import functools
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import jaxtyping
import numpy as np
import torch

MOST = 64  # elements of a container: to look through a longer one takes longer than the check


class TooLongError(Exception):
    """A container has more elements than `MOST`."""


def install(*packages):
    """Check the annotated functions of `packages`, which must not have been imported yet."""
    jaxtyping.jaxtyped = functools.partial(remembered, jaxtyping.jaxtyped)
    jaxtyping.install_import_hook(list(packages), "beartype.beartype")


def remembered(jaxtyped, function=None, /, *, typechecker):
    """Decorate `function` as `jaxtyped` does, with a memory of the calls that have passed."""
    if function is None:
        return functools.partial(remembered, jaxtyped, typechecker=typechecker)
    checked = jaxtyped(function, typechecker=typechecker)
    if not isinstance(function, FunctionType) or "Literal" in str(function.__annotations__):
        return checked  # a class or a property; or whether a call passes hangs on a value
    passed = {}  # what has come out, by what went in
    last = threading.local()

    def returned(*_args, **_kwargs):
        return last.result

    @functools.cache
    def check_of_results():
        same = FunctionType(returned.__code__, function.__globals__, closure=returned.__closure__)
        return jaxtyped(functools.update_wrapper(same, function), typechecker=typechecker)

    @functools.wraps(function)
    def call(*args, **kwargs):
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        given = kind_of((args, kwargs))
        if given not in passed:
            result = checked(*args, **kwargs)
            if given is not None:
                passed[given] = {kind_of(result)}
            return result
        result = function(*args, **kwargs)
        kind = kind_of(result)
        if kind is None or kind not in passed[given]:
            last.result = result
            check_of_results()(*args, **kwargs)
            del last.result
            passed[given].add(kind)
        return result

    return call


def kind_of(value):
    """All that a check can see of `value`, or None if that is much to look through."""
    try:
        return kind(value)
    except TooLongError:
        return None


def kind(value):
    """Types, dtypes and shapes of `value` and of what it contains. Raises TooLongError."""
    cls = type(value)
    look = LOOKS.get(cls)
    if look is None:
        look = LOOKS[cls] = array if issubclass(cls, torch.Tensor | np.ndarray) else type
    return look(value)


def array(value):
    return type(value), value.dtype, tuple(value.shape)


def in_order(values):
    if len(values) > MOST:
        raise TooLongError
    return tuple, *[kind(value) for value in values]


def mixed(values):
    if len(values) > MOST:
        raise TooLongError
    return type(values), frozenset([kind(value) for value in values])


def by_name(values):
    if len(values) > MOST:
        raise TooLongError
    pairs = [(name if type(name) is str else type(name), kind(value)) for name, value in values.items()]
    return dict, frozenset(pairs)


LOOKS: dict[type, Callable[[Any], Any]] = {tuple: in_order, list: mixed, set: mixed, frozenset: mixed, dict: by_name}
