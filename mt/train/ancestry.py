"""The models that a model went on from, as the manifests of runs and of model folders keep them.

Imports nothing that only training needs: `mt info` shows them.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mt.checkpoint.folder import read_manifest
from mt.checkpoint.model_folder import EMA, WEIGHTS, StoredModel, find_run
from mt.config.from_json import from_plain
from mt.errors import CheckpointError, ConfigError
from mt.files import read_json

OLDEST = 50  # generations that are kept


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A model that another one went on from, as its run and its folder tell. None: not known."""

    name: str
    src: str
    tgt: str
    weights: str  # SHA-256 of the file of weights
    step: int | None = None
    data: str | None = None  # the name of its training text
    pairs: int | None = None
    licence: str | None = None

    def __str__(self) -> str:
        text = f"{self.data}, {self.pairs:,} pairs" if self.data and self.pairs is not None else "text not known"
        return f"{self.name} ({self.src} to {self.tgt}; {text}; weights {self.weights[:12]})"


def weights_hash(stored: StoredModel) -> str:
    files = read_manifest(stored.path).files
    return files[EMA if EMA in files else WEIGHTS][1]


def ancestor(stored: StoredModel) -> Ancestor:
    """What is known of a model: by its run, or by the manifest of its folder."""
    facts, told = _facts(stored), stored.description
    data = facts.get("data")
    text = data if isinstance(data, Mapping) else {}
    sure = Ancestor(name=stored.path.name, src=told.src, tgt=told.tgt, weights=weights_hash(stored))
    more = {
        "name": facts.get("name") or stored.path.name,
        "step": read_manifest(stored.path).meta.get("step"),
        "data": text.get("name"),
        "pairs": text.get("train"),
        "licence": text.get("licence"),
    }
    return next(iter(ancestors([{**asdict(sure), **more}])), sure)


def _facts(stored: StoredModel) -> dict[str, Any]:
    """The manifest of the model's run, or else what the manifest of its folder has of it."""
    run = find_run(stored.path)
    if run is not None:
        with contextlib.suppress(CheckpointError):
            return read_json(run / "manifest.json")
    return read_manifest(stored.path).meta


def ancestors(values: object) -> list[Ancestor]:
    """Ancestors from the JSON of a manifest; the list ends before an entry that is none."""
    found = []
    unknown = {f.name: None for f in fields(Ancestor)}
    for each in values if isinstance(values, list) else []:
        if not isinstance(each, Mapping):
            break
        known = unknown | {key: value for key, value in each.items() if key in unknown}
        if any(isinstance(value, str) and not value.isprintable() for value in known.values()):
            break
        try:
            found.append(from_plain(Ancestor, known, "ancestry"))
        except ConfigError:
            break
    return found


def lineage(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest of a model folder tells of its training, by the facts of its run."""
    data = facts["data"]
    return {
        "name": facts["name"],
        "data": {key: data[key] for key in ("name", "licence", "train")},
        "ancestry": facts.get("ancestry", []),
    }


def plain_ancestry(found: list[Ancestor]) -> list[dict[str, Any]]:
    return [asdict(one) for one in found]


def ancestry_of(stored: StoredModel) -> list[Ancestor]:
    """A model, then those that it went on from, the last one first."""
    return [ancestor(stored), *ancestors(_facts(stored).get("ancestry"))[: OLDEST - 1]]
