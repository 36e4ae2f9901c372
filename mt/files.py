"""Files and folders on a disk that may fail: atomic writes, reads within limits, errors as our own."""

import hashlib
import json
import lzma
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from uuid import uuid4

from mt.errors import CheckpointError, MtError, in_short, json_kind

LONGEST_NAME = 200  # of a folder of a run; file systems take 255 bytes
# What `zipfile` raises at damage, of any compression; bzip2's is an OSError, encryption is a RuntimeError.
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
NO_MEMORY = ("can't allocate memory", "out of memory")  # in errors of torch, of a host and of a GPU
MAX_JSON = 16 << 20  # bytes; parsed, the worst of it takes twenty times as much memory


def reason(error: OSError) -> str:
    """The system's message, such as "No space left on device"."""
    return error.strerror or str(error)


def in_words(error: Exception) -> MtError:
    """Any error as one of ours: of the system, of a memory that is too small, or else of mt itself."""
    if isinstance(error, MtError):
        return error
    if isinstance(error, OSError):
        return MtError(f"`{error.filename}`: {reason(error)}" if error.filename else reason(error))
    if isinstance(error, MemoryError) or any(said in str(error) for said in NO_MEMORY):
        hint = "take a smaller model or smaller batches, or end other programs."
        return MtError(f"the memory is too small for this ({in_short(error)})", hint=hint)
    what = f"internal error: {type(error).__name__}: {error}"
    return MtError(what, hint="set MT_DEBUG=1 for the traceback, and please report it.")


@contextmanager
def explained(what: str, kind: type[MtError] = CheckpointError, *, hint: str = "") -> Iterator[None]:
    """Raise an `OSError` of the block as `kind`: "`what`: No space left on device."."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {reason(error)}.", hint=hint) from error


@contextmanager
def named_as(names: Mapping[object, object]) -> Iterator[None]:
    """Errors of the block name what the user knows. Args: names: what they would name, and what they name instead."""
    try:
        yield
    except CheckpointError as error:
        message = error.message
        for name, known in names.items():
            message = message.replace(str(name), str(known))
        raise CheckpointError(message, hint=error.hint) from error


# ---------------------------------------------------------------- names


def folder_name(text: str, longest: int = 100) -> str:
    """`text` without characters that are special in shells and file systems; a changed text also gets a hash."""
    clean = re.sub(r"^-|[^\w.,=+-]+", "_", text)[:longest]
    raw = text.encode(errors="surrogateescape")  # names of files need not be UTF-8
    return clean if clean == text else f"{clean}-{hashlib.sha256(raw).hexdigest()[:8]}"


def meant(path: Path, names: Iterable[str]) -> Path | None:
    """Which of the `names` beside `path` is meant by it: the folder of the run of that name, or the most alike."""
    known = [name for name in names if name != path.name]  # which is there, as a link to nothing
    changed = folder_name(path.name, LONGEST_NAME)
    near = [changed] if changed in known else get_close_matches(path.name, known, n=1)
    return path.parent / near[0] if near else None


# ---------------------------------------------------------------- reading


def read_limited(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes. Raises: CheckpointError: when it cannot be read, or has more."""
    with explained(f"`{path}` cannot be read"), path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise CheckpointError(f"`{path}` must have at most {most:,} bytes, but has more.")
    return raw


def read_json(path: Path, *, most: int = MAX_JSON) -> dict[str, Any]:
    """The JSON object in a file. Raises `CheckpointError` when it is missing, damaged, no object, or too large.

    A repeated key is an error, because readers differ in which of its values they take.
    """
    try:
        content = json.loads(read_limited(path, most).decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise CheckpointError(f"`{path}` is not valid JSON in UTF-8; it may be damaged.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"`{path}` must contain a JSON object, but contains {json_kind(content)}.")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("repeated key")
    return found


def sha256(path: Path) -> str:
    """Of the content of a file, in hexadecimal. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------- writing


def obstacle(path: Path) -> str | None:
    """What keeps `path` from being a folder, such as "`runs` is a file"; None: nothing. Raises: OSError."""
    path = path.absolute()
    nearest = next(place for place in (path, *path.parents) if place.exists() or place.is_symlink())
    if nearest.is_dir():
        return None
    with suppress(ValueError):
        nearest = nearest.relative_to(Path.cwd())
    return f"`{nearest}` is {'a file' if nearest.exists() else 'a link to nothing'}"


def temporary(target: Path) -> Path:
    """A name beside `target` that no other process uses, and that readers ignore."""
    return target.with_name(f".tmp-{target.name}-{os.getpid()}-{uuid4().hex[:8]}")


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it has the old or the new content, even after a power cut. Permissions stay; a link is
    replaced and not followed, since a run may be a stranger's. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = temporary(path)
    try:
        with temp.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # of a file that is not there yet, or on a disk without permissions
            shutil.copymode(path, temp)
        temp.replace(path)
    except OSError:
        with suppress(OSError):
            temp.unlink()
        raise


def write_output(path: Path, content: bytes) -> None:
    """As `write_file`, for a file that the user names: where it is a link, the file behind it is written; a pipe or a
    device, which keeps no content, is written to, and so is a file in a folder that permits no new one.

    Raises: CheckpointError.
    """
    real = Path(os.path.realpath(path))
    with explained(f"`{path}` cannot be written"):
        # By its own name: where `/dev/stdout` is a pipe, its real name is that of no file.
        if path.exists() and not (path.is_file() and os.access(real.parent, os.W_OK)):
            path.write_bytes(content)
        else:
            write_file(real, content)


def write_text(path: Path, text: str) -> None:
    """As `write_file`, for text in UTF-8. Raises: CheckpointError."""
    with explained(f"`{path}` cannot be written"):
        write_file(path, text.encode("utf-8", "replace"))


@contextmanager
def whole_folder(
    target: Path, *, aside: Path | None = None, keep: Callable[[], bool] = lambda: False
) -> Iterator[Path]:
    """A new folder to fill. When the block ends, its files are flushed to disk and it replaces `target`.

    A process killed at any moment leaves the old folder or the new one; while one is replaced, there is an instant
    with neither, after which `clean_up` puts the old one back. If the block fails, nothing changes.

    A link at `target` gives way to the folder, and what it leads to stays as it is.

    Args: aside: where an old folder at `target` is moved; None: it is removed. keep: called at the end if there is a
    folder at `target`; if true it stays and the new one is dropped, for example when another process has written it.
    Raises: OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = temporary(target)
    old = aside or target.with_name(f".old-{temp.name.removeprefix('.tmp-')}")
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
            remove(old)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def clean_up(folder: Path) -> None:
    """Remove unfinished files and folders of killed processes, and put back what one was about to replace. Only for
    the one process that writes to `folder`. Raises: OSError."""
    for old in folder.glob(".old-*"):  # a whole folder, unless the new one is in its place
        target = old.with_name(old.name.removeprefix(".old-").rsplit("-", 2)[0])
        if target.exists():
            remove(old)
        else:
            old.rename(target)
    for path in [*folder.glob(".tmp-*"), *folder.glob(".trash-*")]:
        remove(path)


def remove(path: Path) -> None:
    """Remove a folder with all in it, but of a link the link alone, or a file. Errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk; Windows cannot."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
