"""Progress on stderr: the line of a training run, and a bar for everything else that takes long.

On a terminal it is a live line with a bar and the time left; messages appear above it. Nothing here writes to stdout.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mt.log import console_handler

T = TypeVar("T")
BAR = 16  # columns, and two after it
LEFT_OUT = ("packed", "lr", "processes", "patience", "speed", "epoch", "best")  # of a line that is too long, in order
STRIDE = 2048  # items between two looks at the clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The state of a run. None is not shown."""

    step: int
    total_steps: int | None = None
    processes: int = 1
    epoch: float | None = None
    loss: float | None = None
    lr: float | None = None
    src_tokens_per_s: float | None = None
    tgt_tokens_per_s: float | None = None
    packing: float | None = None  # share of the token budget that is used
    skipped: int = 0  # updates left out because a number was not finite
    best: str | None = None  # for example "BLEU 31.2 @ 1500"
    patience_left: int | None = None
    eta_s: float | None = None
    done: float | None = None  # the fraction of the run that is over, by whichever limit ends it

    def line(self, room: int | None = None) -> str:
        """One line: `step 1,240/5,000  epoch 3.1  loss 2.413  lr 1.2e-03  4,310+4,290 tok/s  packed 98%  ...`.

        Args: room: columns; where all does not fit, what one needs least is left out.
        """
        src, tgt = self.src_tokens_per_s, self.tgt_tokens_per_s
        parts = {
            "step": f"step {self.step:,}" + ("" if self.total_steps is None else f"/{self.total_steps:,}"),
            "epoch": None if self.epoch is None else f"epoch {self.epoch:.1f}",
            "loss": None if self.loss is None else f"loss {self.loss:.3f}",
            "lr": None if self.lr is None else f"lr {self.lr:.1e}",
            "speed": None if src is None or tgt is None else f"{src:,.0f}+{tgt:,.0f} tok/s",
            "processes": f"on {self.processes} processes" if self.processes > 1 else None,
            "packed": None if self.packing is None else f"packed {self.packing:.0%}",
            "skipped": f"skipped {self.skipped:,}" if self.skipped else None,
            "best": None if self.best is None else f"best {self.best}",
            "patience": None if self.patience_left is None else f"patience {self.patience_left}",
            "eta": None if self.eta_s is None else f"eta {duration(self.eta_s)}",
        }
        line = "  ".join(filter(None, parts.values()))
        for part in LEFT_OUT:
            if room is not None and len(line) > room:
                del parts[part]
                line = "  ".join(filter(None, parts.values()))
        return line


@dataclass(frozen=True, slots=True)
class Wait:
    """What one waits for, and how long still; where that is not known, how long already."""

    what: str
    done: float | None  # the fraction that is over; None: not known
    seconds: float

    def line(self, room: int | None = None) -> str:
        share = " " if self.done is None else f" {self.done:.0%}  eta"
        return f"{self.what}{share} {duration(self.seconds)}"


def duration(seconds: float) -> str:
    """`45s`, `7m12s`, `3h05m` or `2d04h`; `?` for a negative or infinite time."""
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


class Progress:
    """A live line on a terminal; elsewhere a plain line at most every `every` seconds. Nothing when quiet.

    Messages appear above the live line.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        every: float = 10.0,
        last: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: last: what was shown last remains as a plain line."""
        handler = console_handler()
        self.console = console or handler.console
        self.every = every
        self._clock = clock
        self._last: float | None = None
        self._pending: Status | Wait | None = None
        self._live: Live | None = None
        self._keep_last = last
        self._silent = handler.level > logging.INFO
        if self.console.is_interactive and not self._silent:
            # stdout is not redirected: it carries results.
            self._live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stdout=False)
            self.every = 0.1

    @property
    def live(self) -> bool:
        """Whether this is a live line on a terminal."""
        return self._live is not None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        if self._pending and self._keep_last and not self._silent:
            self._print(self._pending)

    def update(self, status: Status | Wait) -> None:
        """Show `status`, unless one was shown less than `every` seconds ago; the last one is always shown."""
        self._pending = status
        now = self._clock()
        if self._silent or (self._last is not None and now - self._last < self.every):
            return
        self._last = now
        if self._live:
            self._live.update(_with_bar(status, self.console.width), refresh=True)
        else:
            self._print(status)
            self._pending = None

    def _print(self, status: Status | Wait) -> None:
        self.console.print(Text(status.line()), soft_wrap=True)


class Waiting:
    """A context in which one waits: shows the fraction that is done and the time left, once it has taken a second.

    Nothing remains of it. Elsewhere than on a terminal nothing is shown, or with `plain` a line every ten seconds.
    """

    def __init__(
        self,
        what: str,
        *,
        plain: bool = False,
        hidden: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: what: a present participle, such as "translating"; hidden: show nothing."""
        self.what = what
        self._clock = clock
        self._progress = Progress(console, clock=clock, last=False)
        self.shows = not hidden and (plain or self._progress.live)
        self._open = ExitStack()
        self._started = self._clock()
        self._due = self._started + (1.0 if self._progress.live else self._progress.every)
        self._furthest = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def show(self, done: float, total: float) -> None:
        """Show that `done` of `total` are over. The fraction never falls."""
        self._furthest = share = max(self._furthest, min(1.0, done / total) if total else 0.0)
        if (passed := self._passed()) is not None:
            self._progress.update(Wait(self.what, share, passed * (1 - share) / share if share else math.inf))

    def tell(self, so_far: str = "") -> None:
        """Show the time that has passed, where the end is not known. Args: so_far: such as ": 1,240 pairs"."""
        if (passed := self._passed()) is not None:
            self._progress.update(Wait(f"{self.what}{so_far}", None, passed))

    def each(self, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """The items, with the share that is over, or without a total their number. Args: items: pairs of sentences."""
        for number, item in enumerate(items):
            if number % STRIDE == 0 and number:
                if total is None:
                    self.tell(f": {number:,} pairs")
                else:
                    self.show(number, total)
            yield item

    def _passed(self) -> float | None:
        """Seconds since the start; None while nothing is shown."""
        now = self._clock()
        if not self.shows or now < self._due:
            return None
        if self._due > self._started:
            self._open.enter_context(self._progress)
            self._due = self._started
        return now - self._started


@contextmanager
def elapsing(
    what: str,
    *,
    plain: bool = False,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
    every: float = 0.5,
) -> Iterator[None]:
    """Around a call that cannot report how far it is: as `Waiting`, with the time that has passed.

    A thread shows it, so the call must release the interpreter's lock. Args: every: seconds between two looks.
    """
    over = threading.Event()

    def watch(wait: Waiting) -> None:
        while not over.wait(every):
            wait.tell()

    with Waiting(what, plain=plain, console=console, clock=clock) as wait:
        thread = threading.Thread(target=watch, args=(wait,), daemon=True)
        if wait.shows:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if wait.shows:
                thread.join()


def _with_bar(status: Status | Wait, width: int) -> Table | Text:
    """Args: width: columns of the terminal."""
    if status.done is None:
        return Text(status.line(width))
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(ProgressBar(total=1.0, completed=status.done, width=BAR), Text(status.line(width - BAR - 2)))
    return row
