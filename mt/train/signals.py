"""Signals to a run: SIGTERM, SIGINT and SIGHUP save and stop, SIGUSR1 saves and continues.

SIGHUP comes when the terminal is closed, as with a connection that breaks: perhaps twice, from the system and from the
shell, so that it never counts as a second signal. A run that was started with `nohup` ignores it.
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mt.compute.distributed import Group
from mt.compute.host import STOPPING
from mt.errors import StoppedError

logger = logging.getLogger("mt")
HANGUP = getattr(signal, "SIGHUP", None)


def to_stop() -> list[signal.Signals]:
    """The signals that stop a run."""
    return [number for number in STOPPING if number != HANGUP or signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def stops_at_once(group: Group) -> Iterator[None]:
    """Outside the updates (`Requests.handled`) there is nothing to save: a signal to stop ends the block at once, as an
    interrupt, which no code takes for a failure. Processes of a group end as the system has it.

    Raises: StoppedError: for the first signal; a second one is an interrupt of the command.
    """
    if group.world > 1:
        yield
        return
    received = list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        if number == HANGUP and received:
            return
        received.append(number)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, stop) for number in to_stop()}
    try:
        yield
    except KeyboardInterrupt:
        if len(received) != 1:
            raise
        named = signal.Signals(received[0]).name
        raise StoppedError(
            f"stopped by {named}, with nothing to save.", hint="the same command continues it."
        ) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Requests:
    """Requests by signals. The processes of a group agree on them once per update.

    Handlers only set flags, since a signal may arrive in the middle of anything, including another message.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.save = False  # agreed by the group: save after this update
        self.signal: int | None = None  # the one that requested a stop of this process
        self._save_received = False
        self._group_stops = False  # agreed by the group: stop after this update
        self._acknowledged = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Install the signal handlers, and restore the previous ones at the end."""
        handlers = {**dict.fromkeys(to_stop(), self._on_stop), signal.SIGUSR1: self._on_save}
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def agree(self, seconds: float) -> float:
        """Share the requests with all processes. Returns the `seconds` of the main process."""
        self.save, self._save_received = self._save_received, False
        if self.group.world > 1:
            seconds, stops, saves = self.group.all_reduce(
                seconds if self.group.is_main else 0.0, self.signal is not None, self.save
            )
            self._group_stops, self.save = stops > 0, saves > 0
        self.acknowledge()
        return seconds

    @property
    def stop(self) -> bool:
        """Whether to stop after this update."""
        return self._group_stops if self.group.world > 1 else self.signal is not None

    @property
    def stop_reason(self) -> str:
        return signal.Signals(self.signal).name if self.signal is not None else "a signal to another process"

    def acknowledge(self) -> None:
        """Log, once, that a request to stop was received."""
        if self.signal is not None and not self._acknowledged:
            self._acknowledged = True
            logger.info(f"{signal.Signals(self.signal).name}: saving after this update; a second signal stops at once.")

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        # In a group the same request may arrive twice, from the cluster and from torchrun.
        if self.signal is not None and self.group.world == 1:
            if number == HANGUP:
                return
            raise KeyboardInterrupt
        self.signal = number

    def _on_save(self, number: int, frame: FrameType | None) -> None:
        self._save_received = True
