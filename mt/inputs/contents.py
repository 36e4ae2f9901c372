"""The files that cells name: files of their own, or members of a zip, which is never unpacked to disk."""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from mt.errors import DataError
from mt.files import ZIP_DAMAGE, reason

MEMBER = re.compile(r"(?P<zip>.+?\.zip):(?P<member>.+)", re.IGNORECASE | re.DOTALL)
DRIVE = re.compile(r"[A-Za-z]:[/\\]")
LIMIT = 1 << 28  # bytes of a member, by its own account; zipfile reads no more than that
FROM = "relative names count from the folder of their table; on stdin and in Python, from the current folder."
OPEN = 16  # archives that stay open
State: TypeAlias = tuple[int, ...]


def within(folder: str, name: str) -> str:
    """The name of a file in `folder`. What stands after the first `.zip:` is left as it is: the names of members are
    not those of files, and may have `//`."""
    form = MEMBER.fullmatch(name)
    return str(Path(folder) / name) if form is None else f"{Path(folder) / form['zip']}:{form['member']}"


def opened(name: str) -> str | io.BytesIO:
    """What a reader of files opens for `file` or `archive.zip:member`: the path, or the bytes of the member.

    Raises: DataError: for a file that is not there, and for a member that is missing, damaged, encrypted or larger than
    `LIMIT`, or that names a place outside the archive.
    """
    form = MEMBER.fullmatch(name)
    if form is not None:
        return io.BytesIO(_member(form["zip"], form["member"]))
    if (archive := name.removesuffix(":")).lower().endswith(".zip"):
        raise DataError(f"{name} is an archive, but must name a member of it", hint=f"write `{archive}:MEMBER`.")
    try:
        with Path(name).open("rb") as file:
            file.peek(1)  # a folder can be opened, but not read
    except OSError as error:
        raise unreadable(name, error) from error
    except ValueError as error:  # a name with a zero byte
        raise DataError(f"{name!r} is not the name of a file") from error
    return name


def unreadable(name: str, error: OSError) -> DataError:
    """What the system refuses; of a relative name that is not there, from where it counts."""
    relative = isinstance(error, FileNotFoundError) and not Path(name).is_absolute()
    return DataError(f"{name} cannot be read: {reason(error)}", hint=FROM if relative else "")


@contextmanager
def faults_of(name: str, broken: str) -> Iterator[None]:
    """Raises: DataError: "name cannot be read" for what the system refuses, "name `broken`" for unsound contents."""
    try:
        yield
    except OSError as error:
        raise unreadable(name, error) from error
    except ZIP_DAMAGE as error:
        raise DataError(f"{name} {broken} ({error})") from error


def state(file: str) -> State:
    """What tells a file that stays open from another one of the same name, which has replaced it or lies in another
    current folder. Raises: OSError, ValueError."""
    found = Path(file).stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _member(file: str, name: str) -> bytes:
    with faults_of(file, "is not a zip archive, or damaged"):
        archive = _archive(file, state(file))
    if name.startswith(("/", "\\")) or DRIVE.match(name) or ".." in re.split(r"[/\\]", name):
        raise DataError(f"{file}:{name} must name a member inside the archive, without `..` and without a drive")
    try:
        found = archive.getinfo(name)
    except KeyError as error:
        raise DataError(f"{file} has no member {name!r}") from error
    if found.flag_bits & 1:
        raise DataError(f"{file}:{name} is encrypted", hint="pack it again without a password.")
    if found.file_size > LIMIT:
        raise DataError(f"{file}:{name} would unpack to {found.file_size:,} bytes, and at most {LIMIT:,} are read")
    with faults_of(f"{file}:{name}", "is damaged"), archive.open(found) as member:
        return member.read(found.file_size + 1)  # `ZipFile.read` unpacks all, and only then looks at the size


@lru_cache(OPEN)
def _archive(file: str, _: State) -> zipfile.ZipFile:
    return zipfile.ZipFile(file)
