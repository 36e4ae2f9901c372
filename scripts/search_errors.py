"""How often a beam misses a better hypothesis, and whether a wider beam is ever worse.

    python scripts/search_errors.py MODEL --data test.en.gz [--beams 1 5 10 50] [--sentences 1000]

A search error is a sentence whose best hypothesis in a wider beam has a better score than in a narrower one: the search
missed a hypothesis that the model prefers. Beam search does not guarantee that a wider beam is at least as good: it can
drop a prefix that a narrower one kept. For each pair of neighbouring beams, and each with the widest, this prints the
share of sentences for which the wider one is better, equal and worse, with the mean differences. With
`decode.length_penalty` 0 scores are log-probabilities. All beams stop by the exact rule (`--patience` for another);
`stopping_rule.py` measures what `decode.patience=1` misses.
"""

import argparse
import math
import time
from itertools import pairwise

from mistakes import run_script

from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.text.lines import read_lines

SAME = 1e-5  # scores this close are equal: sums in another order


def compare(narrow: int, wide: int, scores: dict[int, list[float]]) -> str:
    gains = [b - a for a, b in zip(scores[narrow], scores[wide], strict=True)]
    better, worse = [g for g in gains if g > SAME], [g for g in gains if g < -SAME]

    def share(found: list[float]) -> str:
        return f"{len(found) / len(gains):6.1%}" + (f" (mean {sum(found) / len(found):+.4f})" if found else "")

    return f"beam {narrow} -> {wide}: wider is better for {share(better)}, worse for {share(worse)}, equal for the rest"


def main() -> None:
    parser = argparse.ArgumentParser(description="Search errors of beams against wider ones.")
    parser.add_argument("model")
    parser.add_argument("--data", required=True, metavar="FILE", help="sentences to translate")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5, 10, 50])
    parser.add_argument("--length-penalty", type=float, help="(default: the model's)")
    parser.add_argument("--patience", type=float, default=math.inf, help="(default: inf, the exact rule)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of the CPU (default: all)")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    set_up_cpu(args.threads)
    translator = load(args.model, device=args.device, precision=args.precision)
    texts = [*read_lines(args.data)][: args.sentences]
    beams = sorted(set(args.beams))
    scores: dict[int, list[float]] = {}
    print(f"{args.model}, {len(texts)} sentences, {args.precision} on {args.device}", flush=True)
    for beam in beams:
        started = time.process_time()
        options = translator.options(beam=beam, length_penalty=args.length_penalty, patience=args.patience)
        best = [found[0] for found in translator.answer(texts, options)]
        scores[beam] = [t.score for t in best]
        print(
            f"beam {beam}: mean score {sum(scores[beam]) / len(texts):.4f}, mean length "
            f"{sum(len(t.pieces) for t in best) / len(texts):.2f} pieces, "
            f"{sum(not t.finished for t in best)} unfinished, {time.process_time() - started:.1f} s of CPU time",
            flush=True,
        )
    pairs = list(pairwise(beams))
    for narrow, wide in dict.fromkeys([*pairs, *((beam, beams[-1]) for beam in beams[:-1])]):
        print(compare(narrow, wide, scores))


if __name__ == "__main__":
    run_script(main)
