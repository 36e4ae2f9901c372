"""Model folders: their description, reading them safely, and finding them by the name of a run.

A folder may come from anywhere. Before memory is allocated, its files are checked against their manifest, its
`config.json` against limits, and the names, types and shapes of its tensors against `config.json`.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mt.checkpoint import Checkpoint, Checkpoints, describe_tensors, read_tensors, require_fit, verify_folder
from mt.checkpoint.foreign import refuse_foreign
from mt.checkpoint.schema import CONFIG as SCHEMA
from mt.config import LATER, DecodeConfig, Input, InputKind, ModelConfig, Positions, Precision, Tying
from mt.config.enums import SourceKind
from mt.config.from_json import from_plain
from mt.errors import CheckpointError, ConfigError, require
from mt.files import meant, read_json, reason
from mt.nn.encoders import check_input_settings, frame_model, input_model, text_model
from mt.nn.transformer import Transformer
from mt.text.sentences import Usual
from mt.text.tokenizer import Tokenizer

logger = logging.getLogger("mt")
T = TypeVar("T")
CONFIG, WEIGHTS, EMA, CARD = "config.json", "model.safetensors", "ema.safetensors", "README.md"
RUNS = Path("runs")
MAX_CONFIG = 1 << 20  # bytes
MAX_TABLE = 1 << 24  # numbers in a table of positions, whose size no tensor of the file confirms
MOST_INPUTS = 16
TRIES = 5
MOST = {  # far above any useful model, far below what exhausts a machine
    "src_size": 1_000_000, "tgt_size": 1_000_000, "max_length": 1 << 16,
    "model.dim": 1 << 14, "model.ffn_dim": 1 << 17, "model.encoder_layers": 128, "model.decoder_layers": 128,
    "model.max_length": 1 << 16,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Description:
    """`config.json`: everything needed to build the model except its weights and its tokenizer."""

    src: str
    tgt: str
    src_size: int  # tokens of the source vocabulary; of frames: numbers in each
    tgt_size: int
    max_length: int  # the longest sentence, in pieces, that the model was trained on
    precision: Precision
    model: ModelConfig
    decode: DecodeConfig
    # a usual source line of the training text: `mt.text.sentences.Usual`
    usual_length: int | None = field(default=None, metadata=LATER)  # pieces; None: not known
    usual_sentences: int = field(default=1, metadata=LATER)
    usual_ratio: float | None = field(default=None, metadata=LATER)  # target tokens a source token; None: not known
    usual_marked: bool = field(default=True, metadata=LATER)  # whether most lines end in a mark
    source: SourceKind = field(default=SourceKind.text, metadata=LATER)
    inputs: list[Input] = field(default_factory=list, metadata=LATER)  # columns of tables
    target: str | None = field(default=None, metadata=LATER)  # its column in tables; None: text files

    def __post_init__(self) -> None:
        """Raises: ConfigError: for an impossibly large model, in training and in loading."""
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
    def usual(self) -> Usual | None:
        """Longer lines are translated in parts; None for sources that are not text."""
        if self.source is not SourceKind.text:
            return None
        most = min(self.usual_length or self.max_length, self.max_length)
        return Usual(most, self.usual_sentences, self.usual_ratio, self.usual_marked)

    def new_model(self) -> Transformer:
        """A model of this description with initial weights."""
        if self.source is SourceKind.frames:
            return frame_model(self.model, frame_size=self.src_size, tgt_size=self.tgt_size)
        if self.source is SourceKind.inputs:
            return input_model(self.model, self.inputs, src_size=self.src_size, tgt_size=self.tgt_size)
        return text_model(self.model, src_size=self.src_size, tgt_size=self.tgt_size)

    def files(self, tokenizer: Tokenizer) -> dict[str, bytes]:
        """The files of a model folder besides the weights, by name."""
        text = json.dumps(SCHEMA.mark(asdict(self)), indent=2) + "\n"
        return {CONFIG: text.encode(), **tokenizer.files()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str) -> "Description":
        """The description from plain JSON values of `where`. Raises: CheckpointError: for unknown or wrong values."""
        values = SCHEMA.upgrade(values, where)
        try:
            for name, section in (("model", ModelConfig), ("decode", DecodeConfig)):
                values[name] = from_plain(section, values.get(name), f"{where}: `{name}`")
            found = from_plain(cls, values, where)
            for name, least in (("src_size", 1), ("tgt_size", 1), ("max_length", 2), ("usual_sentences", 1)):
                require(getattr(found, name) >= least, name, f"be at least {least}", getattr(found, name))
            fits = found.usual_length is None or found.usual_length >= 1
            require(fits, "usual_length", "be at least 1 or null", found.usual_length)
            fits = found.usual_ratio is None or 0 < found.usual_ratio < math.inf
            require(fits, "usual_ratio", "be positive and finite or null", found.usual_ratio)
            if found.source is SourceKind.inputs:
                check_inputs(found.inputs, found.model, where)
            shared = found.source is not SourceKind.frames and found.model.tying is Tying.all
            fits = not shared or found.src_size == found.tgt_size
            require(fits, "src_size", f"equal `tgt_size` ({found.tgt_size}) where `model.tying` is all", found.src_size)
            fits = found.model.positions is Positions.rotary or found.max_length <= found.model.max_length
            require(fits, "max_length", f"be at most `model.max_length` ({found.model.max_length})", found.max_length)
            return found
        except ConfigError as error:
            message = str(error)
            raise CheckpointError(message if message.startswith(where) else f"{where}: {message}") from None


def check_inputs(inputs: Sequence[Input], model: ModelConfig, where: str) -> None:
    """Raises: ConfigError: unless a model can have these inputs."""
    columns = [one.column for one in inputs]
    require(0 < len(set(columns)) == len(columns), f"{where}: inputs", "be one or more columns", columns)
    require(len(columns) <= MOST_INPUTS, f"{where}: inputs", f"be at most {MOST_INPUTS}", len(columns))
    check_input_settings(model, inputs)
    for one in inputs:
        fits = one.kind is InputKind.text or one.size > 0
        require(fits, f"{where}: inputs", f"give the size of `{one.column}`", one.size)


def empty_model(description: Description) -> Transformer:
    """The model on the `meta` device: names, types and shapes without memory."""
    with torch.device("meta"):
        return description.new_model()


@dataclass(frozen=True)
class StoredModel:
    """A verified model folder or checkpoint. Its weights are memory-mapped until they are copied."""

    path: Path
    description: Description
    tokenizer: Tokenizer
    empty: Transformer  # on the `meta` device; `tensors` fit it
    tensors: dict[str, Tensor]

    def model(self, device: torch.device) -> Transformer:
        """The model with its weights on a device. Each is copied once; the file may change afterwards."""
        named = self.empty.named_parameters()
        weights = {id(empty): nn.Parameter(self.tensors[name].to(device, copy=True)) for name, empty in named}
        model = deepcopy(self.empty, memo=dict[int, Any](weights))  # what is tied stays tied
        model.fill_tables()
        return model.to(device).eval()


def read_model(path: Path | None = None) -> StoredModel:
    """Read and check a model.

    If a run in training removes or replaces the folder during the read, the search starts again.

    Args: path: a model folder, a checkpoint, or a run, of which the final model or else the best checkpoint is read;
    None: the newest run below `runs/`.
    Raises: CheckpointError: when there is no model, or it is damaged.
    """
    if path is None:
        path = newest_run(RUNS)
        unfinished = "" if (path / "model").is_dir() else ", which is not finished, with its best checkpoint so far"
        logger.info(f"using the newest run, {path}{unfinished}")
    return _found(path, _read)


def _found(path: Path | None, read: Callable[[Path], T]) -> T:
    """What `read` reads of the folder of a model; as `read_model`, where that is removed or replaced meanwhile."""
    for _ in range(TRIES - 1):
        folder = find_model(path)
        before = _identity(folder)
        try:
            return read(folder)
        except (CheckpointError, OSError):  # a file that is gone may be noticed at any call
            if before is not None and _identity(folder) == before:
                raise
    return read(find_model(path))


def _identity(folder: Path) -> tuple[int, int, int] | None:
    """Identifies a folder and its last change, whatever its name; None if it is gone."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _read(folder: Path) -> StoredModel:
    verify_folder(folder)
    description = _read_description(folder)
    tokenizer = Tokenizer.load(folder)
    sizes = description.src_size, description.tgt_size
    src_size = sizes[0] if description.source is SourceKind.frames else tokenizer.src_size  # frames have no vocabulary
    if sizes != (src_size, tokenizer.tgt_size):
        raise CheckpointError(
            f"{folder / CONFIG} gives vocabularies of {sizes[0]:,} and {sizes[1]:,} pieces, but the tokenizer beside "
            f"it has {tokenizer.src_size:,} and {tokenizer.tgt_size:,}; they belong to different models."
        )
    weights = folder / EMA if (folder / EMA).exists() else folder / WEIGHTS
    empty = empty_model(description)
    must = dict(empty.named_parameters())
    require_fit(describe_tensors(weights), must, str(weights), f"the model of its {CONFIG}")
    return StoredModel(folder, description, tokenizer, empty, read_tensors(weights))


def _read_description(folder: Path) -> Description:
    path = folder / CONFIG
    return Description.from_values(read_json(path, most=MAX_CONFIG), str(path))


def languages(path: Path | None) -> tuple[str, str]:
    """Source and target language of the model that `read_model` would read. Raises: CheckpointError."""
    description = _found(path, _read_description)
    return description.src, description.tgt


def tags(path: Path | None) -> frozenset[str]:
    """The tags of the model that `read_model` would read (`Tokenizer.with_tag`). Raises: CheckpointError."""
    return _found(path, Tokenizer.load).tags


def table_columns(path: Path | None) -> tuple[list[Input], str]:
    """The input columns of the model that `read_model` would read, and the column of its target; no inputs: the model
    reads text. Raises: CheckpointError."""
    description = _found(path, _read_description)
    return description.inputs, description.target or description.tgt


def newest_run(runs: Path) -> Path:
    """The run that changed last; of equals the last by name. A folder that cannot be read is named and passed over.

    Raises: CheckpointError: when there is none.
    """
    found: dict[Path, int] = {}
    for path in runs.glob("*"):
        try:
            if (path / "model").is_dir() or any(path.glob("checkpoints/step-*")):
                parts = (path, *path.glob("model"), *path.glob("checkpoints"))
                found[path] = max(part.stat().st_mtime_ns for part in parts)
        except OSError as error:
            _pass_over(path, reason(error))
    if not found:
        raise CheckpointError(
            f"there is no run in `{runs}`.", hint="name a model folder, or train one with `mt train`."
        )
    return max(found, key=lambda path: (found[path], path.name))  # two runs may have the same time


@cache
def _pass_over(path: Path, why: str) -> None:
    """Warn, once."""
    logger.warning(f"`{path}` cannot be read ({why}), so it is not taken for the newest run.")


def is_choice(model: Path | None, run: Path) -> bool:
    """Whether a model is the one that its run chose."""
    try:
        return find_model(model).resolve() == find_model(run).resolve()
    except CheckpointError:  # the run has no model any more
        return False


def find_run(path: Path | None) -> Path | None:
    """The run folder at or above `path`, None: the newest run. Returns None if `path` is not in a run.

    Raises: CheckpointError: when `path` does not exist, or there is no run.
    """
    start = path or newest_run(RUNS)
    if not start.exists():
        raise _no_such(start)
    for folder in (start, *start.parents[:2]):
        if (folder / "manifest.json").is_file() and (folder / "config.yaml").is_file():
            return folder
    return None


def find_model(path: Path | None) -> Path:
    """The folder that `read_model` would read, unchecked. Raises: CheckpointError: when there is none."""
    path = path or newest_run(RUNS)
    if not path.exists():
        raise _no_such(path)
    if path.is_file() and path.name in {"best", "latest"}:  # pointers beside a run's checkpoints
        checkpoints = Checkpoints(path.parent, keep=1)
        chosen = checkpoints.best() if path.name == "best" else checkpoints.latest()
        if chosen is not None:
            return chosen.path
    refuse_foreign(path)
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
    within = path.is_file() and (path.parent / WEIGHTS).is_file()  # a file of a model folder
    within = within or (path.name == "checkpoints" and any(path.glob("step-*")))
    raise CheckpointError(
        f"`{path}` contains no model: it has neither {WEIGHTS} nor a checkpoint that can be read.",
        hint=f"did you mean `{path.parent}`?" if within else "`mt runs` lists the runs and their state.",
    )


def _no_such(path: Path) -> CheckpointError:
    if path.is_symlink():
        return CheckpointError(f"`{path}` is a link to `{path.readlink()}`, which does not exist.")
    near = meant(path, (beside.name for beside in path.parent.glob("*")))
    if near is not None:
        hint = f"did you mean `{near}`?"
    elif RUNS.is_dir():
        hint = "`mt runs` lists the runs."
    else:
        hint = "name a model folder, or train a model with `mt train`."
    return CheckpointError(f"`{path}` does not exist.", hint=hint)
