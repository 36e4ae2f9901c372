"""The checkpoints of a run: one folder `step-00001234/` each, and no index that could disagree with them."""

import json
import logging
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from mt.checkpoint import schema
from mt.checkpoint.folder import MANIFEST, find_problem, free_name, read_manifest, verify_folder, write_folder
from mt.checkpoint.tensors import read_tensors
from mt.errors import CheckpointError
from mt.files import explained, read_json, write_text

logger = logging.getLogger("mt")
MODEL, OPTIMIZER, EMA, STATE = "model.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json"
STEP_NAME = re.compile(r"step-\d{8,}")
Score = float | tuple[float, ...]  # higher is better; the further numbers of a tuple decide between equal scores


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One folder, verified when it was opened. Its files are read on demand."""

    path: Path
    step: int
    score: float | None
    ties: tuple[float, ...] = ()  # what decides between equal scores

    @property
    def rank(self) -> tuple[float, ...]:
        """To be compared; empty, which is lowest, without a score."""
        return () if self.score is None else (self.score, *self.ties)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Verify the folder. Raises `CheckpointError` when it is damaged or not a checkpoint."""
        manifest = verify_folder(path)
        if missing := {MODEL, OPTIMIZER, STATE} - manifest.files.keys():
            raise CheckpointError(f"`{path}` must contain `{min(missing)}` to be a checkpoint, but does not.")
        match manifest.meta:
            case {"step": int(step), "score": float() | None as score}:
                return cls(path, step, score, _ties(manifest.meta))
        raise CheckpointError(f"`{path / MANIFEST}` must give a step and a score, but gives {manifest.meta!s:.80}.")

    def model(self) -> dict[str, Tensor]:
        return read_tensors(self.path / MODEL)

    def optimizer(self) -> dict[str, Tensor]:
        return read_tensors(self.path / OPTIMIZER)

    def ema(self) -> dict[str, Tensor] | None:
        """The moving average (EMA) of the weights, if the run has one."""
        return read_tensors(self.path / EMA) if (self.path / EMA).exists() else None

    def state(self) -> dict[str, Any]:
        return schema.STATE.upgrade(read_json(self.path / STATE), f"`{self.path / STATE}`")


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints in `folder`. Score and step of each are in its manifest.

    The files `latest` and `best` contain the name of a folder, for people and other tools. `files` makes each new
    checkpoint usable alone (tokenizer, config), by name.
    """

    folder: Path
    keep: int
    files: Mapping[str, bytes] = field(default_factory=dict)

    def save(
        self,
        step: int,
        *,
        model: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor],
        state: Mapping[str, Any],
        score: Score | None = None,
        ema: Mapping[str, Tensor] | None = None,
    ) -> Path:
        """Write a checkpoint. A higher `score` is better; one that is not finite counts as none.

        A valid checkpoint of the same step stays, but one without a score gives way to one with a score. Raises
        `CheckpointError` when it cannot be written.
        """
        parts = {MODEL: model, OPTIMIZER: optimizer, STATE: json.dumps(schema.STATE.mark(state)).encode()}
        parts |= self.files
        if ema is not None:
            parts[EMA] = ema
        path = self.folder / f"step-{step:08d}"
        number, *ties = score if isinstance(score, tuple) else (score,)
        if number is None or not math.isfinite(number):
            number, ties = None, []
        meta = {"step": step, "score": None if number is None else float(number)}
        unscored = number is not None and self._scores().get(path) is None
        write_folder(path, parts, meta={**meta, "ties": ties} if ties else meta, replace=unscored)
        self._point("latest", path)
        self._point("best", self._best_first()[0])
        return path

    def complete_save(self, latest: Path) -> None:
        """Update the pointers and prune, because a process may have been killed between a save and these steps.

        Args: latest: the newest checkpoint that verifies. Raises `CheckpointError` when a file cannot be written.
        """
        self._point("latest", latest)
        self._point("best", next(p for p in self._best_first() if p == latest or find_problem(p) is None))
        self.prune()

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies, with a warning for each damaged one that is skipped."""
        return _first_valid(self._newest_first())

    def best(self) -> Checkpoint | None:
        """The checkpoint with the highest score that verifies; of equals, and without scores, the newest."""
        return _first_valid(self._best_first())

    def ranked(self) -> list[Path]:
        """All checkpoints that have a score and verify, best first."""
        scores = self._scores()
        return [path for path in self._best_first() if scores[path] is not None and find_problem(path) is None]

    def scored(self) -> list[Path]:
        """All checkpoints that have a score and verify, newest first."""
        return sorted(self.ranked(), key=_step, reverse=True)

    def prune(self) -> None:
        """Remove all but the `keep` best, the newest two with a score, and the newest of all, of those that verify.

        So a checkpoint without a score displaces no other, and is removed after the next. A damaged one among the
        newest stays for inspection. Raises `CheckpointError` when one cannot be removed.
        """
        scores, newest, damaged = self._scores(), list[Path](), list[Path]()
        for path in sorted(scores, key=_step, reverse=True):
            if sum(scores[kept] is not None for kept in newest) == 2:
                break  # hashing all of them at each validation would take longer than the save
            if newest and scores[path] is None:
                continue
            (damaged if find_problem(path) else newest).append(path)
        best = [path for path in self._best_first() if scores[path] is not None and path not in damaged][: self.keep]
        for path in scores.keys() - {*newest, *damaged, *best}:
            with explained(f"`{path}` cannot be removed"):
                # Renamed first, so that a half-removed folder does not look like a checkpoint.
                shutil.rmtree(path.rename(free_name(path, ".trash")))

    def _newest_first(self) -> list[Path]:
        found = [path for path in self.folder.glob("step-*") if STEP_NAME.fullmatch(path.name)]
        return sorted(found, key=_step, reverse=True)

    def _scores(self) -> dict[Path, tuple[float, ...] | None]:
        """Score and ties of all checkpoints with a readable manifest, newest first; None: no score."""
        scores = {}
        for path in self._newest_first():
            with suppress(CheckpointError):
                meta = read_manifest(path).meta
                score = meta.get("score")
                scores[path] = (score, *_ties(meta)) if isinstance(score, float) else None
        return scores

    def _best_first(self) -> list[Path]:
        """Best first; those without a score come last, and equals are sorted newest first."""
        scores = self._scores()
        return sorted(scores, key=lambda path: (scores[path] is not None, scores[path] or ()), reverse=True)

    def _point(self, name: str, path: Path) -> None:
        write_text(self.folder / name, path.name + "\n")


def require_space(folder: Path, checkpoint: int) -> None:
    """Raise `CheckpointError` unless two checkpoints of so many bytes fit: a new one is written before one is removed.

    A folder that does not exist yet will be on the disk of the nearest existing parent.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with explained(f"`{place}` cannot be used"):
        free = shutil.disk_usage(place).free
    if free < 2 * checkpoint:
        raise CheckpointError(
            f"the disk of `{folder}` has {free / 1e6:,.0f} MB free, but two checkpoints of {checkpoint / 1e6:,.0f} MB "
            "must fit.",
            hint="free some space, or choose another `run.root`.",
        )


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _first_valid(paths: Iterable[Path]) -> Checkpoint | None:
    for path in paths:
        try:
            return Checkpoint.open(path)
        except CheckpointError as error:
            logger.warning("skipping a damaged checkpoint: %s", error)
    return None


def _ties(meta: Mapping[str, Any]) -> tuple[float, ...]:
    ties = meta.get("ties")
    return tuple(tie for tie in ties if isinstance(tie, int | float)) if isinstance(ties, list) else ()
