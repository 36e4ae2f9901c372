"""Files out of a zip archive that may come from anywhere: the names that were asked for, in memory, within limits.

Nothing is ever unpacked to a folder, so a name that climbs out of one (`../x`), a link or a name that stands twice
could only confuse; they are refused all the same, since an honest archive has none.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mt.errors import DataError

MAX_MEMBERS = 10_000
MAX_RATIO = 200  # of unpacked to packed bytes; text comes to 30 at most, a bomb to 1000
PLENTY = 1 << 20  # bytes that may grow at any ratio


def read_zip(path: Path, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """The contents of the members named in `wanted`, each of at most so many bytes.

    Raises `DataError` when the archive is damaged or hostile, or lacks one of them; nothing is then returned.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(path, archive.infolist())
            return {name: _member(path, archive, name, most) for name, most in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"`{path}` must be a zip archive, but cannot be read as such: {reason:.100}.") from error


def _check_names(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise DataError(f"`{path}` must have at most {MAX_MEMBERS:,} members, but has {len(members):,}.")
    seen: set[str] = set()
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        folded, shown = member.filename.casefold(), f"{member.filename!r:.80}"
        if name.is_absolute() or ".." in name.parts or ":" in member.filename or not member.filename.isprintable():
            raise DataError(f"`{path}` has a member whose name leads out of it, {shown}: it is hostile.")
        if member.external_attr >> 28 == 0xA:  # S_IFLNK >> 12, in the upper half
            raise DataError(f"`{path}` has a link as a member, {shown}: only files are read.")
        if folded in seen:
            raise DataError(f"`{path}` has two members of the name {shown}: one of them is a lie.")
        seen.add(folded)


def _member(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    if name not in archive.namelist():
        raise DataError(f"`{path}` must hold {name}, but does not.")
    told = archive.getinfo(name)
    if told.file_size > most:
        raise DataError(f"`{path}`: {name} must have at most {most:,} bytes, but has {told.file_size:,}.")
    if told.file_size > max(PLENTY, MAX_RATIO * told.compress_size):
        raise DataError(f"`{path}`: {name} grows more than {MAX_RATIO}-fold when unpacked, as no text does.")
    with archive.open(name) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise DataError(f"`{path}`: {name} must have at most {most:,} bytes, but has more than it says.")
    return raw
