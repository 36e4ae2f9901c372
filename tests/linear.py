"""A limit for work whose time must grow with its input, not with the square of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

LIMIT = 20.0  # seconds


@contextmanager
def in_linear_time() -> Iterator[None]:
    """Fails after 20 seconds of this process's own time, which no neighbour lengthens. The inputs of these tests are so
    large that linear work takes a second of it on a slow processor, and work with the square of them minutes."""
    started = process_time()
    yield
    assert process_time() - started < LIMIT
