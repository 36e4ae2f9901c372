"""The cost of logging cross-attention at a validation (`train.attention_pairs`).

    python scripts/bench_watching.py --model runs/en-de --source dev.en --target dev.de

CPU time of one thread: the first validation, for which the words are drawn, and the median of the later ones, with the
images that TensorBoard makes. The last line says how far apart validations must be for a cost under 2 % of a run.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from mistakes import run_script

from mt.data.corpus.readers import read_pairs
from mt.decode.load import load
from mt.log import Metrics
from mt.train.attention_logging import TextAttentionLogger, legible

LOOKS = 21
SHARE = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "source", "target"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    translator = load(args.model, device="cpu", precision="fp32")
    pairs = legible([*read_pairs([str(args.source), str(args.target)], None, None)], args.pairs)
    watch = TextAttentionLogger(translator.tokenizer, pairs, max_length=translator.max_length)
    seen, looks, pictures = watch(translator.stepper.model), [], []
    with TemporaryDirectory() as folder, Metrics(Path(folder)) as metrics:
        for step in range(LOOKS):
            begin = time.process_time()
            seen = watch(translator.stepper.model)
            looked = time.process_time()
            metrics.images("attention", step, lambda seen=seen: watch.pictures(seen))
            looks.append(looked - begin)
            pictures.append(time.process_time() - looked)
    both = [look + picture for look, picture in zip(looks, pictures, strict=True)]
    words = [len(text.split()) for pair in pairs for text in (pair.src, pair.tgt)]
    print(f"{len(pairs)} pairs of {min(words)} to {max(words)} words, {len(seen.entropies)} layers")
    print(f"first        {1e3 * both[0]:.1f} ms")
    print(f"later ones   {1e3 * median(both[1:]):.1f} ms: maps {1e3 * median(looks[1:]):.1f}, images "
          f"{1e3 * median(pictures[1:]):.1f}")  # fmt: skip
    print(f"under {SHARE:.0%} where validations are {median(both[1:]) / SHARE:.1f} s or more apart")


if __name__ == "__main__":
    run_script(main)
