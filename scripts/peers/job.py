"""The work of every toolkit, and the description that a toolkit needs to take part.

Standard library only, because runners in a peer's own virtual environment import this file.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # of the repository


@dataclass(frozen=True)
class Shape:
    dim: int
    heads: int
    ffn_dim: int
    layers: int  # of the encoder, and again of the decoder


SHAPES = {"small": Shape(256, 4, 1024, 3), "base": Shape(512, 8, 2048, 6)}


@dataclass(frozen=True)
class Job:
    """One run of one toolkit. Every path is absolute."""

    shape: Shape
    precision: str  # bf16 or fp32
    threads: int
    updates: int
    tokens: int  # target tokens of an update, in whatever way a toolkit counts them
    folder: str  # of this run, empty at the start
    text: str  # what `pieces.prepare` made
    venv: str  # of the toolkit

    @property
    def rundir(self) -> Path:
        return Path(self.folder)

    @property
    def pieces(self) -> Path:
        return Path(self.text)

    def program(self, name: str) -> str:
        return str(Path(self.venv) / "bin" / name)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Job":
        return cls(**{**record, "shape": Shape(**record["shape"])})

    def write(self) -> str:
        """The path of a file that a runner of ours reads: `Job.read`."""
        file = self.rundir / "job.json"
        file.write_text(json.dumps(self.to_dict()))
        return str(file)

    @classmethod
    def read(cls, file: str) -> "Job":
        return cls.from_dict(json.loads(Path(file).read_text()))


@dataclass(frozen=True)
class Logged:
    """One line of a log, about the updates since the line before it."""

    update: int  # done so far
    tgt_tokens: float  # of these updates; without padding, end marks counted
    loss: float | None  # mean per target token, in nats
    nll: float | None = None  # the same without label smoothing, where the toolkit prints it

    @classmethod
    def of_line(cls, line: str) -> "Logged | None":
        """Parses a line of our own runners: these fields as JSON."""
        return cls(**json.loads(line)) if line.startswith('{"update"') else None


@dataclass(frozen=True)
class Peer:
    """How a toolkit is installed, configured, started and understood."""

    name: str
    version: str
    precisions: Sequence[str]
    command: Callable[[Job], list[str]]  # writes the run's configuration; returns the command
    parse: Callable[[str], Logged | None]  # one line of stdout or stderr
    installs: Sequence[Sequence[str]] = ()  # arguments of `pip install`, in order
    imports: str = ""  # a module whose import proves the installation
    before: Callable[[Job], list[str]] | None = None  # a command that runs first, not timed
    differs: Sequence[str] = ()  # remaining differences
    environment: Mapping[str, str] = field(default_factory=dict)
