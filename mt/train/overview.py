"""What a run folder holds, read from its small files without torch: for lists and comparisons of runs."""

import contextlib
import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from mt.errors import CheckpointError, DataError, spelt
from mt.log import read_metrics
from mt.progress import duration
from mt.train.saved_config import flatten, read_config, read_facts
from mt.train.state import decisive

WIDEST = 60  # characters of a cell
FAILURE = "failed.json"  # the error that ended the last start of a run
SECTIONS = {"data": {"name": str, "train": int, "licence": str}, "tokenizer": {"kind": str}}  # of a manifest, if there
WORDS = {str: "text", int: "a whole number"}
NONE = "-"  # in a table, for what is not known
TEXTS = {"training text": "fingerprint", "dev set": "dev_fingerprint", "test set": "test_fingerprint"}  # of a manifest
NO_TEXT = sha256().hexdigest()  # of the test set of a run that has none


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A run, as far as its folder tells. `state`: running, finished, failed, stopped, or empty (no checkpoint)."""

    folder: Path
    state: str
    error: str | None = None  # of the last start, if that failed
    problem: str | None = None  # the first file that is damaged or cannot be read, in a sentence
    data: str | None = None
    direction: str | None = None
    started: str | None = None  # the time of the first start, ISO 8601
    command: list[str] | None = None  # of the last start
    watch: str = "bleu"  # the score on dev that chose the best checkpoint
    dev: float | None = None  # its best value
    test: dict[str, float] = field(default_factory=dict)  # scores on the test set, by name
    basis: dict[str, str] = field(default_factory=dict)  # of scores: hashes of the texts, and signatures
    steps: int = 0
    seconds: float = 0.0  # of training
    size: int = 0  # bytes on disk
    config: dict[str, Any] = field(default_factory=dict)  # flat settings

    def cells(self) -> dict[str, str]:
        """For a row of a table."""
        bleu = self.test.get("BLEU")
        return {
            "run": str(self.folder),
            "data": self.data or NONE,
            "direction": self.direction or NONE,
            "dev": f"{self.watch} {self.dev:.2f}" if self.dev is not None else NONE,
            "test": f"BLEU {bleu:.2f}" if bleu is not None else NONE,
            "state": self.state,
            "steps": f"{self.steps:,}",
            "time": duration(self.seconds),
            "size": megabytes(self.size),
        }

    def to_dict(self) -> dict[str, Any]:
        names = (f.name for f in fields(self) if f.name not in {"folder", "command", "config"})
        return {"run": str(self.folder), **{name: getattr(self, name) for name in names}}


def find_runs(root: Path) -> list[Path]:
    """The run folders in `root`, the last started first; of those that started together, by name. Folders that cannot
    be read are the last: they may be runs."""
    found = {path: _started(path) for path in sorted(root.glob("*")) if not path.name.startswith(".")}
    return sorted((path for path in found if found[path] is not None), key=lambda path: found[path] or 0, reverse=True)


def _started(path: Path) -> int | None:
    """When the settings of a run were written, 0 if that cannot be read; None: this is not a run."""
    try:
        return (path / "config.yaml").stat().st_mtime_ns if is_run(path) else None
    except OSError:
        return 0


def is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file()


def overview(folder: Path) -> Overview:
    """What the folder of a run holds; what is missing or damaged stays empty, and what is damaged is in `problem`."""
    problems: list[str] = []
    manifest, state = read_facts(folder / "manifest.json", problems), _last_state(folder)
    config: dict[str, Any] = {}
    try:
        config = flatten(read_config(folder / "config.yaml"))
    except CheckpointError as error:
        problems.append(error.message)
    failure = read_facts(folder / FAILURE, problems)
    scores = _objects(read_facts(folder / "eval/test.json", problems).get("scores"))
    best, src, tgt = _number(state.get("best_score")), _text(manifest.get("src")), _text(manifest.get("tgt"))
    data, attempts = manifest.get("data"), _objects(manifest.get("attempts")) or [{}]
    command = attempts[-1].get("command")
    watch = str(state.get("watched") or config.get("train.watch", "bleu"))
    if best is not None:
        ties = state.get("best_ties")
        numbers = map(_number, ties if isinstance(ties, list) else [])
        watch, best = decisive(watch, best, *(tie for tie in numbers if tie is not None))
    return Overview(
        folder=folder,
        state=_state(folder, state, failed=bool(failure)),
        error=_text(failure.get("error")),
        problem=problems[0] if problems else None,
        data=_text(data.get("name")) if isinstance(data, dict) else None,
        direction=f"{src}-{tgt}" if src and tgt else None,
        started=_text(attempts[0].get("at")),
        command=command if isinstance(command, list) else None,
        watch=watch,
        dev=best,
        test={
            name: value
            for score in scores
            if (name := _text(score.get("name"))) and (value := _number(score.get("value"))) is not None
        },
        basis=_basis(data if isinstance(data, dict) else {}, scores),
        steps=int(_number(state.get("step")) or 0),
        seconds=_number(state.get("seconds")) or 0.0,
        size=folder_size(folder),
        config=config,
    )


def _basis(data: dict[str, Any], scores: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What must be equal in two runs whose scores are compared. Args: data: of the manifest; scores: of the report."""
    known = {name: _text(data.get(key)) for name, key in TEXTS.items()}
    texts = {name: text[:12] for name, text in known.items() if text and text != NO_TEXT}
    return texts | {f"{one.get('name')} signature": known for one in scores if (known := _text(one.get("signature")))}


def manifest_of(folder: Path, problems: list[str]) -> dict[str, Any]:
    """The manifest of a run, without sections of another form than ours. Args: problems: gets what is wrong with it."""
    file = folder / "manifest.json"
    manifest = read_facts(file, problems)
    for name, kinds in SECTIONS.items():
        given = manifest.get(name)
        for key, kind in kinds.items() if given is not None else ():
            value = given.get(key) if isinstance(given, dict) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                problems.append(f"`{file}` must have `{name}.{key}` as {WORDS[kind]}, but has {spelt(value):.40}.")
                del manifest[name]
                break
    return manifest


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _objects(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _state(folder: Path, state: dict[str, Any], *, failed: bool) -> str:
    if is_locked(folder):
        return "running"
    if state.get("finished") and (folder / "model").is_dir():  # a state was read, so the folder can be
        return "finished"
    return "failed" if failed else "stopped" if state else "empty"


def _last_state(folder: Path) -> dict[str, Any]:
    """The counters (`mt.train.state`) in the newest checkpoint."""
    steps = [path for path in folder.glob("checkpoints/step-*") if path.name.removeprefix("step-").isdigit()]
    for path in sorted(steps, key=lambda path: int(path.name.removeprefix("step-")), reverse=True):
        counters = read_facts(path / "state.json").get("train")
        if counters and isinstance(counters, dict):
            return counters
    return {}


def is_locked(folder: Path) -> bool:
    """Whether a process trains in the folder (`mt.checkpoint.RunLock`).

    The lock is tried only if the process that is named in it may be alive: trying it keeps others out for a moment.
    """
    import fcntl  # Windows has none, and trains nothing

    try:
        with (folder / ".lock").open("r", encoding="utf-8", errors="replace") as file:
            words = file.read().split()  # process 123 on HOST
            if len(words) == 4 and words[3] == socket.gethostname() and not _is_alive(words[1]):
                return False
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def folder_size(folder: Path) -> int:
    """Bytes of all files."""
    total = 0
    with contextlib.suppress(OSError):  # a folder that cannot be read
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):  # a run that trains removes checkpoints meanwhile
                total += path.lstat().st_size if path.is_file() else 0
    return total


def megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def table(runs: Sequence[Overview]) -> str:
    """One line for each run."""
    rows = [run.cells() for run in runs]
    return aligned([list(rows[0]), *(list(row.values()) for row in rows)])


def comparison(runs: Sequence[Overview]) -> list[list[str]]:
    """The runs side by side, one column each: what the list has, all test scores, and the settings that differ."""
    cells = [run.cells() for run in runs]
    rows = [[name, *(cell[name] for cell in cells)] for name in cells[0] if name != "test"]
    bits = [lowest_bits(run.folder) for run in runs]
    if any(value is not None for value in bits):
        rows.append(["dev bits per char", *(NONE if value is None else f"{value:.3f}" for value in bits)])
    for name in dict.fromkeys(name for run in runs for name in run.test):
        rows.append([f"test {name}", *(f"{run.test[name]:.2f}" if name in run.test else NONE for run in runs)])
    for name in dict.fromkeys(name for run in runs for name in run.basis):
        values = [run.basis.get(name, NONE) for run in runs]
        if len({*values} - {NONE}) > 1:  # then scores are not to be compared
            rows.append([name, *values])
    rows += [[key, *(_shown(run.config.get(key, NONE)) for run in runs)] for key in differing(runs)]
    return rows


def differing(runs: Sequence[Overview]) -> list[str]:
    """The settings that are not the same in all runs, but for those of where a run is."""
    keys = dict.fromkeys(key for run in runs for key in run.config if not key.startswith("run."))
    return [key for key in keys if any(run.config.get(key, NONE) != runs[0].config.get(key, NONE) for run in runs)]


def lowest_bits(folder: Path) -> float | None:
    """The lowest dev loss of a run, in bits per character; None: of an older version, or damaged."""
    with contextlib.suppress(DataError):
        lines = read_metrics(folder / "metrics.jsonl")
        return min((found for line in lines if (found := _number(line.get("bits_per_char"))) is not None), default=None)
    return None


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return value if isinstance(value, str) else spelt(value)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table as text, with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def shortened(cell: str) -> str:
    """The end of a long cell, such as one of file names."""
    return cell if len(cell) <= WIDEST else f"…{cell[1 - WIDEST :]}"
