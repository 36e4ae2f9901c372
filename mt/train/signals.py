"""What a run does when it is signalled: SIGTERM and SIGINT end it after a save, SIGUSR1 saves and goes on."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def heard(*, stop: Handler, save: Handler) -> Iterator[None]:
    """Inside, these functions are called between two instructions of Python; they should only take a note."""
    wanted = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if hasattr(signal, "SIGUSR1"):  # Windows has none
        wanted[signal.SIGUSR1] = save
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
