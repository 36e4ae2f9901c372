"""Models that can be handed on: what a folder says of itself, and finding it by the name of a run.

A folder may come from anywhere. Before any memory is taken for it, its files are compared with their manifest, its
`config.json` with what a model can be, and the names, types and shapes of its tensors with that.
"""

import json
import math
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mt.checkpoint import (
    Checkpoint,
    Checkpoints,
    describe_tensors,
    read_tensors,
    require_fit,
    verify_folder,
)
from mt.checkpoint.schema import CONFIG as SCHEMA
from mt.config import LATER, DecodeConfig, ModelConfig, Positions, Precision, Tying
from mt.config.decode import WIDEST
from mt.config.enums import SourceKind
from mt.config.from_json import from_plain
from mt.errors import CheckpointError, ConfigError, require
from mt.files import read_json
from mt.log import logger
from mt.nn.encoders import frame_model, text_model
from mt.nn.transformer import Transformer
from mt.text.sentences import Usual
from mt.text.tokenizer import Tokenizer

CONFIG, WEIGHTS, EMA, CARD = "config.json", "model.safetensors", "ema.safetensors", "README.md"
RUNS = Path("runs")
MAX_CONFIG = 1 << 20  # bytes
MAX_TABLE = 1 << 24  # numbers in a table of positions, which no weight in the file vouches for
TRIES = 5
MOST = {  # far above any model that is known to be of use, far below what takes a machine down
    "src_size": 1_000_000, "tgt_size": 1_000_000, "max_length": 1 << 16,
    "model.dim": 1 << 14, "model.ffn_dim": 1 << 17, "model.encoder_layers": 128, "model.decoder_layers": 128,
    "model.max_length": 1 << 16,
    "decode.beam": WIDEST, "decode.min_ratio": 100, "decode.max_ratio": 100,
    "decode.min_length": 100_000, "decode.max_extra": 100_000, "decode.max_length": 1_000_000,
    "decode.batch_tokens": 10_000_000,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Description:
    """`config.json`: all that is needed to build the model, besides its weights and its tokenizer."""

    src: str
    tgt: str
    src_size: int  # tokens of the source vocabulary; of frames: numbers in each
    tgt_size: int
    max_length: int  # the longest sentence, in pieces, that the model was trained on
    precision: Precision
    model: ModelConfig
    decode: DecodeConfig
    # what a source line of the training text holds, but for the few longest: `mt.text.sentences.Usual`
    usual_length: int | None = field(default=None, metadata=LATER)  # pieces; None: not known
    usual_sentences: int = field(default=1, metadata=LATER)  # of the first folders all were trained on single ones
    usual_ratio: float | None = field(default=None, metadata=LATER)  # target pieces a source piece; None: not known
    source: SourceKind = field(default=SourceKind.text, metadata=LATER)

    def __post_init__(self) -> None:
        """Raises: ConfigError: for a model that is too large to be one, when trained as when loaded."""
        for key, most in MOST.items():
            section, _, name = key.rpartition(".")
            value = getattr(getattr(self, section) if section else self, name)
            require(value is None or value <= most, key, f"be at most {most:,}", value)
        table = self.model.max_length * self.model.dim
        fits = self.model.positions is Positions.rotary or table <= MAX_TABLE
        require(fits, "model.max_length", f"be at most {MAX_TABLE:,} / `model.dim`", self.model.max_length)
        for name in ("src", "tgt"):
            plain = getattr(self, name).isprintable() and 0 < len(getattr(self, name)) <= 80
            require(plain, name, "be 1 to 80 printable characters", repr(getattr(self, name))[:80])

    @property
    def usual(self) -> Usual:
        """More than this is translated in parts."""
        most = min(self.usual_length or self.max_length, self.max_length)
        return Usual(most, self.usual_sentences, self.usual_ratio)

    def new_model(self) -> Transformer:
        """A model of this description, with initial values."""
        if self.source is SourceKind.frames:
            return frame_model(self.model, frame_size=self.src_size, tgt_size=self.tgt_size)
        return text_model(self.model, src_size=self.src_size, tgt_size=self.tgt_size)

    def files(self, tokenizer: Tokenizer) -> dict[str, bytes]:
        """The files that stand beside the weights, by name."""
        text = json.dumps(SCHEMA.mark(asdict(self)), indent=2) + "\n"
        return {CONFIG: text.encode(), **tokenizer.files()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str) -> "Description":
        """Raises: CheckpointError: for anything that this version does not know exactly."""
        values = SCHEMA.upgrade(values, where)
        try:
            for name, section in (("model", ModelConfig), ("decode", DecodeConfig)):
                values[name] = from_plain(section, values.get(name), f"{where}: `{name}`")
            told = from_plain(cls, values, where)
            for name, least in (("src_size", 1), ("tgt_size", 1), ("max_length", 2), ("usual_sentences", 1)):
                require(getattr(told, name) >= least, name, f"be at least {least}", getattr(told, name))
            read = told.usual_length is None or told.usual_length >= 1
            require(read, "usual_length", "be at least 1 or null", told.usual_length)
            read = told.usual_ratio is None or 0 < told.usual_ratio < math.inf
            require(read, "usual_ratio", "be positive and finite or null", told.usual_ratio)
            text = told.source is SourceKind.text
            one = not text or told.model.tying is not Tying.all or told.src_size == told.tgt_size
            require(one, "src_size", f"equal `tgt_size` ({told.tgt_size}) where `model.tying` is all", told.src_size)
            fits = told.model.positions is Positions.rotary or told.max_length <= told.model.max_length
            require(fits, "max_length", f"be at most `model.max_length` ({told.model.max_length})", told.max_length)
            return told
        except ConfigError as error:
            message = str(error)
            raise CheckpointError(message if message.startswith(where) else f"{where}: {message}") from None


def empty_model(told: Description) -> Transformer:
    """Names, types and shapes of what the model will hold, on the `meta` device: no memory, and nothing is drawn."""
    with torch.device("meta"):
        return told.new_model()


@dataclass(frozen=True)
class StoredModel:
    """A verified folder, a model's or a checkpoint's. Its weights are mapped from the file until they are copied."""

    path: Path
    description: Description
    tokenizer: Tokenizer
    empty: Transformer  # what `tensors` are known to fit
    tensors: dict[str, Tensor]

    def weights(self) -> dict[str, Tensor]:
        return self.tensors

    def model(self, device: torch.device) -> Transformer:
        """The model with its weights on a device: each is copied once, and the file may change afterwards."""
        named = self.empty.named_parameters()
        weights = {id(empty): nn.Parameter(self.tensors[name].to(device, copy=True)) for name, empty in named}
        model = deepcopy(self.empty, memo=dict[int, Any](weights))  # what is tied stays tied
        model.fill_tables()
        return model.to(device).eval()


def read_model(path: Path | None = None) -> StoredModel:
    """Args: path: a model folder, a checkpoint, or a run, whose handed-on model or else best checkpoint is taken; None:
    the run below `runs/` that was written to last.

    A run may be training meanwhile: a folder that is removed or replaced while it is read is looked for again.

    Raises: CheckpointError: when there is no model there, or it is damaged.
    """
    if path is None:
        path = newest_run(RUNS)
        unfinished = "" if (path / "model").is_dir() else ", which is not finished, with its best checkpoint so far"
        logger.info(f"using the newest run, {path}{unfinished}")
    for _ in range(TRIES - 1):
        folder = find_model(path)
        before = _identity(folder)
        try:
            return _read(folder)
        except CheckpointError:
            if _identity(folder) == before:
                raise
    return _read(find_model(path))


def _identity(folder: Path) -> tuple[int, int, int] | None:
    """The folder itself, whatever its name, with the time of its last change; None when it is gone."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _read(folder: Path) -> StoredModel:
    verify_folder(folder)
    told = Description.from_values(read_json(folder / CONFIG, most=MAX_CONFIG), str(folder / CONFIG))
    tokenizer = Tokenizer.load(folder)
    src_size = tokenizer.src_size if told.source is SourceKind.text else told.src_size  # frames have no vocabulary
    if (told.src_size, told.tgt_size) != (src_size, tokenizer.tgt_size):
        raise CheckpointError(
            f"{folder / CONFIG} tells of vocabularies of {told.src_size:,} and {told.tgt_size:,} pieces, but the "
            f"tokenizer beside it has {tokenizer.src_size:,} and {tokenizer.tgt_size:,}; they are of different models."
        )
    weights = folder / EMA if (folder / EMA).exists() else folder / WEIGHTS
    empty = empty_model(told)
    must = dict(empty.named_parameters())
    require_fit(describe_tensors(weights), must, str(weights), f"the model of its {CONFIG}")
    return StoredModel(folder, told, tokenizer, empty, read_tensors(weights))


def languages(path: Path) -> tuple[str, str]:
    """What the model that `read_model` would find translates from and to. Raises: CheckpointError: as that."""
    config = find_model(path) / CONFIG
    told = Description.from_values(read_json(config, most=MAX_CONFIG), str(config))
    return told.src, told.tgt


def check_reverse(path: Path, reverse: Path, option: str) -> None:
    """Check that the model at `reverse`, which `option` names, translates back what the one at `path` translates.

    Raises: ConfigError: when it translates the same way; CheckpointError: as `read_model`.
    """
    src, tgt = languages(path)
    _check_languages(f"{option} {reverse}", languages(reverse), wanted=(tgt, src), wrong=(src, tgt))


def check_same_direction(path: Path, other: Path, option: str) -> None:
    """Check that the model at `other`, which `option` names, has the languages of the one at `path`.

    Raises: ConfigError: when it translates the other way; CheckpointError: as `read_model`.
    """
    src, tgt = languages(path)
    _check_languages(f"{option} {other}", languages(other), wanted=(src, tgt), wrong=(tgt, src))


def _check_languages(model: str, found: tuple[str, str], *, wanted: tuple[str, str], wrong: tuple[str, str]) -> None:
    """Refuse a model of the wrong direction. Other languages get a warning only, for one language has several codes;
    the names that `mt.data.corpus.own` makes up for unknown languages are not compared."""
    if {"src", "tgt"} & {*found, *wanted}:
        return
    what = f"{model} translates from {found[0]} to {found[1]}"
    if found == wrong:
        raise ConfigError(f"{what}, but a model from {wanted[0]} to {wanted[1]} is needed here.")
    if [_plain_code(code) for code in found] != [_plain_code(code) for code in wanted]:
        logger.warning(f"{what}, and not from {wanted[0]} to {wanted[1]}.")


def _plain_code(language: str) -> str:
    """Without script and region: "zh" of "zh-TW"."""
    return language.lower().replace("_", "-").split("-")[0]


def newest_run(runs: Path) -> Path:
    """The run that changed last; of two that changed in the same moment the last one by name.

    Raises: CheckpointError: when there is none."""
    found = [p for p in runs.glob("*") if (p / "model").is_dir() or any(p.glob("checkpoints/step-*"))]
    if not found:
        raise CheckpointError(f"there is no run in {runs}/; name a model folder, or train one with `mt train`.")

    def changed(run: Path) -> tuple[int, str]:  # a clock may tick once for two runs
        return max(q.stat().st_mtime_ns for q in (run, *run.glob("model"), *run.glob("checkpoints"))), run.name

    return max(found, key=changed)


def find_run(path: Path | None) -> Path | None:
    """The run folder that `path` names or lies in, for its data and its results; None where it lies in none.

    Raises: CheckpointError: when there is nothing at `path`, or, without one, no run at all.
    """
    start = path if path is not None else newest_run(RUNS)
    if not start.exists():
        raise _no_such(start)
    for folder in (start, *start.parents[:2]):
        if (folder / "manifest.json").is_file() and (folder / "config.yaml").is_file():
            return folder
    return None


def find_model(path: Path) -> Path:
    """The folder that `read_model` would read, not yet looked into. Raises: CheckpointError: when there is none."""
    if not path.exists():
        raise _no_such(path)
    if path.is_file() and path.name in {"best", "latest"}:  # names that a run keeps for people
        checkpoints = Checkpoints(path.parent, keep=1)
        chosen = checkpoints.best() if path.name == "best" else checkpoints.latest()
        if chosen is not None:
            return chosen.path
    if (path / WEIGHTS).is_file() or (path / CONFIG).is_file():
        return path
    if (path / "model").is_dir():
        return path / "model"
    if (path / "checkpoints").is_dir():
        best: Checkpoint | None = Checkpoints(path / "checkpoints", keep=1).best()
        if best is not None:
            return best.path
    if re.fullmatch(r"step-\d+", path.name):
        return path
    raise CheckpointError(f"{path} holds no model: it has neither {WEIGHTS} nor a checkpoint that can be read.")


def _no_such(path: Path) -> CheckpointError:
    near = get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=1)
    advice = f"did you mean {path.parent / near[0]}?" if near else "name a model folder or a run, such as runs/my-run."
    return CheckpointError(f"{path} does not exist; {advice}")
