"""How fast does a model translate here, and how fast does CTranslate2 with the same weights?

    python scripts/bench_decoding.py MODEL --data DIR/test_2016_flickr --src en --tgt de

MODEL is what `mt translate` takes; the text is DIR/test_2016_flickr.en and .de, plain or .gz. Needs the extra `ct2`.

Every system gets text and gives text. Loading is timed apart. Each system's batch size is the best of some on the first
`--trial` sentences. Then systems take turns, round after round, so that a busy moment falls on all; the median round
counts: sentences and output pieces (end marks
counted) a second, seconds of processor time, BLEU with its signature, output pieces for each reference piece, and the
share of translations that are letter by letter those of the first system.

The work is made equal where both have a say: beam, scores divided by the length (`length_penalty=1`), no shortlist of
the vocabulary, no shortest output, <s> and <pad> never produced. Ours goes on until nothing open can still win;
CTranslate2 stops when as many hypotheses as the beam is wide have ended, and so do ours with `--patience 1`: run both
ways. `row steps` says what the rule costs: how often ours extended a hypothesis, by the pieces of what came out times
the beam. One thing stays unequal: our longest output hangs on the source, theirs is one number for all, here the
greatest of ours.

Two libraries of threads in one process disturb each other: CTranslate2 is faster in a process of its own, so measure it
there as well (`--ours` with nothing behind it), also with one thread for each of two batches (`--their-workers 2`).

The machine must be idle. `--threads 1` with `--clock cpu` compares by processor time where it is not.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mt.build import load
from mt.corpus.lines import read_lines
from mt.decode.translator import Translator
from mt.device import set_up_cpu
from mt.export.ct2 import write_ct2
from mt.metrics import bleu, bleu_tokenizer_for
from mt.tokenizer import Tokenizer


@dataclass(frozen=True)
class System:
    name: str
    batch: int
    load_seconds: float
    translate: Callable[[Sequence[str]], tuple[list[str], int]]  # the texts, and how many pieces were written


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast does a model translate here?")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="path of both files, without their language")
    parser.add_argument("--src", default="en")
    parser.add_argument("--tgt", default="de")
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--ours", nargs="*", default=["fp32", "bf16", "int8"], help="precisions")
    parser.add_argument("--theirs", nargs="*", default=["float32", "int8"], help="compute types")
    parser.add_argument("--our-batches", type=int, nargs="+", default=[1024, 4096, 16384], help="source pieces")
    parser.add_argument("--their-batches", type=int, nargs="+", default=[16, 32, 64], help="sentences")
    parser.add_argument("--their-workers", type=int, default=1, help="batches at a time, which share the threads")
    parser.add_argument("--patience", type=float, help="of ours (default: the exact rule); 1 is the rule of theirs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trial", type=int, default=200, help="sentences that batch sizes are tried on")
    parser.add_argument("--limit", type=int, help="the first sentences only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    return parser.parse_args()


def ours(asked: argparse.Namespace, precision: str, beam: int, batch: int) -> System:
    started = time.perf_counter()
    translator = load(asked.model, device="cpu", precision=precision)
    seconds = time.perf_counter() - started
    section = replace(translator.section, batch_tokens=batch, beam=beam, length_penalty=1.0, patience=asked.patience)
    translator.section = section

    def translate(texts: Sequence[str]) -> tuple[list[str], int]:
        best = [found[0] for found in translator.search(texts)]
        return [one.text for one in best], sum(len(one.piece_log_probs) for one in best)

    return System(f"ours {precision}", batch, seconds, translate)


def theirs(
    asked: argparse.Namespace,
    folder: Path,
    tokenizer: Tokenizer,
    compute_type: str,
    *,
    beam: int,
    batch: int,
    longest: int,
) -> System:
    import ctranslate2

    started = time.perf_counter()
    workers, threads = asked.their_workers, asked.threads // asked.their_workers
    engine = ctranslate2.Translator(
        str(folder), compute_type=compute_type, inter_threads=workers, intra_threads=threads
    )
    seconds = time.perf_counter() - started
    marks = tokenizer.pieces_target([tokenizer.bos, tokenizer.pad])
    options: dict[str, Any] = {
        "beam_size": beam, "length_penalty": 1.0, "min_decoding_length": 0, "max_decoding_length": longest,
        "max_batch_size": batch, "suppress_sequences": [[mark] for mark in marks],
    }  # fmt: skip
    ids = {piece: i for i, piece in enumerate(tokenizer.pieces_target(range(tokenizer.tgt_size)))}

    def translate(texts: Sequence[str]) -> tuple[list[str], int]:
        pieces = [tokenizer.pieces_source(sentence[:-1]) for sentence in tokenizer.encode_source(texts)]
        found = [one.hypotheses[0] for one in engine.translate_batch(pieces, **options)]
        written = sum(len(one) + 1 for one in found)
        return [tokenizer.decode_target([ids[piece] for piece in one]) for one in found], written

    return System(f"CTranslate2 {compute_type}", batch, seconds, translate)


def row_steps(translator: Translator, sources: Sequence[str]) -> tuple[int, int]:
    """How many hypotheses were extended by a piece, and how many pieces came out."""
    count = 0
    step = translator.stepper.step

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += len(tokens)
        return step(tokens)

    translator.stepper.step = counted  # pyright: ignore[reportAttributeAccessIssue]
    found = translator.search(sources)
    return count, sum(len(best[0].piece_log_probs) for best in found)


def take_turns(
    systems: list[System], sources: Sequence[str], rounds: int, clock: Callable[[], float]
) -> tuple[dict[int, list[tuple[float, float]]], dict[int, tuple[list[str], int]]]:
    """For each system, (seconds, processor seconds) by round, and what it wrote; the first round only warms up."""
    times: dict[int, list[tuple[float, float]]] = defaultdict(list)
    written: dict[int, tuple[list[str], int]] = {}
    for turn in range(rounds + 1):
        for i, system in enumerate(systems):
            processor, started = time.process_time(), clock()
            written[i] = system.translate(sources)
            spent = clock() - started, time.process_time() - processor
            if turn:
                times[i].append(spent)
        print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    return times, written


def best_batches(systems: list[System], sources: Sequence[str], clock: Callable[[], float]) -> list[System]:
    """Of the systems of each name, the one whose batch size is fastest in one round after a first."""
    times, _ = take_turns(systems, sources, 1, clock)
    best: dict[str, int] = {}
    for i, system in enumerate(systems):
        if system.name not in best or times[i] < times[best[system.name]]:
            best[system.name] = i
    return [systems[i] for i in best.values()]


def report(
    systems: list[System], sources: Sequence[str], references: Sequence[str], asked: argparse.Namespace, pieces: int
) -> None:
    clock = time.process_time if asked.clock == "cpu" else time.perf_counter
    systems = best_batches(systems, sources[: asked.trial], clock)
    times, written = take_turns(systems, sources, asked.rounds, clock)
    score = None
    print("system                 batch   load s  sentences/s  pieces/s  cpu s   BLEU  length  identical")
    for i, system in enumerate(systems):
        texts, count = written[i]
        seconds, processor = (statistics.median(column) for column in zip(*times[i], strict=True))
        score = bleu(texts, references, tokenize=bleu_tokenizer_for(asked.tgt))
        same = sum(a == b for a, b in zip(texts, written[0][0], strict=True)) / len(texts)
        print(
            f"{system.name:22} {system.batch:5} {system.load_seconds:8.2f} {len(texts) / seconds:12.1f} "
            f"{count / seconds:9.0f} {processor:6.2f} {score.value:6.2f} {count / pieces:7.3f} {same:10.1%}"
        )
    print(f"BLEU {score.signature if score else None}", flush=True)


def main() -> None:
    asked = parse()
    if asked.ours:
        set_up_cpu(asked.threads)
    files = [next(p for p in (Path(f"{asked.data}.{end}"), Path(f"{asked.data}.{end}.gz")) if p.exists())
             for end in (asked.src, asked.tgt)]  # fmt: skip
    sources, references = (list(read_lines(file))[: asked.limit] for file in files)
    plain = load(asked.model, device="cpu", precision="fp32")
    pieces = sum(len(ids) + 1 for ids in plain.tokenizer.encode_target(references))
    lengths = [len(ids) for ids in plain.tokenizer.encode_source(sources)]
    longest = min(plain.max_length, int(plain.section.max_ratio * max(lengths)) + plain.section.max_extra)
    with tempfile.TemporaryDirectory() as place:
        for name in asked.theirs:
            write_ct2(plain.stepper.model, plain.tokenizer, Path(place) / name, quantization=name)
        for beam in asked.beams:
            print(f"\nbeam {beam}, {len(sources):,} sentences, {asked.threads} threads, {asked.clock} clock")
            if asked.ours:
                counting = load(asked.model, device="cpu", precision="fp32")
                counting.section = replace(counting.section, beam=beam, length_penalty=1.0, patience=asked.patience)
                steps, out = row_steps(counting, sources[: asked.trial])
                print(f"patience of ours: {asked.patience}, row steps of ours: {steps / (out * beam):.3f}")
            systems = [ours(asked, name, beam, batch) for name in asked.ours for batch in asked.our_batches]
            systems += [
                theirs(asked, Path(place) / name, plain.tokenizer, name, beam=beam, batch=batch, longest=longest)
                for name in asked.theirs
                for batch in asked.their_batches
            ]
            report(systems, sources, references, asked, pieces)


if __name__ == "__main__":
    main()
