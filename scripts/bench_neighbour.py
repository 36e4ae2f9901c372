"""The rate of work beside one busy program, and the cost of mt's way of waiting on an idle machine.

    python scripts/bench_neighbour.py --model runs/my-run --source test.en --target test.de --rounds 5 \\
        data.train='[a.en,a.de]' data.dev='[d.en,d.de]' model=small batch.tokens=4096 train.precision=bf16

Trains (target tokens/s), translates and aligns (sentences/s), each idle and beside a process that keeps one core busy
and is not pinned, with mt's way of waiting (`mt/compute/waiting.py`) and with OpenMP's own. All processes run during
the whole benchmark and take turns `--rounds` times; only one works at a time. The settings are those of `mt train`;
nothing is saved. The machine must be idle otherwise.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from mistakes import run_script

from mt.cli.compose import compose
from mt.cli.doctor import cpu_model
from mt.compute.host import CHOSEN_BY_USER, choose_waiting, processors

WAYS = {"mt": {}, "OpenMP's own": {"GOMP_SPINCOUNT": "300000"}}
BUSY = "while True: pass"
Work = Callable[[], int]  # does some work and returns its amount


def main() -> None:
    args, settings = parser().parse_known_args()
    if args.worker:
        choose_waiting()
        serve(WORK[args.worker](args, settings))
        return
    compose(settings)  # before workers are started with them
    print(f"{processors()} cores, {cpu_model()}; {args.rounds} rounds of {args.seconds:g} s; medians")
    print(f"{'work':<12}{'waiting':<16}{'idle':>10}{'beside':>10}{'share':>8}")
    for task in args.tasks:
        workers = {way: start(task, variables) for way, variables in WAYS.items()}
        rates: dict[tuple[str, bool], list[float]] = {}
        for _ in range(args.rounds):
            for beside in (False, True):
                neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if beside else None
                try:
                    for way, worker in workers.items():
                        rates.setdefault((way, beside), []).append(ask(worker, args.seconds))
                finally:
                    if neighbour is not None:
                        neighbour.kill()
                        neighbour.wait()
        for way, worker in workers.items():
            worker.terminate()
            idle, busy = (statistics.median(rates[way, beside]) for beside in (False, True))
            print(f"{task:<12}{way:<16}{idle:>10,.0f}{busy:>10,.0f}{busy / idle:>8.0%}", flush=True)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--model", type=Path, help="the model for translation and alignment")
    parser.add_argument("--source", type=Path, help="text to translate, and to align with --target")
    parser.add_argument("--target", type=Path)
    parser.add_argument("--threads", type=int, help="of training; the default is all cores")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="of one measurement")
    parser.add_argument("--worker", choices=WORK, help=argparse.SUPPRESS)
    return parser


def start(task: str, variables: dict[str, str]) -> subprocess.Popen[str]:
    """Start a process, and wait until it is ready for `ask`."""
    env = {name: value for name, value in os.environ.items() if name not in CHOSEN_BY_USER} | variables
    worker = subprocess.Popen(
        [sys.executable, __file__, "--worker", task, *sys.argv[1:]],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert worker.stdout is not None
    if worker.stdout.readline() != "ready\n":
        sys.exit(f"the process for {task} did not start; its message is above")
    return worker


def ask(worker: subprocess.Popen[str], seconds: float) -> float:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{seconds}\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def serve(work: Work) -> None:
    """For each number of seconds on stdin, work for that long and print the rate."""
    work()
    print("ready", flush=True)
    for line in sys.stdin:
        started, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < float(line):
            done += work()
        print(done / passed, flush=True)


# ---- the three kinds of work ------------------------------------------------------------------------------------


def training(args: argparse.Namespace, settings: list[str]) -> Work:
    from bench_training import make_updater

    from mt.build import make_model, prepare_data
    from mt.compute.device import pick_device, pick_precision, set_up_cpu
    from mt.data.batching import BatchStream

    config = compose(settings)
    prepared = prepare_data(config)
    set_up_cpu(args.threads)
    device = pick_device("cpu")
    model = make_model(config, prepared, device)
    updater = make_updater(config, prepared, model, pick_precision(config.train.precision, device))
    stream = BatchStream(prepared.train, config.batch, seed=config.train.seed, workers=0, pin=False)

    def work() -> int:
        batch = next(stream)
        updater([batch], 1e-4, seeds=[1]).read()
        return batch.target_layout.num_rows

    return work


def translating(args: argparse.Namespace, settings: list[str]) -> Work:
    import mt
    from mt.text.lines import read_lines

    translator = mt.load(args.model)
    set_up_all_threads()
    parts = cycle(in_parts(list(read_lines(args.source))))
    return lambda: len(translator.translate(next(parts)))


def aligning(args: argparse.Namespace, settings: list[str]) -> Work:
    from mt.cli.align import open_aligner, parse
    from mt.text.lines import read_lines

    files = ["--source", str(args.source), "--target", str(args.target)]
    aligner = open_aligner(args.model, parse([str(args.model), *files, "--device", "cpu"]))
    set_up_all_threads()
    parts = cycle(in_parts(list(zip(read_lines(args.source), read_lines(args.target), strict=True))))

    def work() -> int:
        sources, targets = zip(*next(parts), strict=True)
        return len(list(aligner.observe(list(sources), list(targets))))

    return work


def set_up_all_threads() -> None:
    from mt.compute.device import set_up_cpu

    set_up_cpu(None)


def in_parts(items: list, size: int = 100) -> list[list]:
    return [items[at : at + size] for at in range(0, len(items), size)]


WORK: dict[str, Callable[[argparse.Namespace, list[str]], Work]] = {
    "train": training,
    "translate": translating,
    "align": aligning,
}


if __name__ == "__main__":
    run_script(main)
