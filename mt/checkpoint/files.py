"""Small files on a disk that may fail or lie: read within limits, written whole, errors in a sentence."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mt.errors import CheckpointError

MAX_JSON = 16 << 20  # bytes; Python takes twenty times as much for the worst of it


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the system's error into ours: "`what`: No space left on device."."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{what}: {error.strerror or error}.") from error


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


def write_text(path: Path, text: str) -> None:
    """The file has the old text or the new, also after a power cut. Raises `CheckpointError`."""
    temporary = path.with_name(f".tmp-{path.name}")
    with explained(f"`{path}` cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(text.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()  # what a full disk took of it
            raise
