"""The time from SIGTERM until the checkpoint is on disk, and until the process has ended.

    python scripts/time_sigterm.py                          five stops without data workers; a minute or two
    python scripts/time_sigterm.py --stops 8 data.workers=1

The toy run of `kill_anywhere.py` is started, gets a SIGTERM at a random moment, and is started again to resume. Each
attempt times its own updates, validations and saves. A stop takes at most one of each by promise, so the longest of
each in the same attempt are the bound, and the result is the time to the checkpoint as a share of the bound: seconds
alone depend on the load of the machine, which is printed beside them. Exits with 1 if an attempt does not end with 75
and its checkpoint.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kill_anywhere import SETTINGS, last_step, write_text
from mistakes import run_script

RUN = "stopped"
TIMES = "times.json"


class Watch:
    """The duration of each call of some functions, and the end of the last one, on the machine's clock."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def of(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.clock(part):
                return call(*args, **kwargs)

        return watched

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.ended[part] = time.monotonic()
        self.longest[part] = max(self.longest.get(part, 0.0), self.ended[part] - started)


def attempt(argv: list[str]) -> int:
    """`mt train` that times itself and writes the times to a file at the end."""
    from mt.cli.main import main as mt
    from mt.train.saving import Saver
    from mt.train.step import Updater
    from mt.train.trainer import Trainer

    watch = Watch()
    parts = (("update", Updater, "__call__"), ("validation", Trainer, "_validate"), ("save", Saver, "_write"))
    for part, owner, name in parts:
        setattr(owner, name, watch.of(part, getattr(owner, name)))
    code = mt(argv)
    Path(TIMES).write_text(json.dumps({"longest": watch.longest, "ended": watch.ended}))
    return code


def stop_once(command: list[str], folder: Path, updates: int, delay: float) -> dict[str, float]:
    """Start, wait for so many updates and some seconds more, stop. Raises: RuntimeError: when it ends otherwise."""
    run, said = folder / "runs" / RUN, folder / "said.txt"
    argv = [sys.executable, str(Path(__file__).resolve()), "--attempt", *command]
    before = last_step(run)
    with said.open("ab") as out:
        process = subprocess.Popen(argv, cwd=folder, stdout=out, stderr=out)
    while last_step(run) < before + updates and process.poll() is None:
        time.sleep(0.001)
    time.sleep(delay)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=600)
    gone = time.monotonic()
    if code != 75 or not (run / "checkpoints" / f"step-{last_step(run):08d}").is_dir():
        last = said.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"the run ended with {code} at step {last_step(run)}: {last}")
    times = json.loads((folder / TIMES).read_text())
    return {
        "load": os.getloadavg()[0],
        "bound": sum(times["longest"].values()),
        "saved": times["ended"]["save"] - sent,
        "gone": gone - sent,
    }


def main(argv: list[str]) -> int:
    if argv[:1] == ["--attempt"]:
        return attempt(argv[1:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("settings", nargs="*", help="settings of mt train, which override those of the toy run")
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    draw, found = random.Random(args.seed), []
    with tempfile.TemporaryDirectory(prefix="time-sigterm-") as name:
        folder = Path(name)
        write_text(folder / "train.tsv", 160, seed=1)
        write_text(folder / "dev.tsv", 12, seed=2)
        command = ["train", *SETTINGS.split(" "), f"run.name={RUN}", "train.steps=100000", *args.settings]
        print(f"{'load':>5} {'bound':>7} {'saved':>7} {'share':>6} {'gone':>7}   (seconds after the signal)")
        for _ in range(args.stops):
            try:
                # The first validation is at the seventh update, so every attempt has one.
                stop = stop_once(command, folder, updates=draw.randint(14, 28), delay=0.1 * draw.random())
            except RuntimeError as error:
                print(error, file=sys.stderr)
                return 1
            share = stop["saved"] / stop["bound"]
            print(f"{stop['load']:5.1f} {stop['bound']:7.3f} {stop['saved']:7.3f} {share:6.0%} {stop['gone']:7.3f}")
            found.append(share)
    median, most = statistics.median(found), max(found)
    print(f"the checkpoint came after {median:.0%} of the bound in the median, {most:.0%} at most")
    return 0


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
