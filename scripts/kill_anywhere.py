"""Kill a training run at random moments, resume it with the same command each time, and compare with an unbroken run.

    python scripts/kill_anywhere.py                      25 kills, each attempt a process of its own; five minutes
    python scripts/kill_anywhere.py --kills 5 --fork     children of one process that has imported torch; seconds
    python scripts/kill_anywhere.py --seed 7 train.ema=0 batch.accumulate=1

A small model with everything that draws random numbers or keeps state (dropout, word dropout, subword sampling,
accumulation, EMA, averaged checkpoints) learns number words on one thread. It saves every few updates by the clock and
at validations; the unbroken run saves at validations only. SIGKILL comes at moments drawn from the seed: during
start-up, between two updates, within a validation or a save. At the end every line of `metrics.jsonl`, except measured
times, and the SHA-256 of the weights, their EMA, the optimizer's state and the model folder must equal those of the
unbroken run. Exits with 1 if anything differs.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from mistakes import run_script

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
ZAHLEN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
SETTINGS = (
    "data.train=[train.tsv] data.dev=[dev.tsv] data.src=en data.tgt=de tokenizer.vocab_size=60 "
    "tokenizer.byte_fallback=false tokenizer.sampling=0.1 model.dim=32 model.heads=2 model.ffn_dim=48 "
    "model.encoder_layers=1 model.decoder_layers=1 model.dropout=0.1 model.word_dropout=0.05 batch.tokens=128 "
    "batch.max_length=64 batch.accumulate=2 batch.pool=60 loss.label_smoothing=0.1 optim.lr=5e-3 "
    "schedule.warmup_steps=20 train.device=cpu train.threads=1 train.precision=fp32 train.minutes=null train.ema=0.9 "
    "train.log_every=1 train.save_minutes=0.001 train.validate_every=7 train.validate_pairs=5 train.average=2 "
    "train.keep=2 decode.beam=2"
)
MEASURED = {"seconds", "src_tokens_per_s", "tgt_tokens_per_s"}


def write_text(file: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    rows = [[draw.randrange(10) for _ in range(draw.randint(2, 6))] for _ in range(count)]
    lines = [" ".join(WORDS[n] for n in row) + "\t" + " ".join(ZAHLEN[n] for n in row) + "\n" for row in rows]
    file.write_text("".join(lines), encoding="utf-8")


class Attempt:
    """One start of the command, as a new process or as a forked child; its output goes to a file."""

    def __init__(self, argv: list[str], folder: Path, *, fork: bool) -> None:
        self.said = folder / "said.txt"
        self.inner = None
        if not fork:
            with self.said.open("ab") as out:
                self.inner = subprocess.Popen([sys.executable, "-m", "mt", *argv], cwd=folder, stdout=out, stderr=out)
            self.pid = self.inner.pid
            return
        self.pid = os.fork()
        if self.pid == 0:
            os.chdir(folder)
            out = os.open(self.said, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(out, 1)
            os.dup2(out, 2)
            from mt.cli.main import main

            code = 1
            try:
                code = main(argv)
                sys.stdout.flush()
            finally:
                os._exit(code)

    def ended(self, seconds: float) -> int | None:
        """The exit code (negative: a signal) within some seconds; None: it still runs."""
        end = time.monotonic() + seconds
        while True:
            if self.inner is not None:
                code = self.inner.poll()
                if code is not None:
                    return code
            else:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= end:
                return None
            time.sleep(0.001)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.ended(60)


def numbers_of(run: Path) -> list[dict]:
    """The lines of `metrics.jsonl`, of each step and kind the last, without measured times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().split("\n")[:-1]]
    found = {(line["kind"], line["step"]): {k: v for k, v in line.items() if k not in MEASURED} for line in lines}
    return list(found.values())


def hashes_of(run: Path, steps: int) -> dict[str, str]:
    last = run / "checkpoints" / f"step-{steps:08d}"
    files = [*sorted(last.glob("*.safetensors")), run / "model" / "model.safetensors"]
    return {f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def moment(run: Path, lines: int) -> str:
    """The phase of a killed run, from its folder. Args: lines: of metrics before the attempt."""
    if any((run / "checkpoints").glob(".tmp-*")) or any(run.glob(".tmp-model-*")):
        return "writing a checkpoint or the model"
    return "training" if lines_in(run) != lines else "starting"


def lines_in(run: Path) -> int:
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def last_step(run: Path) -> int:
    """Of the last whole line of `metrics.jsonl`."""
    file = run / "metrics.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def compare(folder: Path, steps: int) -> list[str]:
    runs = folder / "runs"
    whole, broken = numbers_of(runs / "unbroken"), numbers_of(runs / "killed")
    differences = [
        f"line {n}: {a} is not {b}" for n, (a, b) in enumerate(zip(whole, broken, strict=False), 1) if a != b
    ]
    if len(whole) != len(broken):
        differences.append(f"{len(whole)} lines of metrics are not {len(broken)}")
    one, other = hashes_of(runs / "unbroken", steps), hashes_of(runs / "killed", steps)
    differences += [f"{name} differs" for name in one | other if one.get(name) != other.get(name)]
    said = (folder / "said.txt").read_text(encoding="utf-8", errors="replace")
    return differences + faults(said)


def faults(said: str) -> list[str]:
    """The faults of mt in the output of attempts: internal errors, and tracebacks that pass through it.

    The data worker of a killed attempt may lose its connection at any moment, and Python reports that too.
    """
    package = str(Path(__file__).resolve().parents[1] / "mt") + os.sep
    found = [line for line in said.split("\n") if "internal error" in line]
    for frames, error in re.findall(r"^Traceback .*\n((?:[ \t].*\n)*)(.*)", said, re.MULTILINE):
        if package in frames:
            found.append(f"a traceback: {error}")
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--steps", type=int, default=140)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fork", action="store_true", help="fork this process instead of starting new ones")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    parser.add_argument("settings", nargs="*", help="settings of mt train, which override those of this script")
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    if args.fork:
        import torch.utils.tensorboard  # noqa: F401

        import mt.build
        import mt.cli.hydra_job  # noqa: F401
    folder = args.keep or Path(tempfile.mkdtemp(prefix="kill-anywhere-"))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "train.tsv", 160, seed=1)
    write_text(folder / "dev.tsv", 12, seed=2)
    command = ["train", *SETTINGS.split(" "), f"train.steps={args.steps}", *args.settings]
    differences = work(args, folder, command)
    if args.keep is None and not differences:
        shutil.rmtree(folder)
    return 1 if differences else 0


def work(args: argparse.Namespace, folder: Path, command: list[str]) -> list[str]:
    started = time.monotonic()
    first = Attempt([*command, "run.name=unbroken", "train.save_minutes=null"], folder, fork=args.fork)
    metrics = folder / "runs/unbroken/metrics.jsonl"
    while first.ended(0.001) is None and not (metrics.exists() and metrics.stat().st_size):
        pass
    to_start = time.monotonic() - started
    if first.ended(3600) != 0:
        print(f"the unbroken run failed: {folder / 'said.txt'}")
        return ["the unbroken run failed"]
    to_train = time.monotonic() - started - to_start
    print(f"unbroken: {args.steps} steps, {to_start:.1f} s to start and {to_train:.1f} s to train")

    draw, run, hits = random.Random(args.seed), folder / "runs/killed", Counter()
    for number in range(args.kills):
        # Most kills come during training, each in its own part of the run, so that the next one has a part left.
        after = int(args.steps * 0.95 * (number + draw.random()) / args.kills) if draw.random() < 0.75 else None
        delay = draw.random() * (3 * to_train / args.steps if after is not None else 0.8 * to_start)
        lines = lines_in(run)
        attempt = Attempt([*command, "run.name=killed"], folder, fork=args.fork)
        code = None
        while after is not None and code is None and last_step(run) < after:
            code = attempt.ended(0.001)
        code = attempt.ended(delay) if code is None else code
        if code is None:
            attempt.kill()
            hits[moment(run, lines)] += 1
        else:
            hits[f"over, with exit code {code}"] += 1
    last = Attempt([*command, "run.name=killed"], folder, fork=args.fork).ended(3600)
    print(f"{args.kills} attempts to kill: {', '.join(f'{n} {what}' for what, n in hits.most_common())}")
    differences = compare(folder, args.steps) if last == 0 else [f"the last attempt ended with {last}"]
    if differences:
        print(f"different from the unbroken run (see {folder}):\n" + "\n".join(differences[:10]))
    else:
        print("every loss, learning rate, score and weight equals that of the unbroken run")
    return differences


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
