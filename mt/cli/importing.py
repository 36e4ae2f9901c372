"""Imports that take less time: torch's leave a million objects behind, and none of them is garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Held around the imports of a command: the garbage collector neither looks while they run nor, later and when
    Python leaves, at what they made. Where it was off, it stays off."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
