"""The time of one line: `echo ... | mt translate RUN`, in parts.

    python scripts/bench_startup.py runs/en-de

Each round starts, one after the other, Python alone, `mt --help`, `import torch` and the whole command. A further
process does the same work as the command and reads the clock at four points: after the imports, after loading the
model, after the first line and after the second. The rest of the whole command is Python's own start and end. Wall time
needs an idle machine; processor time is printed beside it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from mistakes import run_script

from mt.cli.doctor import cpu_model

LINE = "What did you do yesterday evening?\n"
PARTS = """
import gc, json, sys, time
gc.set_threshold(100_000, 20, 20)  # as `mt` does
clocks = [(time.perf_counter(), time.process_time())]
def mark(): clocks.append((time.perf_counter(), time.process_time()))
import mt.cli.translate, mt.evaluate, mt.log
from mt.compute.device import set_up_cpu
from mt.decode.load import load
mark()
mt.log.setup()
set_up_cpu(None)
translator = load(sys.argv[1])
mark()
for _ in range(2):
    translator.translate([sys.argv[2]])
    mark()
print(json.dumps([[b - a for a, b in zip(one, other)] for one, other in zip(clocks, clocks[1:])]))
"""
Cost = tuple[float, float]  # seconds of wall time, and of the processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a run or a model folder")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    python, mt = sys.executable, [sys.executable, "-m", "mt"]
    commands = {
        "python -c pass": [python, "-c", "pass"],
        "mt --help": [*mt, "--help"],
        "import torch": [python, "-c", "import torch"],
        "mt translate, one line": [*mt, "translate", str(args.model)],
    }
    inside = ("  imports", "  load", "  first line", "  second line, not in it")
    costs: dict[str, list[Cost]] = {name: [] for name in (*commands, *inside)}
    for _ in range(args.rounds):
        for name, command in commands.items():
            costs[name].append(cost(command))
        output = subprocess.run([python, "-c", PARTS, args.model, LINE], stdout=subprocess.PIPE, check=True).stdout
        for name, (wall, processor) in zip(inside, json.loads(output), strict=True):
            costs[name].append((wall, processor))
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{cpu_model()}, {cores} cores; Python {platform.python_version()}, torch {torch.__version__}")
    print(f"load average {load:.1f}; seconds, medians and least of {args.rounds}")
    print(f"{'':26}{'wall':>8}{'least':>8}{'cpu':>8}{'least':>8}")
    for name, some in costs.items():
        walls, processor = zip(*some, strict=True)
        print(f"{name:26}{median(walls):8.3f}{min(walls):8.3f}{median(processor):8.3f}{min(processor):8.3f}")


def cost(command: list[str]) -> Cost:
    """Of a process from its start to its end, with a line on stdin."""
    begin, before = time.perf_counter(), os.times()
    subprocess.run(command, input=LINE.encode(), stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begin, used


if __name__ == "__main__":
    run_script(main)
