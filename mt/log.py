"""The output of a run: messages and progress on stderr, numbers in `metrics.jsonl` and TensorBoard.

Every module writes messages to `logger`; only commands call `setup`. Nothing here writes to stdout.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mt.errors import DataError
from mt.files import explained, reason, write_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger("mt")
FILE_ONLY = {"file_only": True}  # `extra` of a message that is already on stdout


# ---------------------------------------------------------------- messages


def setup(stream: TextIO | None = None, *, file: Path | None = None, quiet: bool = False, silent: bool = False) -> None:
    """Send messages to `stream` (None: stderr) and, with times, to `file`. Replaces an earlier setup.

    Args: quiet: `stream` gets warnings and errors only; silent: errors only, for all processes of a run but the first.
    Raises: CheckpointError: when `file` cannot be written.
    """
    for old in [handler for handler in logger.handlers if isinstance(handler, _ConsoleHandler | _FileHandler)]:
        logger.removeHandler(old)
        old.close()
    shown = _ConsoleHandler(_Console(file=stream, stderr=stream is None))
    shown.setLevel(logging.ERROR if silent else logging.WARNING if quiet else logging.INFO)
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    if file is not None:
        with explained(f"`{file}` cannot be written"):
            file.parent.mkdir(parents=True, exist_ok=True)
            kept = _FileHandler(file, encoding="utf-8")
        kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
        logger.addHandler(kept)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """When the reader of stderr is gone, print nothing more; rich would end the process and close stdout."""
        self.quiet = True

    def _check_buffer(self) -> None:
        """The same when the disk of stderr's file is full, or the terminal was closed."""
        try:
            super()._check_buffer()
        except OSError:
            self.on_broken_pipe()


class _ConsoleHandler(logging.Handler):
    """Prints through the console that also draws the progress line, so that neither garbles the other."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "file_only", False):
            return
        try:
            text = Text(self.format(record))
            if record.levelno >= logging.WARNING:
                style = "bold red" if record.levelno >= logging.ERROR else "yellow"
                text = Text.assemble((f"{record.levelname.lower()}: ", style), text)
            self.console.print(text, soft_wrap=True)
        except Exception:
            self.handleError(record)


class _FileHandler(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """Do nothing: on a full disk logging would print a traceback for every message."""


def _console_handler() -> _ConsoleHandler:
    for handler in logger.handlers:
        if isinstance(handler, _ConsoleHandler):
            return handler
    return _ConsoleHandler(_Console(stderr=True))


# ---------------------------------------------------------------- progress


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


def render(status: Status) -> str:
    """One line: `step 1,240/5,000  epoch 3.1  loss 2.413  lr 1.2e-03  4,310+4,290 tok/s  packed 98%  ...`."""
    parts = [f"step {status.step:,}" + ("" if status.total_steps is None else f"/{status.total_steps:,}")]
    if status.epoch is not None:
        parts.append(f"epoch {status.epoch:.1f}")
    if status.loss is not None:
        parts.append(f"loss {status.loss:.3f}")
    if status.lr is not None:
        parts.append(f"lr {status.lr:.1e}")
    if status.src_tokens_per_s is not None and status.tgt_tokens_per_s is not None:
        parts.append(f"{status.src_tokens_per_s:,.0f}+{status.tgt_tokens_per_s:,.0f} tok/s")
    if status.processes > 1:
        parts.append(f"on {status.processes} processes")
    if status.packing is not None:
        parts.append(f"packed {status.packing:.0%}")
    if status.skipped:
        parts.append(f"skipped {status.skipped:,}")
    if status.best is not None:
        parts.append(f"best {status.best}")
    if status.patience_left is not None:
        parts.append(f"patience {status.patience_left}")
    if status.eta_s is not None:
        parts.append(f"eta {duration(status.eta_s)}")
    return "  ".join(parts)


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
        self, console: Console | None = None, *, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        handler = _console_handler()
        self.console = console or handler.console
        self._every = every
        self._clock = clock
        self._last: float | None = None
        self._pending: Status | None = None
        self._live: Live | None = None
        self._silent = handler.level > logging.INFO
        if self.console.is_interactive and not self._silent:
            # stdout is not redirected: it carries results.
            self._live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._every = 0.1

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        if self._pending and not self._silent:
            self._print(self._pending)

    def update(self, status: Status) -> None:
        """Show `status`, unless one was shown less than `every` seconds ago; the last one is always shown."""
        self._pending = status
        now = self._clock()
        if self._silent or (self._last is not None and now - self._last < self._every):
            return
        self._last = now
        if self._live:
            self._live.update(_with_bar(status), refresh=True)
        else:
            self._print(status)
            self._pending = None

    def _print(self, status: Status) -> None:
        self.console.print(Text(render(status)), soft_wrap=True)


def _with_bar(status: Status) -> Table | Text:
    line = Text(render(status))
    if status.total_steps is None:
        return line
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(ProgressBar(total=status.total_steps, completed=status.step, width=16), line)
    return row


# ---------------------------------------------------------------- numbers


class Metrics:
    """`metrics.jsonl`, with one JSON object per line, and TensorBoard beside it.

    A run that resumes from the checkpoint of `step` first drops all later lines and an incomplete last line, so that
    the file is that of an unbroken run. Floats are exact; those that are not finite become null. On a full disk lines
    are lost, with one warning, but the run continues. Raises `CheckpointError` when the folder cannot be written at the
    start, `DataError` when the file is damaged.
    """

    def __init__(self, folder: Path, *, step: int = 0, tensorboard: bool = True) -> None:
        self._path = folder / "metrics.jsonl"
        self._warned = False
        with explained(f"`{self._path}` cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
            lines = [line for line in read_metrics(self._path) if line["step"] <= step] if self._path.exists() else []
            write_file(self._path, b"".join(_to_line(line) for line in lines))
            self._file = self._path.open("ab", buffering=0)
        self._end = self._path.stat().st_size
        self._board = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # the import takes two seconds

            try:
                self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
            except OSError as error:
                self._warn(error)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one line; numbers also become the TensorBoard scalars `kind/name`."""
        line = _to_line({"kind": kind, "step": step, **values})
        try:
            if self._file.write(line) != len(line):
                raise OSError("the disk is full")
            self._end += len(line)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)  # removes an incomplete line
            self._warn(error)
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._show("add_scalar", f"{kind}/{name}", value, step)

    def text(self, tag: str, step: int, text: str) -> None:
        """Show `text` (Markdown), such as sample translations, in TensorBoard only."""
        self._show("add_text", tag, text, step)

    def images(self, tag: str, step: int, draw: "Callable[[], Sequence[NDArray[Any]]]") -> None:
        """Show pictures (`[Y, X, 3]`, bytes) in TensorBoard as `tag/1`, ...; without TensorBoard none is drawn."""
        for number, pixels in enumerate(draw() if self._board is not None else [], 1):
            self._show("add_image", f"{tag}/{number}", pixels, step, None, "HWC")

    def sync(self) -> None:
        """Flush all lines to disk, and TensorBoard's to the system. Call it before each save: a run that resumes from a
        checkpoint does not write earlier lines again."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._warn(error)
        self._show("flush")

    def close(self) -> None:
        self._file.close()
        self._show("close")
        self._board = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _show(self, method: str, *values: Any) -> None:
        if self._board is None:
            return
        try:
            getattr(self._board, method)(*values)
        except OSError as error:  # an error of the writer's own thread; the writer is unusable after it
            self._board = None
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            logger.warning("some numbers could not be written to `%s` or TensorBoard: %s.", self._path, reason(error))
            self._warned = True


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, without an incomplete last line. Raises: DataError."""
    with explained(f"`{path}` cannot be read", DataError):
        *whole, _incomplete = path.read_bytes().split(b"\n")
    lines = []
    for number, raw in enumerate(whole, 1):
        with suppress(ValueError, RecursionError):
            line = json.loads(raw)
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
                continue
        raise DataError(f"`{path}` line {number} must be a JSON object with a step, but is not: remove the line.")
    return lines


def _to_line(values: dict[str, Any]) -> bytes:
    return json.dumps(_finite(values), allow_nan=False).encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
