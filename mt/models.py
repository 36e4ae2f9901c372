"""Models that can be handed on: what a folder says of itself, and finding it by the name of a run."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor

from mt.checkpoint import Checkpoint, Checkpoints, read_json, read_tensors, verify_folder
from mt.config import DecodeConfig, ModelConfig, Positions, Precision, Tying, require
from mt.errors import CheckpointError, ConfigError
from mt.plain import from_plain
from mt.tokenizer import Tokenizer

SCHEMA = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
RUNS = Path("runs")


@dataclass(frozen=True, kw_only=True)
class Description:
    """`config.json`: all that is needed to build the model, besides its weights and its tokenizer."""

    src: str
    tgt: str
    src_size: int
    tgt_size: int
    max_length: int  # the longest sentence, in pieces, that the model was trained on
    precision: Precision
    model: ModelConfig
    decode: DecodeConfig

    def files(self, tokenizer: Tokenizer) -> dict[str, bytes]:
        """The files that stand beside the weights, by name."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n"
        return {CONFIG: text.encode(), **tokenizer.files()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str) -> "Description":
        """Raises: CheckpointError: for anything that this version does not know exactly."""
        values = dict(values)
        schema = values.pop("schema", None)
        if schema != SCHEMA:
            raise CheckpointError(f"{where} has schema {schema!r}, but this version of mt reads {SCHEMA}.")
        try:
            for name, section in (("model", ModelConfig), ("decode", DecodeConfig)):
                values[name] = from_plain(section, values.get(name), f"{where}: `{name}`")
            told = from_plain(cls, values, where)
            for name, least in (("src_size", 1), ("tgt_size", 1), ("max_length", 2)):
                require(getattr(told, name) >= least, name, f"be at least {least}", getattr(told, name))
            one = told.model.tying is not Tying.all or told.src_size == told.tgt_size
            require(one, "src_size", f"equal `tgt_size` ({told.tgt_size}) where `model.tying` is all", told.src_size)
            fits = told.model.positions is Positions.rotary or told.max_length <= told.model.max_length
            require(fits, "max_length", f"be at most `model.max_length` ({told.model.max_length})", told.max_length)
            return told
        except ConfigError as error:
            message = str(error)
            raise CheckpointError(message if message.startswith(where) else f"{where}: {message}") from None


@dataclass(frozen=True)
class StoredModel:
    """A verified folder, a model's or a checkpoint's."""

    path: Path
    description: Description
    tokenizer: Tokenizer

    def weights(self) -> dict[str, Tensor]:
        ema = self.path / "ema.safetensors"
        return read_tensors(ema if ema.exists() else self.path / WEIGHTS)


def read_model(path: Path | None = None) -> StoredModel:
    """Args: path: a model folder, a checkpoint, or a run, whose handed-on model or else best checkpoint is taken; None:
    the run below `runs/` that was written to last.

    Raises: CheckpointError: when there is no model there, or it is damaged.
    """
    folder = _find(path if path is not None else newest_run(RUNS))
    verify_folder(folder)
    told = Description.from_values(read_json(folder / CONFIG), str(folder / CONFIG))
    tokenizer = Tokenizer.load(folder)
    if (told.src_size, told.tgt_size) != (tokenizer.src_size, tokenizer.tgt_size):
        raise CheckpointError(
            f"{folder / CONFIG} tells of vocabularies of {told.src_size:,} and {told.tgt_size:,} pieces, but the "
            f"tokenizer beside it has {tokenizer.src_size:,} and {tokenizer.tgt_size:,}; they are of different models."
        )
    return StoredModel(folder, told, tokenizer)


def languages(path: Path) -> tuple[str, str]:
    """What the model that `read_model` would find translates from and to. Raises: CheckpointError: as that."""
    config = _find(path) / CONFIG
    told = Description.from_values(read_json(config), str(config))
    return told.src, told.tgt


def newest_run(runs: Path) -> Path:
    """Raises: CheckpointError: when there is none."""
    found = [p for p in runs.glob("*") if (p / "model").is_dir() or any(p.glob("checkpoints/step-*"))]
    if not found:
        raise CheckpointError(f"there is no run in {runs}/; name a model folder, or train one with `mt train`.")
    return max(found, key=lambda p: max(q.stat().st_mtime for q in (p, *p.glob("model"), *p.glob("checkpoints"))))


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


def _find(path: Path) -> Path:
    if not path.exists():
        raise _no_such(path)
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
