"""The benefit and the cost of the exact stopping rule of beam search.

    python scripts/stopping_rule.py MODEL --data DIR/test_2016_flickr --src en --tgt de [--sentences 500] [--rounds 5]

Translates a test set by both rules of `mt/decode/search/beam.py`: the exact rule (`decode.patience=null`, a sentence
continues until no open hypothesis can win) and `decode.patience=1` (until as many hypotheses as the beam is wide have
ended). The two take turns, round after round, in each precision; the ratio of processor times is that of a pair, its
median and its range over the rounds. Other work affects processor time of one thread (`--threads 1`) little; rates by
the clock need an idle machine.

Then, in the first precision: BLEU and chrF++ of both with a paired bootstrap, how many translations differ, the rows
extended for each output token, and search errors: sentences for which a wide beam (`--wide`, by the exact rule) finds
another translation with a better score.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from mistakes import run_script

from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.decode.translation import Translation
from mt.decode.translator import Translator
from mt.text.lines import read_lines
from mt.text.metrics import bleu_tokenizer_for, compare

SAME = 1e-4  # scores this close are equal: sums in another order
RULES = {"exact": None, "patience 1": 1.0}


@dataclass(frozen=True)
class Turn:
    """One translation of the test set."""

    best: list[Translation]
    seconds: float
    processor: float
    rows: int  # hypotheses extended by a token


class Searcher:
    """A model that counts the rows it extends."""

    def __init__(self, translator: Translator) -> None:
        self.translator, self.rows = translator, 0
        step = translator.stepper.step

        def counted(tokens: torch.Tensor) -> torch.Tensor:
            self.rows += len(tokens)
            return step(tokens)

        translator.stepper.step = counted  # pyright: ignore[reportAttributeAccessIssue]

    def turn(self, sources: Sequence[str], beam: int, patience: float | None) -> Turn:
        self.translator.section = replace(self.translator.section, beam=beam, patience=patience)
        self.rows, processor, started = 0, time.process_time(), time.perf_counter()
        best = [found[0] for found in self.translator.search(sources)]
        return Turn(best, time.perf_counter() - started, time.process_time() - processor, self.rows)


def by_turns(searcher: Searcher, sources: Sequence[str], beam: int, rounds: int) -> dict[str, list[Turn]]:
    """`rounds` of each rule; the first rule alternates between rounds."""
    turns: dict[str, list[Turn]] = {name: [] for name in RULES}
    searcher.turn(sources[:50], beam, None)  # warm-up: kernels are compiled
    for number in range(rounds):
        for name in list(RULES)[:: 1 if number % 2 else -1]:
            turns[name].append(searcher.turn(sources, beam, RULES[name]))
    return turns


def report_cost(precision: str, turns: dict[str, list[Turn]]) -> None:
    for name, all_rounds in turns.items():
        seconds = statistics.median(turn.seconds for turn in all_rounds)
        processor = statistics.median(turn.processor for turn in all_rounds)
        count = len(all_rounds[0].best)
        print(
            f"{precision:5} {name:11} {count / processor:7.1f} sentences per CPU second, "
            f"{count / seconds:7.1f} sentences per second"
        )
    for key, name in (("processor", "CPU time"), ("seconds", "time by the clock")):
        ratios = [getattr(a, key) / getattr(b, key) for a, b in zip(*turns.values(), strict=True)]
        print(
            f"{precision:5} {' / '.join(RULES)}, {name}: "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def report_worth(turns: dict[str, Turn], wide: Turn, references: Sequence[str], tgt: str) -> None:
    exact, patient = turns.values()
    for name, turn in turns.items():
        written = sum(len(one.piece_log_probs) for one in turn.best)
        missed = sum(
            there.score > here.score + SAME and there.text != here.text
            for here, there in zip(turn.best, wide.best, strict=True)
        )
        print(
            f"{name:11} {turn.rows / written:.2f} rows extended for each output token, {written / len(turn.best):.2f} "
            f"tokens a sentence, mean score {statistics.fmean(one.score for one in turn.best):.4f}, "
            f"search errors {missed / len(turn.best):.1%}"
        )
    first, second = ([one.text for one in turn.best] for turn in (exact, patient))
    differ = sum(a != b for a, b in zip(first, second, strict=True)) / len(first)
    lower = sum(b.score < a.score - SAME for a, b in zip(exact.best, patient.best, strict=True)) / len(first)
    print(f"translations that differ: {differ:.1%}; that of the exact rule has the better score: {lower:.1%}")
    for found in compare(first, second, references, tokenize=bleu_tokenizer_for(tgt))[:2]:
        print(
            f"exact -> patience 1: {found.name} {found.baseline:.2f} -> {found.other:.2f}, p = {found.p_value:.3f} "
            f"({found.signature})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="The exact stopping rule against patience 1.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="path of both files, without their language")
    parser.add_argument("--src", default="en")
    parser.add_argument("--tgt", default="de")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "int8"])
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--wide", type=int, default=20, help="the beam that search errors are counted by")
    parser.add_argument("--sentences", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    set_up_cpu(args.threads)
    files = [next(p for p in (Path(f"{args.data}.{end}"), Path(f"{args.data}.{end}.gz")) if p.exists())
             for end in (args.src, args.tgt)]  # fmt: skip
    sources, references = ([*read_lines(file)][: args.sentences] for file in files)
    print(f"{args.model}, {len(sources):,} sentences of {args.data}, beam {args.beam}, {args.threads} threads")
    last: dict[str, Turn] = {}
    for precision in args.precisions:
        searcher = Searcher(load(args.model, device="cpu", precision=precision))
        turns = by_turns(searcher, sources, args.beam, args.rounds)
        report_cost(precision, turns)
        if not last:
            last = {name: all_rounds[-1] for name, all_rounds in turns.items()}
            report_worth(last, searcher.turn(sources, args.wide, None), references, args.tgt)


if __name__ == "__main__":
    run_script(main)
