"""Packages for Argos Translate and LibreTranslate (`.argosmodel`), and our model out of them.

A package is a zip file with a CTranslate2 model, a SentencePiece model and `metadata.json`. Ours also have the rules
that split sentences (`scripts/argos_splitter.py`), without which Argos would fetch a network, and the model folder
itself, of which the package was made: what another program has converted cannot be trained further.
"""

import json
import re
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from mt.alignment.aligner import FILE as HEADS
from mt.checkpoint import verify_folder, write_folder
from mt.checkpoint.folder import FILE_NAME, MANIFEST
from mt.checkpoint.model_folder import CARD, CONFIG, EMA, WEIGHTS, find_model
from mt.config import ModelConfig, Positions
from mt.errors import CheckpointError, ConfigError
from mt.files import explained, named_as, temporary, whole_folder
from mt.interchange import refuse
from mt.text.languages import NAMES, plain_code
from mt.text.tokenizer import JOINT, SOURCE, TABLE, TARGET, Tokenizer

OURS = "mt"  # the folder of our model in a package
KEPT = (CONFIG, CARD, JOINT, SOURCE, TARGET, TABLE, HEADS)  # files of a model folder, besides its weights
MOST_ENTRIES, MOST_FILES, MOST_BYTES = 1000, 50, 16 << 30  # of a package; of our model in it
MOST_SHRUNK = 100  # times: weights hardly shrink
BLOCK = 1 << 20
ZIP_BEGINS = b"PK\3\4"
AGAIN = "copy or fetch the file again, and compare its size with that of the original."
LONGEST = 1024  # pieces that Argos Translate lets the engine read; it stops where a table of positions is shorter
DATE = (1980, 1, 1, 0, 0, 0)  # the same model gives the same package


@dataclass(frozen=True)
class Direction:
    """The languages of a package, by ISO 639 codes."""

    src: str
    tgt: str

    @classmethod
    def of(cls, src: str, tgt: str) -> "Direction":
        return cls(plain_code(src), plain_code(tgt))

    @property
    def folder(self) -> str:
        return f"translate-{self.src}_{self.tgt}-1_0"

    def metadata(self) -> dict[str, object]:
        return {
            "package_version": "1.0", "argos_version": "1.9", "from_code": self.src,
            "from_name": NAMES.get(self.src, self.src), "to_code": self.tgt, "to_name": NAMES.get(self.tgt, self.tgt),
        }  # fmt: skip


def reasons_against(direction: Direction, tokenizer: Tokenizer, config: ModelConfig) -> list[str]:
    """Why Argos Translate cannot use the model, besides those of CTranslate2."""
    found = [
        f"`{code}` is no code of a language: name it with {option}"
        for code, option in ((direction.src, "--src"), (direction.tgt, "--tgt"))
        if not re.fullmatch("[a-z]{2,3}", code)
    ]
    if config.positions is Positions.learned and config.max_length < LONGEST:
        found.append(f"`model.max_length` must be at least {LONGEST:,} where `model.positions` is learned")
    if tokenizer.tags:
        found.append(f"it reads tags ({', '.join(sorted(tokenizer.tags)[:3])}), and Argos Translate gives it none")
    return found


def check_package(direction: Direction, tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Raises: ConfigError: with all `reasons_against` the package."""
    refuse("exported to Argos Translate", reasons_against(direction, tokenizer, config))


def write_package(out: Path, *, engine: Path, model: Path, direction: Direction) -> None:
    """Write a package of a CTranslate2 folder (`write_ct2`) and of the model that it was made of.

    Args: out: the new file; model: a model folder, a run or a checkpoint.
    Raises: ConfigError: when the file exists; CheckpointError: when the model cannot be read.
    """
    if out.exists():
        raise ConfigError(f"`{out}` already exists.", hint="name a new file.")
    temp = temporary(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    own = temp.with_name(f"{temp.name}-model")
    try:
        with named_as({own: out}):
            write_model(find_model(model), own)
        tokenizer = {path.name: path for path in engine.iterdir() if path.name in KEPT and path.name != CONFIG}
        contents: dict[str, Path | bytes] = {
            "metadata.json": (json.dumps(direction.metadata(), indent=2) + "\n").encode(),
            "README.md": readme(direction).encode(),
            "sentencepiece.model": tokenizer.get(JOINT) or tokenizer[SOURCE],
            "minisbd/rules.onnx": (files("mt.interchange") / "splitter.onnx").read_bytes(),
        }
        contents |= {f"model/{path.name}": path for path in engine.iterdir() if path.name not in tokenizer}
        contents |= {f"{OURS}/{path.name}": path for path in own.iterdir()}
        with explained(f"`{out}` cannot be written"), zipfile.ZipFile(temp, "w") as package:
            for name, content in sorted(contents.items()):
                _put(package, f"{direction.folder}/{name}", content)
        temp.replace(out)
    finally:
        temp.unlink(missing_ok=True)
        shutil.rmtree(own, ignore_errors=True)


def _put(package: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    entry = zipfile.ZipInfo(name, DATE)
    weights = isinstance(content, Path) and content.suffix in {".bin", ".safetensors"}
    entry.compress_type = zipfile.ZIP_STORED if weights else zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with package.open(entry, "w", force_zip64=weights) as to:
        if isinstance(content, bytes):
            to.write(content)
            return
        with content.open("rb") as read:
            shutil.copyfileobj(read, to, BLOCK)


def write_model(model: Path, out: Path) -> None:
    """Copy a model folder, or the model of a checkpoint, to the new folder `out`."""
    manifest = verify_folder(model)
    weights = EMA if EMA in manifest.files else WEIGHTS
    names = {name: WEIGHTS if name == weights else name for name in manifest.files if name in {*KEPT, weights}}
    with explained(f"`{model}` cannot be read"):
        contents = {name: (model / there).read_bytes() for there, name in names.items()}
    write_folder(out, contents, meta=manifest.meta, free=manifest.free & contents.keys())


def readme(direction: Direction) -> str:
    told = direction.metadata()
    return f"""# {told["from_name"]} to {told["to_name"]}

A package for Argos Translate and LibreTranslate, made with `mt export argos`. It needs no network.

The folder `{OURS}` holds the model in full precision. To train it further:

```
mt import argos THIS_FILE.argosmodel MODEL
mt train init=MODEL data.train=[...]
```
"""


def read_package(package: Path, out: Path) -> None:
    """Write the model in a package of ours as the new model folder `out`, equal bit by bit.

    Nothing but the plain files of our model is read from the package, each within its size.
    Raises: CheckpointError: for a package that is damaged, too large, or not ours.
    """
    with explained(f"`{package}` cannot be read"):
        if not package.exists():
            raise CheckpointError(f"`{package}` does not exist.")
        if not zipfile.is_zipfile(package):
            with package.open("rb") as read:  # the list of a package's files is at its end
                if read.read(len(ZIP_BEGINS)) == ZIP_BEGINS:
                    raise CheckpointError(f"`{package}` is damaged: its end is missing.", hint=AGAIN)
            raise CheckpointError(f"`{package}` must be a package for Argos Translate, but is no zip file.")
        try:
            with zipfile.ZipFile(package) as opened:
                entries = _ours(opened, package)
                with explained(f"`{out}` cannot be written"), whole_folder(out) as folder:
                    for name, entry in entries.items():
                        _extract(opened, entry, folder / name, package)
                    with named_as({folder: package}):
                        verify_folder(folder)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:  # RuntimeError: encrypted
            raise CheckpointError(f"`{package}` is damaged: {error}.", hint=AGAIN) from None


def _ours(opened: zipfile.ZipFile, package: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries of our model by their plain names."""
    entries = opened.infolist()
    if len(entries) > MOST_ENTRIES:
        raise CheckpointError(f"`{package}` must have at most {MOST_ENTRIES:,} files, but has {len(entries):,}.")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        parts = entry.filename.split("/")
        if len(parts) == 3 and parts[1] == OURS and (FILE_NAME.fullmatch(parts[2]) or parts[2] == MANIFEST):
            if parts[2] in found:
                raise CheckpointError(f"`{package}` has {entry.filename!r:.80} twice.")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise CheckpointError(f"`{package}` has compressed {entry.filename!r:.80} in a way that mt never does.")
            found[parts[2]] = entry
    if MANIFEST not in found or CONFIG not in found:
        raise CheckpointError(
            f"`{package}` holds no model of mt: it was made by another program, and what is converted for CTranslate2 "
            "cannot be trained further.",
            hint="import the model that it was made of.",
        )
    if len(found) > MOST_FILES:
        raise CheckpointError(f"`{package}` must have at most {MOST_FILES} files of a model, but has {len(found):,}.")
    total, packed = (sum(getattr(one, size) for one in found.values()) for size in ("file_size", "compress_size"))
    if total > min(MOST_BYTES, MOST_SHRUNK * packed + BLOCK):
        raise CheckpointError(f"`{package}` would fill {total:,} bytes out of {packed:,}, which no model does.")
    return found


def _extract(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, to: Path, package: Path) -> None:
    left = entry.file_size
    with opened.open(entry) as read, to.open("xb") as write:
        while block := read.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise CheckpointError(f"`{package}`: {entry.filename!r:.80} is larger than the package says.")
            write.write(block)
