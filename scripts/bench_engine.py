"""Rates of the engines torch and CTranslate2 on one model, in turns, with the share of equal translations and BLEU.

    python scripts/bench_engine.py MODEL --input test.en --references test.de --rounds 3

Each system has a process of its own, because thread pools of two libraries in one process slow each other down; the
systems take turns, so that a busy hour meets all of them. Loading, and a first call on 64 lines, are not counted. A row
has the median rate in sentences a second, its range, the processor seconds per 1,000 sentences, which other programs
on the machine change less than the rate, the translations that are equal to those of the first row, and BLEU.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from mistakes import run_script

from mt.text.metrics import bleu

SYSTEMS = {
    "torch, fp32": {"precision": "fp32"},
    "torch, auto": {"precision": "auto"},
    "ct2, float32": {"engine": "ct2"},
    "ct2, int8": {"engine": "ct2", "quantization": "int8"},
}
CHILD = """
import json, sys, time, mt
from mt.compute.device import set_up_cpu
set_up_cpu(None)
model, lines, settings, beam = json.load(sys.stdin)
translator = mt.load(model, device="cpu", **settings)
translator.translate(lines[:64], beam=beam)
wall, cpu = time.perf_counter(), time.process_time()
said = translator.translate(lines, beam=beam)
print(json.dumps([said, time.perf_counter() - wall, time.process_time() - cpu]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--references", type=Path)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    args = parser.parse_args()
    lines = args.input.read_text(encoding="utf-8").split("\n")[: args.lines]
    references = args.references.read_text(encoding="utf-8").split("\n")[: args.lines] if args.references else []
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.0f} before; {len(lines):,} lines, {args.rounds} rounds in turns\n")
    print(
        "| beam | system | sentences/s | range | processor s per 1,000 | equal | BLEU |\n|---|---|---|---|---|---|---|"
    )
    for beam in args.beams:
        runs = {name: [] for name in SYSTEMS}
        for _ in range(args.rounds):
            for name, settings in SYSTEMS.items():
                runs[name].append(one_run(args.model, lines, settings, beam))
        first = next(iter(runs.values()))[0][0]
        for name, some in runs.items():
            said = some[0][0]
            rates = sorted(len(lines) / wall for _, wall, _ in some)
            cpu = 1000 / len(lines) * statistics.median(seconds for _, _, seconds in some)
            same = sum(one == other for one, other in zip(first, said, strict=True)) / len(said)
            score = f"{bleu(said, references).value:.1f}" if references else ""
            print(
                f"| {beam} | {name} | {statistics.median(rates):.0f} | {rates[0]:.0f} to {rates[-1]:.0f} | {cpu:.2f} | "
                f"{same:.1%} | {score} |",
                flush=True,
            )


def one_run(model: str, lines: list[str], settings: dict[str, str], beam: int) -> tuple[list[str], float, float]:
    """The translations, and the seconds and processor seconds that they took."""
    task = json.dumps([model, lines, settings, beam])
    done = subprocess.run([sys.executable, "-c", CHILD], input=task, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    said, wall, cpu = json.loads(done.stdout)
    return said, wall, cpu


if __name__ == "__main__":
    run_script(main)
