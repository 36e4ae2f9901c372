"""Files and folders on a disk that may fail: written whole or not at all, read within limits, errors explained."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from mt.errors import CheckpointError, MtError

MAX_JSON = 16 << 20  # bytes; Python takes twenty times as much for the worst of it


def reason(error: OSError) -> str:
    """What the system says: "No space left on device"."""
    return error.strerror or str(error)


@contextmanager
def explained(what: str, kind: type[MtError] = CheckpointError) -> Iterator[None]:
    """Turn an error of the system into one of ours: "`what`: No space left on device."."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {reason(error)}.") from error


# ---------------------------------------------------------------- reading


def read_json(path: Path, *, most: int = MAX_JSON) -> dict[str, Any]:
    """The JSON object in a file. Raises `CheckpointError` when it is missing, damaged, no object, or too large.

    A key that stands twice is refused: readers differ in which they believe.
    """
    with explained(f"`{path}` cannot be read"), path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise CheckpointError(f"`{path}` must have at most {most:,} bytes, but has more.")
    try:
        content = json.loads(raw.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise CheckpointError(f"`{path}` must be JSON in UTF-8, but cannot be read as such.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"`{path}` must hold a JSON object, but holds something else.")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


# ---------------------------------------------------------------- writing


def temporary(target: Path) -> Path:
    """A name beside `target` that no other process uses, and that readers pass over."""
    return target.with_name(f".tmp-{target.name}-{os.getpid()}-{uuid4().hex[:8]}")


def write_file(path: Path, content: bytes) -> None:
    """The file has the old content or the new, also after a power cut. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = temporary(path)
    try:
        with temp.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    except OSError:
        with suppress(OSError):
            temp.unlink()  # what a full disk took of it
        raise


def write_text(path: Path, text: str) -> None:
    """As `write_file`, in UTF-8. Raises `CheckpointError`."""
    with explained(f"`{path}` cannot be written"):
        write_file(path, text.encode("utf-8", "replace"))


@contextmanager
def whole_folder(
    target: Path, *, aside: Path | None = None, keep: Callable[[], bool] = lambda: False
) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `target` when the block ends, with all files flushed to the disk.

    A process killed at any moment leaves the old folder or the new one; where one is replaced, there is one instant
    with neither under its name. If the block fails, everything is as before.

    Args: aside: the name that a folder at `target` gets then; None: it is removed. keep: whether a folder that is at
    `target` by the end stays, and the new one is dropped, as where another process wrote it meanwhile.
    Raises: OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = temporary(target)
    old = aside or target.with_name(f".trash-{temp.name.removeprefix('.tmp-')}")
    temp.mkdir()
    try:
        yield temp
        for path in temp.rglob("*"):
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
        sync_folder(temp)
        there = target.exists()
        if there and keep():
            return
        if there:
            target.rename(old)
        try:
            temp.rename(target)
        except BaseException:
            if there:
                old.rename(target)
            raise
        sync_folder(target.parent)
        if there and aside is None:
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
