"""The folder in which a run was started, from which the relative names in its settings count. Imports no torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mt.config import DataConfig
from mt.data.corpus.names import HUB
from mt.train.saved_config import read_facts

KEY = "folder"  # of an attempt in the manifest


def start_folder(run: Path, own: Path, data: DataConfig) -> Path:
    """Where a run was started: as its name tells, which also holds where it moved together with its text, or else as
    its manifest does. Of the two that with more of its text; the folder at hand if neither is there.

    Args: own: the folder of the run as its settings name it.
    """
    found = [place for place in (_by_name(run, own), _by_manifest(run)) if place is not None and place.is_dir()]
    return max(found, key=lambda place: sum((place / file).exists() for file in _files(data)), default=Path.cwd())


def _by_name(run: Path, own: Path) -> Path | None:
    """The folder below which the name of the run leads to it."""
    place, parts = run.resolve(), own.parts
    if own.is_absolute() or place.parts[-len(parts) :] != parts:
        return None
    return Path(*place.parts[: -len(parts)])


def _by_manifest(run: Path) -> Path | None:
    """The folder of the last start; runs of older versions do not have it."""
    attempts = read_facts(run / "manifest.json").get("attempts")
    folders = [one.get(KEY) for one in attempts if isinstance(one, dict)] if isinstance(attempts, list) else []
    known = [folder for folder in folders if isinstance(folder, str) and Path(folder).is_absolute()]
    return Path(known[-1]) if known else None


def own_name(run: Path, saved: Mapping[str, Any]) -> Path:
    """The folder of a run as its settings name it."""
    section = saved.get("run")
    named = (section.get("root"), section.get("name")) if isinstance(section, Mapping) else ()
    return Path(*(part for part in named if isinstance(part, str))) if named else run


def from_start(data: DataConfig, start: Path) -> DataConfig:
    """The section with absolute names, if `start` is another folder than the one at hand."""
    if start == Path.cwd():
        return data

    def placed(files: list[str]) -> list[str]:
        return [file if file.startswith(HUB) else str(start / file) for file in files]

    return replace(
        data, train=placed(data.train), dev=placed(data.dev), test=placed(data.test), root=str(start / data.root)
    )


def _files(data: DataConfig) -> list[str]:
    return [*data.train, *data.dev, *data.test] if data.train else [data.root]
