"""The loop of every verb that works line by line: read items, process them in batches, write a line for each.

An item is a line of text, a pair of texts or the weights between their words. Lines come from a file, plain or
compressed, or from a stream; an error in a line names its file and number (`mt.text.lines`).
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, BinaryIO, NamedTuple, TypeVar

from mt.cli.options import stdout
from mt.errors import DataError, counted
from mt.files import explained
from mt.text.lines import MAX_LINE, check_file, check_line_counts, check_not_one_pipe, decode_line, raw_lines
from mt.text.media import HEAD, check_no_media

logger = logging.getLogger("mt")
T = TypeVar("T")
PAUSE = 0.02  # seconds
SHOWN = 3  # bad lines that are named


class Line(NamedTuple):
    text: str
    end: bytes  # LF, CR LF, or nothing at the end of the input
    name: str = ""  # of a row of a table, for errors


def process(
    items: Iterable[T],
    size: int,
    work: Callable[[list[T], int], Iterable[bytes]],
    out: BinaryIO,
    *,
    live: bool = False,
    show: Callable[[int], object] | None = None,
) -> None:
    """Hand items to `work` in batches and write the lines that it returns, with their ends, batch by batch.

    When an item cannot be read, the items before it are processed first.

    Args: size: items in a batch; work: takes a batch and the number of items before it; live: another program may wait
    for an answer, so a batch also ends when no item comes for `PAUSE` seconds; show: is told how many items are done.
    Raises: what `items` and `work` raise.
    """
    done = 0
    for batch in (live_batches if live else batches)(items, size):
        out.writelines(work(batch, done))
        out.flush()
        done += len(batch)
        if show is not None:
            show(done)


@contextmanager
def waiting(what: str, total: int, output: Path | None) -> Iterator[Callable[[float], None]]:
    """A bar on the terminal until the results are written; none where they appear on the terminal themselves.

    Yields: a function that shows how many of `total` items are done.
    """
    from mt.progress import Waiting

    shown = output is None and sys.stdout is not None and sys.stdout.isatty()  # pyright: ignore
    with Waiting(what, hidden=shown) as wait:
        yield lambda done: wait.show(done, total)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter. The items before an error are yielded before it is raised."""
    batch: list[T] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except DataError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def live_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """As `batches`, but a batch also ends when no item comes for `PAUSE` seconds. A thread reads ahead."""
    queue: Queue[T | BaseException | None] = Queue(2 * size)  # None: the end; an error is raised again here

    def read() -> None:
        try:
            for item in items:
                queue.put(item)
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    Thread(target=read, name="mt-read-ahead", daemon=True).start()
    batch: list[T] = []
    while True:
        try:
            item = queue.get(timeout=PAUSE if batch else None)
        except Empty:
            yield batch
            batch = []
            continue
        if item is None or isinstance(item, BaseException):
            if batch:
                yield batch
            if item is not None:
                raise item
            return
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []


def results(path: Path | None) -> AbstractContextManager[BinaryIO]:
    """Where a verb writes: the file, which is opened on entry, or stdout.

    Raises: ConfigError: when stdout is closed; CheckpointError: on entry, or when a write to the file fails.
    """
    return nullcontext(stdout()) if path is None else _opened(path)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with explained(f"`{path}` cannot be written"), path.open("wb") as out:
        yield out


class BadLines:
    """The lines that `--skip-bad` leaves out: each is an empty line, so that there are as many lines out as in."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.numbers: set[int] = set()  # from 1

    def add(self, number: int, error: DataError) -> None:
        self.numbers.add(number)
        self.reasons.append(error.message.rstrip("."))

    def report(self) -> None:
        """Log how many there were, and the first ones with their reasons."""
        if self.reasons:
            shown = "; ".join(self.reasons[:SHOWN])
            more = f"; and {len(self.reasons) - SHOWN:,} more" if len(self.reasons) > SHOWN else ""
            logger.warning(f"{counted(len(self.reasons), 'line')} skipped and left empty: {shown}{more}")


class TypedLines(BadLines):
    """The bad lines of a person at a terminal, who is told of each at once and types the next."""

    def add(self, number: int, error: DataError) -> None:
        self.numbers.add(number)
        logger.warning(f"{error.message.rstrip('.')}. The line is left empty; type the next one.")


def lines_of(stream: IO[bytes], name: str, bad: BadLines | None = None) -> Iterator[Line]:
    """The lines of a stream, which errors call `name`. Args: bad: collects lines that cannot be read; None: they raise.

    Raises: DataError: as `decode_line`, with the line number.
    """

    def read() -> bytes:
        with explained(f"{name} cannot be read", DataError):
            return stream.readline(MAX_LINE + 2)

    return _decoded(iter(read, b""), name, bad)


def file_lines(path: str, bad: BadLines | None = None) -> Iterator[Line]:
    """The lines of a file, plain or compressed. Raises: DataError: when it cannot be read, and as `lines_of`."""
    return _decoded((raw for _, raw in raw_lines(path)), path, bad)


def _decoded(lines: Iterable[bytes], name: str, bad: BadLines | None) -> Iterator[Line]:
    number, whole = 0, True
    for raw in lines:
        if not whole:  # the rest of a line that was too long
            whole = raw.endswith(b"\n")
            continue
        number += 1
        if number == 1:
            check_no_media(name, raw[:HEAD])
        end = raw[len(raw.removesuffix(b"\n").removesuffix(b"\r")) :]
        try:
            text = decode_line(raw, f"{name}:{number}", first=number == 1)
        except DataError as error:
            if bad is None:
                raise
            bad.add(number, error)
            text, whole = "", raw.endswith(b"\n") or len(raw) <= MAX_LINE
            end = end if whole else b"\n"
        yield Line(text, end)


def count_lines(path: str) -> int:
    """How many lines a file has; 0 for a pipe, which can be read only once, and for a file that cannot be read."""
    with suppress(DataError):
        if Path(path).is_file():
            return sum(1 for _ in raw_lines(path))
    return 0


def file_texts(path: str, most: int | None = None, bad: BadLines | None = None) -> list[str]:
    """The first `most` lines of a file without their ends, None: all. Raises: DataError: as `file_lines`."""
    check_file(path)
    return [line.text for line in islice(file_lines(path, bad), most)]


def parallel_texts(source: str, target: str, bad: BadLines | None = None) -> tuple[list[str], list[str]]:
    """The lines of two files that translate each other. Raises: DataError: also when one has more lines."""
    check_not_one_pipe(source, target)
    sources, targets = file_texts(source, bad=bad), file_texts(target, bad=bad)
    check_line_counts(source, len(sources), target, len(targets))
    return sources, targets
