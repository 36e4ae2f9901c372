"""The `mt` command as a process of its own, and toy text to train on."""

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    "one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf",
    "six": "sechs", "seven": "sieben", "eight": "acht", "nine": "neun", "ten": "zehn",
}  # fmt: skip
TINY = (
    "tokenizer.vocab_size=64 tokenizer.byte_fallback=false model.dim=32 model.heads=2 model.ffn_dim=48 "
    "model.encoder_layers=1 model.decoder_layers=1 batch.tokens=256 batch.max_length=64 train.device=cpu "
    f"train.threads={os.environ['OMP_NUM_THREADS']} train.precision=fp32 train.minutes=null train.validate_pairs=5 "
    "decode.beam=2"
)


class Process:
    """A running command with its output in files, so that a full pipe cannot block it."""

    def __init__(self, argv: list[str], folder: Path, address: str | None = None) -> None:
        """Args: address: of the process that forks an `mt` command; else `argv` is a new process."""
        self.stdout, self.stderr = folder / "stdout.txt", folder / "stderr.txt"
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err, Path(os.devnull).open("rb") as nothing:
            if address is None:
                self.inner = subprocess.Popen(argv, cwd=folder, env=environment(), stdout=out, stderr=err)
            else:
                self.inner = forked.Command(address, argv, folder, environment(), (nothing, out, err))

    def wait_for(self, event: Callable[[], bool], seconds: float = 600) -> bool:
        """Wait until `event` is true (returns true) or the process ends (returns false)."""
        end = time.monotonic() + seconds
        while not event():
            if self.inner.poll() is not None:
                return False
            assert time.monotonic() < end, f"nothing happened: {self.stderr.read_text()}"
            time.sleep(0.002)
        return True

    def signal(self, number: int) -> None:
        self.inner.send_signal(number)

    def end(self) -> int:
        return self.inner.wait(timeout=900)


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def write_numbers(folder: Path, name: str, count: int, seed: int) -> list[str]:
    """`count` lines of number words as `name`.en and `name`.de; returns the two names."""
    draw = random.Random(seed)
    lines = [draw.choices(list(NUMBERS), k=draw.randint(2, 6)) for _ in range(count)]
    (folder / f"{name}.en").write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    translated = ["".join(NUMBERS[word] + " " for word in line).strip() + "\n" for line in lines]
    (folder / f"{name}.de").write_text("".join(translated), encoding="utf-8")
    return [f"{name}.en", f"{name}.de"]


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings of a run of a few seconds."""
    return TINY.split()


@pytest.fixture(scope="module")
def command(request, tiny) -> Callable[..., list[str]]:
    """`command(name, ...)` is a training of the module's SETTINGS and STEPS, and what is given besides."""
    given = request.module

    def make(name: str, *more: str) -> list[str]:
        return ["train", *tiny, *given.SETTINGS.split(), f"run.name={name}", f"train.steps={given.STEPS}", *more]

    return make


SHORT = ("train.steps=60", "train.validate_every=20")


def weights_of(run: Path) -> str:
    return hashlib.sha256((run / "model/model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def short_run(command, run) -> Callable[..., str]:
    """`short_run(folder, name, ...)` is the hash of the weights after the first 60 updates of the module's training."""

    @cache
    def train(folder: Path, name: str, *more: str) -> str:
        done = run(folder, *command(name, *SHORT, *more))
        assert done.returncode == 0, done.stderr.decode()
        return weights_of(folder / "runs" / name)

    return train


@pytest.fixture(scope="module")
def after_a_kill(command, start, run) -> Callable[..., str]:
    """The same, of a training that was killed in between and started again."""

    def train(folder: Path, *more: str) -> str:
        metrics = folder / "runs/killed/metrics.jsonl"
        process = start(folder, *command("killed", *SHORT, *more))
        assert process.wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 30)
        process.signal(9)
        process.end()
        done = run(folder, *command("killed", *SHORT, *more))
        assert done.returncode == 0 and "going on from step" in done.stderr.decode()
        return weights_of(folder / "runs/killed")

    return train


@pytest.fixture(scope="session")
def numbers() -> Callable[[Path, str, int, int], list[str]]:
    return write_numbers


@pytest.fixture(scope="session")
def start(imported: str) -> Callable[..., Process]:
    """`start(folder, "train", ...)` starts a command and returns at once; forked or not, as `run` does."""

    def call(folder: Path, *argv: str, fresh: bool = False) -> Process:
        return Process([sys.executable, "-m", "mt", *argv], folder) if fresh else Process([*argv], folder, imported)

    return call


@pytest.fixture(scope="session")
def imported(tmp_path_factory) -> Iterator[str]:
    """The address of a process from which commands are forked; it starts when the first test asks for it."""
    address = str(tmp_path_factory.mktemp("forked") / "socket")
    command = [sys.executable, str(Path(forked.__file__)), address]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield address
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def run(imported: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """`run(folder, "translate", ..., stdin=b"...")` runs a command to its end; its output is bytes.

    Most of the time of a small command is Python's start and imports, so it is forked from a process that has done
    both; with `fresh=True` it is a new process, as a user's command is.
    """

    def call(folder: Path, *argv: str, stdin: bytes = b"", fresh: bool = False) -> subprocess.CompletedProcess[bytes]:
        if not fresh:
            return forked.run_forked(imported, list(argv), folder, environment(), stdin)
        return subprocess.run(
            [sys.executable, "-m", "mt", *argv],
            cwd=folder, env=environment(), input=stdin, capture_output=True, timeout=900, check=False,
        )  # fmt: skip

    return call
