"""A run's folder: what lies where, what was asked for, and whether the same is asked for again."""

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from mt.errors import CheckpointError, ConfigError
from mt.train.state import TrainState
from mt.train.validate import Validation

MUST_MATCH = {"data", "clean", "tokenizer", "model", "batch", "loss", "optim"}  # sections that make a run what it is
MUST_MATCH_KEYS = {"train.seed", "train.ema", "train.precision", "train.watch", "schedule.name"}
MAY_MOVE = {"data.root"}
PACKAGES = ("torch", "sentencepiece", "sacrebleu", "datasets", "hydra-core", "safetensors")


class RunFolder:
    """`runs/<name>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.log = path / "train.log"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.samples = path / "samples"
        self.evaluation = path / "eval"

    def begin(self, config: dict[str, Any]) -> None:
        """Write down the settings, or compare them with those that the run began with.

        Raises: ConfigError: when a setting differs that must not change within a run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.config.exists():
            check_drift(read_config(self.config), config, self.path)
        temporary = self.config.with_suffix(".tmp")
        temporary.write_text(yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True), encoding="utf-8")
        temporary.replace(self.config)

    def write_manifest(self, facts: dict[str, Any], command: list[str]) -> None:
        """What is needed to do the run again; every start adds an attempt."""
        attempts = []
        if self.manifest.exists():
            attempts = json.loads(self.manifest.read_text(encoding="utf-8")).get("attempts", [])
        attempts.append({"command": command, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **machine()})
        text = json.dumps({**facts, "attempts": attempts}, indent=2, ensure_ascii=False) + "\n"
        temporary = self.manifest.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.manifest)

    def write_samples(self, validation: Validation, state: TrainState) -> None:
        """Dev sentences with their translations at this step: source, reference, translation, an empty line."""
        self.samples.mkdir(exist_ok=True)
        rows = zip(validation.sources, validation.references, validation.hypotheses, strict=True)
        text = "".join(f"{source}\n{reference}\n{hypothesis}\n\n" for source, reference, hypothesis in rows)
        (self.samples / f"step-{state.step:08d}.txt").write_bytes(text.encode())


def plain(values: Any) -> Any:
    """Enum members by their value, tables and lists all the way down."""
    if isinstance(values, dict):
        return {key: plain(value) for key, value in values.items()}
    if isinstance(values, list):
        return [plain(value) for value in values]
    return str(values) if isinstance(values, str) else values


def read_config(path: Path) -> dict[str, Any]:
    """Raises: CheckpointError: when the file is no table of settings."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"`{path}` cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"`{path}` must be a table of settings, but is not; it is damaged.")
    return values


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def check_drift(old: dict[str, Any], new: dict[str, Any], where: Path) -> None:
    """Raises: ConfigError: for the first setting that must not change within a run, and did."""
    before, now = flatten(old), flatten(plain(new))
    for key, value in now.items():
        fixed = (key.split(".")[0] in MUST_MATCH or key in MUST_MATCH_KEYS) and key not in MAY_MOVE
        if fixed and key in before and before[key] != value:
            raise ConfigError(
                f"`{key}` was {before[key]} when {where} began, but is {value} now; go on with the old value, or give "
                f"the new run a name of its own: run.name=..."
            )


def machine() -> dict[str, Any]:
    """Versions and hardware of this process."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": sys.version.split()[0],
        "packages": versions,
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "gpu": gpu,
        "git": _git_revision(),
    }


def _git_revision() -> str | None:
    """The checkout's commit, with `+` where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "") if head.returncode == 0 else None
