"""Training speed beside other toolkits: the same text, tokens, shape, precision and batch size, in pairs.

    python scripts/bench_peers.py --data DIR --work DIR --peers eole hf marian fairseq --model small \\
        --precision bf16 fp32 --threads 2 --updates 40 --rounds 2 --out peers.json

DIR holds `train.en` and `train.de`, plain or compressed. Each toolkit is installed from the package index into a
virtual environment of its own under `--work`, once; `--install-only` stops after that. One joint BPE model is trained,
and all toolkits use its tokens. Then, for every round and precision: ours, a peer, ours, the next peer, and so on, one
at a time, on the CPU; the ratio of a pair is our rate over the peer's. A peer that cannot be installed or run is
reported with its error and left out.

The rate is target tokens a second, end marks counted and padding not, from the tenth update to the last, by the arrival
of log lines. Memory is that of all processes of a toolkit together. The loss is the mean of the last ten updates per
target token, in nats and with label smoothing, which most of them print. The machine must be idle.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from mistakes import run_script
from peers import eole_peer, fairseq_peer, hf_peer, marian_peer, ours, pieces, recipe
from peers.install import PeerError, install
from peers.job import SHAPES, Job, Peer
from peers.measure import Measured, run
from peers.report import report

from mt.errors import MtError

PEERS = {peer.name: peer for peer in (eole_peer.PEER, hf_peer.PEER, marian_peer.PEER, fairseq_peer.PEER)}
KEPT_BYTES = 1 << 20
BUSY = 0.3  # load average above which the script warns


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train.en and train.de")
    parser.add_argument("--work", type=Path, required=True, help="folder for environments, tokenised text and logs")
    parser.add_argument("--peers", nargs="+", choices=sorted(PEERS), default=list(PEERS))
    parser.add_argument("--model", choices=sorted(SHAPES), default="small")
    parser.add_argument("--precision", nargs="+", choices=("bf16", "fp32"), default=["bf16", "fp32"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=40, help=f"of each run, a multiple of {recipe.LOG_EVERY}")
    parser.add_argument("--tokens", type=int, default=4096, help="target tokens an update")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer-env", nargs="+", default=[], metavar="NAME=VALUE", help="variables for the peers only")
    parser.add_argument("--out", type=Path, help="write all results here as JSON")
    parser.add_argument("--install-only", action="store_true", help="stop before timing")
    options = parser.parse_args(arguments)
    if options.updates % recipe.LOG_EVERY or options.updates < recipe.WARM_UP + recipe.LOG_EVERY:
        parser.error(f"--updates must be a multiple of {recipe.LOG_EVERY} from {recipe.WARM_UP + recipe.LOG_EVERY} on")
    if min(options.threads, options.rounds) < 1 or options.tokens < 256:
        parser.error("--threads and --rounds must be at least 1, --tokens at least 256")
    if wrong := [pair for pair in options.peer_env if "=" not in pair]:
        parser.error(f"--peer-env takes NAME=VALUE, but was given {wrong[0]}")
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def install_all(names: Sequence[str], work: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The environments by peer, and the errors by peer."""
    found, errors = {}, {}
    for name in names:
        try:
            found[name] = install(PEERS[name], work)
        except PeerError as error:
            errors[name] = str(error)
            say(f"{name}: not installed: {error}")
    return found, errors


class Bench:
    """Runs, one after another, and their results."""

    def __init__(self, options: argparse.Namespace, text: Path, venvs: Mapping[str, Path]) -> None:
        self.options = options
        self.text = text
        self.venvs = venvs
        self.extra = dict(pair.partition("=")[::2] for pair in options.peer_env)
        self.pairs: list[dict[str, Any]] = []
        self.errors: dict[str, str] = {}

    def one(self, peer: Peer, precision: str, place: str) -> Measured:
        folder = self.options.work / "runs" / f"{place}-{peer.name}-{precision}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        peer = replace(peer, environment={**peer.environment, **self.extra}) if peer is not ours.PEER else peer
        job = Job(
            shape=SHAPES[self.options.model],
            precision=precision,
            threads=self.options.threads,
            updates=self.options.updates,
            tokens=self.options.tokens,
            folder=str(folder),
            text=str(self.text),
            venv=str(self.venvs.get(peer.name, "")),
        )
        measured = run(peer, job)
        tidy(folder)
        loss = "no loss" if measured.loss is None else f"loss {measured.loss:.3f}"
        say(
            f"{place} {precision} {peer.name:<8} {measured.rate:8,.0f} target tokens/s  {loss}  "
            f"{measured.peak_gib:.2f} GiB  {measured.seconds:.0f} s in all"
        )
        return measured

    def all(self) -> int:
        """Run every round; returns the exit code. Measurements are kept when the run is interrupted."""
        try:
            for number in range(1, self.options.rounds + 1):
                self.round(number)
        except PeerError as error:  # ours: nothing can be compared
            say(f"error: ours {error}")
            return 1
        except KeyboardInterrupt:
            say("stopped; what was measured so far:")
            return 130
        return 0 if self.pairs else 1

    def round(self, number: int) -> None:
        """Ours and a peer by turns. A peer that fails is left out afterwards."""
        for precision in self.options.precision:
            for name in self.venvs:
                key = f"{name} {precision}"
                if precision not in PEERS[name].precisions or key in self.errors:
                    continue
                place = f"round{number}-{name}"
                mine = self.one(ours.PEER, precision, place)
                try:
                    theirs = self.one(PEERS[name], precision, place)
                except PeerError as error:
                    self.errors[key] = str(error)
                    say(f"{key}: {error}")
                    continue
                self.pairs.append(
                    {
                        "peer": name,
                        "precision": precision,
                        "round": number,
                        "ours": asdict(mine),
                        "theirs": asdict(theirs),
                    }
                )


def tidy(folder: Path) -> None:
    """Keep the log and the configuration; models of some runs would fill a disk."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or path.stat().st_size > KEPT_BYTES:
            path.unlink()


def processor() -> str:
    """The name in /proc/cpuinfo, or the platform's."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().split("\n") if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def conditions(options: argparse.Namespace, load: float) -> dict[str, Any]:
    settings = {name: str(v) if isinstance(v, Path) else v for name, v in vars(options).items()}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average_at_start": load,
        "settings": settings,
        "versions": {name: PEERS[name].version for name in options.peers},
    }


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    options = parse_arguments(arguments)
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):  # background jobs of a shell ignore SIGINT
        signal.signal(number, stop)
    load = os.getloadavg()[0]
    if load > BUSY and not options.install_only:
        say(f"WARNING: the load average is {load:.2f}; figures of a machine that is not idle are worth nothing.")
    try:
        text = pieces.prepare(options.data, options.work)
        venvs, errors = install_all(options.peers, options.work)
    except MtError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if options.install_only:
        return 1 if errors else 0
    bench = Bench(options, text, venvs)
    code = bench.all()
    record = {**conditions(options, load), "pairs": bench.pairs, "errors": {**errors, **bench.errors}}
    print(report(record, PEERS))
    if options.out is not None:
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
