"""The output of a run: messages on stderr, numbers in `metrics.jsonl` and TensorBoard.

Every module writes messages to the logger "mt" of `logging`; only commands call `setup`. Nothing here writes to stdout.
"""

import json
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console
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
            kept = _FileHandler(file, encoding="utf-8", errors="backslashreplace")
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


def console_handler() -> _ConsoleHandler:
    found = (handler for handler in logger.handlers if isinstance(handler, _ConsoleHandler))
    return next(found, None) or _ConsoleHandler(_Console(stderr=True))


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
        self._hook = threading.excepthook
        with explained(f"`{self._path}` cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
            lines = [line for line in read_metrics(self._path) if line["step"] <= step] if self._path.exists() else []
            write_file(self._path, b"".join(_to_line(line) for line in lines))
            self._file = self._path.open("ab", buffering=0)
        self._end = self._path.stat().st_size
        self._board = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # the import takes two seconds

            threading.excepthook = without_writers(self._hook)
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
        threading.excepthook = self._hook

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


def without_writers(shown: Callable[[threading.ExceptHookArgs], Any]) -> Callable[[threading.ExceptHookArgs], Any]:
    """What shows the errors of threads, except those of a disk in TensorBoard's, which `Metrics` tells in a line."""

    def show(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and type(args.thread).__module__.startswith("tensorboard.")):
            shown(args)

    return show


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
        message = f"`{path}` line {number} must be a JSON object with a step, but is not."
        raise DataError(message, hint="remove the line.")
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
