"""Checks that a sentence's translation does not depend on its batch.

    python scripts/check_batch_independence.py MODEL --data test.en.gz [--sentences 1000] [--beam 5] [--sizes 1 7 64]

Translates the sentences in batches of each size, in the order of the file, and compares tokens and scores
with those of the first size. Prints how many sentences differ in tokens and the greatest difference of a score; exits 1
if tokens differ. Scores may differ in their last digits: the order of the sum in a matrix product depends on the number
of rows. Tokens differ only if two hypotheses are closer to each other than that: in fp32 (the default) hardly ever,
with `--precision bf16` now and then; there the numbers are printed only.

`--shuffle` also compares with another order of the sentences.
"""

import argparse
import random
import time

import torch
from mistakes import run_script

from mt.compute.device import set_up_cpu
from mt.decode.load import load
from mt.decode.search.beam import beam_search
from mt.decode.search.settings import Hypothesis
from mt.decode.translator import Translator
from mt.text.lines import read_lines


def search_all(translator: Translator, source: list[list[int]], beam: int, size: int) -> list[Hypothesis]:
    """The best of each sentence, in batches of `size`."""
    search = translator._search_settings(translator.options(beam=beam))
    found: list[Hypothesis] = []
    with torch.inference_mode(), translator.stepper.prepared():
        for start in range(0, len(source), size):
            results = beam_search(translator.stepper, source[start : start + size], search=search)
            found += [best[0] for best in results]
    return found


def compare(name: str, first: list[Hypothesis], other: list[Hypothesis]) -> int:
    """Print the differences; returns the number of sentences whose tokens differ."""
    pairs = list(zip(first, other, strict=True))
    different = [i for i, (a, b) in enumerate(pairs) if (a.tokens, a.finished) != (b.tokens, b.finished)]
    gap = max(abs(a.score - b.score) for a, b in pairs)
    exact = sum(a == b for a, b in pairs)
    where = f", at {', '.join(map(str, different[:10]))}" if different else ""
    print(
        f"{name}: {len(different)} of {len(pairs)} sentences differ in tokens{where}; greatest difference of a score "
        f"{gap:.2e}; {exact} agree to the last bit",
        flush=True,
    )
    return len(different)


def main() -> int:
    parser = argparse.ArgumentParser(description="Translations must not depend on the batch.")
    parser.add_argument("model")
    parser.add_argument("--data", required=True, metavar="FILE", help="sentences to translate")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 7, 64])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, help="of the CPU (default: all)")
    parser.add_argument("--shuffle", action="store_true", help="compare a shuffled order with the file's, too")
    args = parser.parse_args()
    set_up_cpu(args.threads)
    translator = load(args.model, device=args.device, precision=args.precision)
    texts = [*read_lines(args.data)][: args.sentences]
    source = [ids for ids in translator.tokenizer.encode_source(texts) if 1 < len(ids) <= translator.max_length]
    where = f"{args.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{args.model} on {where}, {len(source)} sentences, beam {args.beam}, {args.precision}", flush=True)
    first, *others = args.sizes
    started = time.process_time()
    wanted = search_all(translator, source, args.beam, first)
    print(f"batches of {first}: {time.process_time() - started:.1f} s of CPU time", flush=True)
    differing = 0
    for size in others:
        differing += compare(f"batches of {size}", wanted, search_all(translator, source, args.beam, size))
    if args.shuffle:
        order = list(range(len(source)))
        random.Random(1).shuffle(order)
        mixed = search_all(translator, [source[i] for i in order], args.beam, others[-1])
        back = dict(zip(order, mixed, strict=True))
        differing += compare("shuffled", wanted, [back[i] for i in range(len(source))])
    return int(differing > 0 and args.precision == "fp32")


if __name__ == "__main__":
    run_script(main)
