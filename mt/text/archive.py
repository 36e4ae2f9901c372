"""Reads a file of an untrusted zip archive into memory, within limits.

Nothing is unpacked to a folder, so names with `..`, links and repeated names could do no harm. They are errors anyway,
because a sound archive has none.
"""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mt.errors import DataError
from mt.files import ZIP_DAMAGE

MAX_MEMBERS = 10_000
MAX_RATIO = 200  # of unpacked to packed bytes; text reaches 30, a zip bomb 1000
PLENTY = 1 << 20  # bytes that may grow at any ratio


def read_member(path: Path, name: str, most: int) -> bytes:
    """The content of a member of at most `most` bytes.

    Raises `DataError` when the archive is damaged or hostile, or lacks the member.
    """
    with damage_explained(f"`{path}` cannot be read as a zip archive"), zipfile.ZipFile(path) as archive:
        check_members(archive.infolist(), f"`{path}`")
        if name not in archive.namelist():
            raise DataError(f"`{path}` must contain {name}, but does not.")
        info = archive.getinfo(name)
        if info.file_size > most:
            raise DataError(f"`{path}`: {name} must have at most {most:,} bytes, but has {info.file_size:,}.")
        if info.file_size > max(PLENTY, MAX_RATIO * info.compress_size):
            raise DataError(f"`{path}`: {name} grows more than {MAX_RATIO}-fold when unpacked, as no text does.")
        with archive.open(name) as file:
            return file.read(most + 1)  # at most `file_size`, whatever the archive holds


@contextmanager
def damage_explained(fault: str) -> Iterator[None]:
    """Raise `DataError` "`fault`: reason." for what `zipfile` raises at a damaged archive."""
    try:
        yield
    except ZIP_DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{fault}: {reason:.100}.") from error


def check_members(members: Sequence[zipfile.ZipInfo], what: str) -> None:
    """Raises: DataError: for an archive that no sound program would have written. Args: what: it, for errors."""
    if len(members) > MAX_MEMBERS:
        raise DataError(f"{what} must have at most {MAX_MEMBERS:,} members, but has {len(members):,}.")
    seen: set[str] = set()
    for member in members:
        name = PurePosixPath(member.filename)
        folded, shown = member.filename.casefold(), f"{member.filename!r:.80}"
        if (
            name.is_absolute()
            or ".." in name.parts
            or {*":\\"} & {*member.filename}
            or not member.filename.isprintable()
        ):
            raise DataError(f"{what} contains the unsafe name {shown}.")
        if member.external_attr >> 28 == 0xA:  # S_IFLNK >> 12, in the upper half
            raise DataError(f"{what} contains a link, {shown}, but only plain files are allowed.")
        if folded in seen:
            raise DataError(f"{what} contains two files of the name {shown}.")
        seen.add(folded)
