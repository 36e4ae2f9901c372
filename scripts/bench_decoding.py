"""Translation speed here, beside CTranslate2 with the same weights.

    python scripts/bench_decoding.py MODEL --data DIR/test_2016_flickr --src en --tgt de

MODEL is a model as for `mt translate`; the text is DIR/test_2016_flickr.en and .de, plain or .gz. Needs the extra
`ct2`.

Every system reads and writes text in a process of its own: in one process, the thread pools of two libraries slow each
other down by a third and more. Loading is timed separately. Each system's batch size is the best of several, tried on
the whole text. Then the systems take turns, round after round, so that a busy moment affects all; the median round
counts: sentences and output tokens (end marks counted) a second, seconds of processor time, BLEU with its signature,
output tokens for each reference token, and the share of translations that are identical to those of the first system.

The work is equal where both systems have the setting: beam, scores divided by the length (`length_penalty=1`), no
shortlist of the vocabulary, no minimum length, <s> and <pad> never produced. All stop when as many hypotheses as the
beam is wide have ended (`decode.patience=1`), except ours marked `exact`, which continue until no open hypothesis can
win. `row steps` is the cost of the rule: how often ours extended a hypothesis, per output token and beam. One thing
differs: our maximum length depends on the source, theirs is one number for all, here the greatest of ours.

`1x2` is two threads on one batch, `2x1` a thread for each of two batches. CTranslate2 runs in both ways. So does ours
with `--shapes`: `threads` are two Python threads with a model each, `processes` two processes, half of the sentences
each, dealt by turns from the longest to the shortest. The last column divides the first system's seconds by this
system's of the same round, and takes the median of the rounds: a busy machine affects it less than the rates.

The environment sets how threads wait (`OMP_WAIT_POLICY=passive` leaves the processor to others). The machine must be
idle. Where it is not, `--threads 1` with `--clock cpu` compares processor time.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import torch
from mistakes import run_script

from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.decode.translation import Translation
from mt.decode.translator import Translator
from mt.interchange.ct2 import write_ct2
from mt.text.lines import read_lines
from mt.text.metrics import bleu, bleu_tokenizer_for

T = TypeVar("T")
Written = tuple[list[str], int]  # the texts, and their number of tokens, end marks counted


@dataclass(frozen=True)
class Task:
    """The settings that all systems share."""

    model: Path
    sources: list[str]
    beam: int
    threads: int
    longest: int  # output of CTranslate2, in tokens
    clock: str


@dataclass(frozen=True)
class Spec:
    """The settings of one system."""

    name: str
    precision: str
    patience: float | None = 1.0
    workers: int = 1  # batches at a time, which share the threads
    processes: bool = False  # of ours: the workers are processes, not threads
    exported: Path | None = None  # None: ours


@dataclass(frozen=True)
class Turn:
    seconds: float
    processor: float
    written: Written


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast does a model translate here?")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="path of both files, without the language suffix")
    parser.add_argument("--src", default="en")
    parser.add_argument("--tgt", default="de")
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--ours", nargs="*", default=["fp32", "bf16", "int8"], help="precisions")
    parser.add_argument(
        "--shapes",
        nargs="*",
        choices=["threads", "processes"],
        default=[],
        help="also ours with a batch for each thread",
    )
    parser.add_argument(
        "--rules", nargs="+", choices=["patience", "exact"], default=["patience", "exact"], help="of ours"
    )
    parser.add_argument("--theirs", nargs="*", default=["float32", "int8"], help="compute types")
    parser.add_argument("--our-batches", type=int, nargs="+", default=[1024, 4096, 16384], help="source tokens")
    parser.add_argument("--their-batches", type=int, nargs="+", default=[32, 64, 250], help="sentences")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="the first sentences only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    return parser.parse_args()


def ours(task: Task, spec: Spec) -> Callable[[int], Written]:
    """The workers of a spec that are threads of this process."""
    workers = 1 if spec.processes else spec.workers
    set_up_cpu(task.threads // spec.workers)
    translators = [load(task.model, device="cpu", precision=spec.precision) for _ in range(workers)]
    section = replace(translators[0].section, beam=task.beam, length_penalty=1.0, patience=spec.patience)
    shares = dealt(task.sources, workers)
    pool = ThreadPoolExecutor(workers)

    def share(translator: Translator, places: Sequence[int]) -> list[Translation]:
        return [found[0] for found in translator.search([task.sources[i] for i in places])]

    def translate(batch: int) -> Written:
        for translator in translators:
            translator.section = replace(section, batch_tokens=batch)
        found = (
            share(translators[0], shares[0]) if workers == 1 else gathered(shares, pool.map(share, translators, shares))
        )
        return [one.text for one in found], sum(len(one.piece_log_probs) for one in found)

    return translate


def dealt(sources: Sequence[str], workers: int) -> list[list[int]]:
    """The indices of each worker's sentences, dealt by turns from the longest to the shortest."""
    if workers == 1:
        return [[*range(len(sources))]]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]), reverse=True)
    return [order[worker::workers] for worker in range(workers)]


def gathered(shares: Sequence[Sequence[int]], found: Iterable[Sequence[T]]) -> list[T]:
    """The workers' results, in the order of the sentences."""
    by_place = {
        place: one for places, some in zip(shares, found, strict=True) for place, one in zip(places, some, strict=True)
    }
    return [by_place[place] for place in range(len(by_place))]


def theirs(task: Task, spec: Spec) -> Callable[[int], Written]:
    import ctranslate2

    tokenizer = load(task.model, device="cpu").tokenizer
    engine = ctranslate2.Translator(
        str(spec.exported),
        compute_type=spec.precision,
        inter_threads=spec.workers,
        intra_threads=task.threads // spec.workers,
    )
    marks = tokenizer.pieces_target([tokenizer.bos, tokenizer.pad])
    options: dict[str, Any] = {
        "beam_size": task.beam, "length_penalty": 1.0, "min_decoding_length": 0, "max_decoding_length": task.longest,
        "suppress_sequences": [[mark] for mark in marks],
    }  # fmt: skip
    ids = {piece: i for i, piece in enumerate(tokenizer.pieces_target(range(tokenizer.tgt_size)))}

    def translate(batch: int) -> Written:
        pieces = [tokenizer.pieces_source(sentence[:-1]) for sentence in tokenizer.encode_source(task.sources)]
        found = [one.hypotheses[0] for one in engine.translate_batch(pieces, max_batch_size=batch, **options)]
        return [tokenizer.decode_target([ids[piece] for piece in one]) for one in found], sum(
            len(one) + 1 for one in found
        )

    return translate


def work(connection: Connection, task: Task, spec: Spec) -> None:
    """A system's process: for each batch size it receives, it translates the text."""
    started = time.perf_counter()
    translate = theirs(task, spec) if spec.exported else ours(task, spec)
    connection.send(time.perf_counter() - started)
    clock = time.process_time if task.clock == "cpu" else time.perf_counter
    while batch := connection.recv():
        processor, started = time.process_time(), clock()
        written = translate(batch)
        connection.send(Turn(clock() - started, time.process_time() - processor, written))


@dataclass
class System:
    """Processes of a system: one, or several with a share of the sentences each."""

    spec: Spec
    shares: list[list[int]]
    connections: list[Connection]
    processes: list[BaseProcess]
    load_seconds: float
    batch: int = 0
    turns: list[Turn] = field(default_factory=list)

    @classmethod
    def start(cls, task: Task, spec: Spec) -> "System":
        spawn = multiprocessing.get_context("spawn")  # a fork would inherit the threads of the other library
        shares = dealt(task.sources, spec.workers if spec.processes else 1)
        pipes = [spawn.Pipe() for _ in shares]
        processes: list[BaseProcess] = []
        for (_, there), places in zip(pipes, shares, strict=True):
            part = replace(task, sources=[task.sources[i] for i in places])
            processes.append(spawn.Process(target=work, args=(there, part, spec), daemon=True))
            processes[-1].start()
        here = [pipe[0] for pipe in pipes]
        return cls(spec, shares, here, processes, load_seconds=max(one.recv() for one in here))

    def turn(self, batch: int) -> Turn:
        for connection in self.connections:
            connection.send(batch)
        turns: list[Turn] = [connection.recv() for connection in self.connections]
        texts = gathered(self.shares, [turn.written[0] for turn in turns])
        seconds = max(turn.seconds for turn in turns)
        return Turn(seconds, sum(turn.processor for turn in turns), (texts, sum(turn.written[1] for turn in turns)))

    def choose(self, batches: Sequence[int]) -> None:
        """Choose the batch size that is fastest in the second of two rounds."""
        self.batch = min(batches, key=lambda batch: (self.turn(batch), self.turn(batch))[1].seconds)

    def end(self) -> None:
        for connection, process in zip(self.connections, self.processes, strict=True):
            connection.send(0)
            process.join()


def row_steps(translator: Translator, sources: Sequence[str]) -> tuple[int, int]:
    """The number of extended hypotheses, and of output tokens."""
    count = 0
    step = translator.stepper.step

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += len(tokens)
        return step(tokens)

    translator.stepper.step = counted  # pyright: ignore[reportAttributeAccessIssue]
    found = translator.search(sources)
    return count, sum(len(best[0].piece_log_probs) for best in found)


def specs(args: argparse.Namespace, place: Path) -> list[Spec]:
    many = args.threads
    found: list[Spec] = []
    if "patience" in args.rules:
        found += [Spec(f"ours {name}", name) for name in args.ours]
        found += [
            Spec(f"ours {name} {many}x1 {kind}", name, workers=many, processes=kind == "processes")
            for name in args.ours for kind in args.shapes
        ]  # fmt: skip
    if "exact" in args.rules:
        found += [Spec(f"ours {name} exact", name, patience=None) for name in args.ours]
    for name in args.theirs:
        for workers in sorted({1, many}):
            shape = f"{workers}x{many // workers}"
            found.append(Spec(f"CTranslate2 {name} {shape}", name, workers=workers, exported=place / name))
    return found


def run(task: Task, args: argparse.Namespace, place: Path) -> list[System]:
    """All systems, after their rounds."""
    systems = [System.start(task, spec) for spec in specs(args, place)]
    for system in systems:
        system.choose(args.their_batches if system.spec.exported else args.our_batches)
        print(f"{system.spec.name}: batches of {system.batch}", file=sys.stderr, flush=True)
    for number in range(1, args.rounds + 1):
        for system in systems:
            system.turns.append(system.turn(system.batch))
        print(f"round {number} of {args.rounds}", file=sys.stderr, flush=True)
    for system in systems:
        system.end()
    return systems


def report(systems: list[System], references: Sequence[str], tgt: str, pieces: int) -> None:
    score = None
    print("system                     batch   load s  sentences/s  tokens/s  cpu s   BLEU  length  identical  paired")
    for system in systems:
        texts, count = system.turns[-1].written
        seconds = statistics.median(turn.seconds for turn in system.turns)
        processor = statistics.median(turn.processor for turn in system.turns)
        score = bleu(texts, references, tokenize=bleu_tokenizer_for(tgt))
        same = sum(a == b for a, b in zip(texts, systems[0].turns[-1].written[0], strict=True)) / len(texts)
        paired = statistics.median(a.seconds / b.seconds for a, b in zip(systems[0].turns, system.turns, strict=True))
        print(
            f"{system.spec.name:26} {system.batch:5} {system.load_seconds:8.2f} {len(texts) / seconds:12.1f} "
            f"{count / seconds:9.0f} {processor:6.2f} {score.value:6.2f} {count / pieces:7.3f} {same:10.1%} "
            f"{paired:7.2f}"
        )
    print(f"BLEU {score.signature if score else None}", flush=True)


def main() -> None:
    args = parse()
    files = [next(p for p in (Path(f"{args.data}.{end}"), Path(f"{args.data}.{end}.gz")) if p.exists())
             for end in (args.src, args.tgt)]  # fmt: skip
    sources, references = (list(read_lines(file))[: args.limit] for file in files)
    set_up_cpu(args.threads)
    plain = load(args.model, device="cpu", precision="fp32")
    pieces = sum(len(ids) + 1 for ids in plain.tokenizer.encode_target(references))
    longest = longest_output(plain, sources)
    with tempfile.TemporaryDirectory() as place:
        for name in args.theirs:
            write_ct2(plain.stepper.model, plain.tokenizer, Path(place) / name, quantization=name)
        for beam in args.beams:
            print(f"\nbeam {beam}, {len(sources):,} sentences, {args.threads} threads, {args.clock} clock")
            for patience in (None, 1.0) if args.ours else ():
                plain.section = replace(plain.section, beam=beam, length_penalty=1.0, patience=patience)
                steps, out = row_steps(plain, sources[:200])
                print(
                    f"patience {patience}, row steps of ours on 200 sentences: {steps / (out * beam):.3f}", flush=True
                )
            task = Task(args.model, sources, beam, args.threads, longest, args.clock)
            report(run(task, args, Path(place)), references, args.tgt, pieces)


def longest_output(translator: Translator, sources: Sequence[str]) -> int:
    section = translator.section
    longest = max(len(ids) for ids in translator.tokenizer.encode_source(sources))
    return min(translator.max_length, int(section.max_ratio * longest) + section.max_extra)


if __name__ == "__main__":
    run_script(main)
