"""Run the test suite as on other processors, with other numbers of threads, and on a busy machine.

    python scripts/test_matrix.py                     every row; each is the whole suite once
    python scripts/test_matrix.py --rows 2 3          some of them
    python scripts/test_matrix.py --logs logs tests/unit/decode     further arguments go to pytest; logs are kept

A row is a run of `pytest` under one value of each of five settings, and four rows cover every value of each:

    ATen        ATEN_CPU_CAPABILITY: the kernels of torch; "default" is those without AVX
    oneDNN      ONEDNN_MAX_CPU_ISA: the instructions that oneDNN may use for matrix products
    threads     of torch, in every test and in every command that a test starts
    order       of files and of tests within a file: as written, or shuffled by a seed
    neighbour   a process beside the tests that uses one core

There are as many workers as leave each thread a core, at least one. oneDNN and ATen fall back to less where the
processor lacks an instruction set. A table goes to stdout as rows end, and the output of pytest to a file for each.
Exits with 1 if a row fails.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from bench_peers import processor
from mistakes import run_script

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("ATen", "oneDNN", "threads", "order", "neighbour")
OUTCOME = re.compile(r"\d+ (?:passed|failed|skipped|deselected|xfailed|errors?)")


@dataclass(frozen=True)
class Row:
    aten: str
    onednn: str
    threads: int
    seed: int | None  # None: the order of the files
    neighbour: bool

    def environment(self) -> dict[str, str]:
        return {
            **os.environ, "ATEN_CPU_CAPABILITY": self.aten, "ONEDNN_MAX_CPU_ISA": self.onednn,
            "MT_TEST_THREADS": str(self.threads),
        }  # fmt: skip

    def command(self, more: list[str]) -> list[str]:
        workers = max(1, len(os.sched_getaffinity(0)) // self.threads)
        order = [] if self.seed is None else [f"--shuffle={self.seed}"]
        dist = ["-n0"] if workers == 1 else [f"-n{workers}", "--dist=loadfile"]
        return [sys.executable, "-m", "pytest", *dist, "--durations=10", *order, *more]

    def cells(self) -> list[str]:
        aten, onednn, threads, seed, neighbour = astuple(self)
        order = "as written" if seed is None else f"shuffled, {seed}"
        return [aten, onednn, str(threads), order, "busy" if neighbour else "none"]


ROWS = [
    Row("default", "AVX2", 1, 1, neighbour=False),
    Row("avx2", "AVX512_CORE", 2, None, neighbour=True),
    Row("default", "AVX512_CORE", 4, 2, neighbour=True),
    Row("avx2", "AVX2", 4, None, neighbour=False),
]


@contextmanager
def beside(*, busy: bool) -> Iterator[None]:
    """A process that uses one core until the end of the context."""
    if not busy:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        try:
            yield
        finally:
            neighbour.kill()


def run(row: Row, log: Path, more: list[str]) -> tuple[int, str]:
    """The exit code, and the outcomes that pytest counts in its last lines."""
    with log.open("wb") as out, beside(busy=row.neighbour):
        done = subprocess.run(row.command(more), cwd=ROOT, env=row.environment(), stdout=out, stderr=subprocess.STDOUT)
    closing = log.read_text(encoding="utf-8", errors="replace").split("\n")[-5:]
    return done.returncode, ", ".join(OUTCOME.findall("\n".join(closing))) or "see the log"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = range(1, len(ROWS) + 1)
    parser.add_argument("--rows", type=int, nargs="+", choices=numbers, default=[*numbers], metavar="N")
    parser.add_argument("--logs", type=Path, default=Path("matrix"), help="folder of the logs")
    args, more = parser.parse_known_args(argv)
    args.logs.mkdir(parents=True, exist_ok=True)
    print(f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}\n")
    print(f"| row | {' | '.join(NAMES)} | outcome | seconds |\n|{'---|' * (len(NAMES) + 3)}", flush=True)
    failed = False
    for number in args.rows:
        row, started = ROWS[number - 1], time.monotonic()
        code, outcome = run(row, args.logs / f"row-{number}.log", more)
        failed |= code != 0
        result = f"{outcome}, exit code {code}" if code else outcome
        print(f"| {number} | {' | '.join(row.cells())} | {result} | {time.monotonic() - started:,.0f} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
