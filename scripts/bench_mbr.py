"""Minimum-Bayes-risk decoding against beam search, by several utilities.

    python scripts/bench_mbr.py MODEL --source test.en --target test.de [--sentences 500] [--samples 32] \\
        [--epsilon 0.02] [--temperature 1] [--seed 0] [--out found.jsonl]

Translates with the beam of the model's settings, with a beam as wide as the number of samples, and by sampling; then
chooses by chrF, chrF++ and BLEU among the samples, and among the wide beam's n-best, unweighted or weighted by the
model's probability. Prints a Markdown table of corpus scores with their differences from the first row, the processor
seconds of each way, and sacreBLEU's signatures. Usually the score used as utility gains and the others gain less or
lose, so all three are shown.

Works in blocks of sentences and prints progress on stderr. `--out` keeps the results, a line for each block; the same
file continues an earlier run. After Ctrl+C the table shows the finished blocks.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from mistakes import run_script
from sacrebleu.metrics.chrf import CHRF

from mt.checkpoint.model_folder import languages
from mt.compute.device import set_up_cpu
from mt.data.corpus.readers import read_pairs
from mt.decode.load import load
from mt.decode.rerank.mbr import mbr, shares_of
from mt.decode.rerank.utility import Utility, bleu, chrf, chrf_with_words
from mt.decode.search.sampling import Sampling
from mt.decode.translation import Translation
from mt.decode.translator import Translator
from mt.text.metrics import bleu as corpus_bleu
from mt.text.metrics import bleu_tokenizer_for
from mt.text.metrics import chrf as corpus_chrf_with_words

Lists = list[list[Translation]]
Found = dict[str, tuple[list[str], float]]  # by the name of a way: its translations and the processor seconds it took
DISTINCT = "distinct"  # no way to translate: the number of distinct samples of each sentence


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--sentences", type=int, help="use only the first N")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--epsilon", type=float, default=0.02)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, help="of the CPU (default: all; 1 on a shared machine)")
    parser.add_argument("--block", type=int, default=50, help="sentences between two lines of progress")
    parser.add_argument("--out", type=Path, help="keep the results here, and continue from them")
    return parser.parse_args()


def timed(work: Callable[[], Lists]) -> tuple[Lists, float]:
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def chosen(lists: Lists, utility: Utility, *, weighted: bool = False) -> Lists:
    """The best of each list by expected utility."""
    best = []
    for translations in lists:
        weights = shares_of([t.log_prob for t in translations]) if weighted else None
        place, _ = mbr([t.text for t in translations], utility, weights)[0]
        best.append([translations[place]])
    return best


def scores(texts: list[str], references: list[str], tokenize: str) -> tuple[list[float], list[str]]:
    """BLEU, chrF2 and chrF++, and their signatures."""
    characters = CHRF()
    plain = characters.corpus_score(texts, [references]).score
    words, with_words = corpus_bleu(texts, references, tokenize=tokenize), corpus_chrf_with_words(texts, references)
    signatures = [words.signature, str(characters.get_signature()), with_words.signature]
    return [words.value, plain, with_words.value], signatures


def translate(translator: Translator, sources: list[str], first: int, args: argparse.Namespace, tgt: str) -> Found:
    """Every way for a block of sentences. Args: first: index of the block's first sentence in the text."""
    number = args.samples
    sampling = Sampling(samples=number, temperature=args.temperature, epsilon=args.epsilon, seed=args.seed)
    samples, wide = f"{number} samples", f"{number}-best"
    lists = {
        f"beam {translator.section.beam}": timed(lambda: translator.search(sources)),
        wide: timed(lambda: translator.search(sources, beam=number, nbest=number)),
        samples: timed(lambda: translator.answer(sources, translator.options(sampling=sampling, first_text=first))),
    }
    names = {wide: f"beam {number}", samples: "one sample"}
    found: Found = {names.get(name, name): (first_of(some), seconds) for name, (some, seconds) in lists.items()}
    utilities = {"chrF": chrf, "chrF++": chrf_with_words, "BLEU": partial(bleu, tokenize=bleu_tokenizer_for(tgt))}
    for name, utility in utilities.items():
        for origin, weighted in ((samples, False), (wide, False), (wide, True)):
            some, seconds = lists[origin]
            best, more = timed(lambda: chosen(some, utility, weighted=weighted))  # noqa: B023 (called at once)
            found[f"MBR {name}, {origin}{', weighted' * weighted}"] = first_of(best), seconds + more
    found[DISTINCT] = [str(len({t.text for t in some})) for some in lists[samples][0]], 0.0
    return found


def first_of(lists: Lists) -> list[str]:
    return [translations[0].text for translations in lists]


def blocks(translator: Translator, sources: list[str], args: argparse.Namespace, tgt: str) -> Iterator[Found]:
    """The blocks in `--out`, then the rest."""
    done = 0
    if args.out and args.out.exists():
        for line in args.out.read_text(encoding="utf-8").splitlines():
            found: Found = {name: (texts, seconds) for name, (texts, seconds) in json.loads(line).items()}
            done += len(found[DISTINCT][0])
            yield found
    for first in range(done, len(sources), args.block):
        started = time.perf_counter()
        found = translate(translator, sources[first : first + args.block], first, args, tgt)
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found, ensure_ascii=False) + "\n")
        last, seconds = min(first + args.block, len(sources)), time.perf_counter() - started
        print(f"{last:,} of {len(sources):,} sentences, the block in {seconds:.1f} s", file=sys.stderr, flush=True)
        yield found


def main() -> None:
    args = parse()
    set_up_cpu(args.threads)
    src, tgt = languages(args.model)
    pairs = list(islice(read_pairs([args.source, args.target], src, tgt), args.sentences))
    translator = load(args.model, device="cpu", precision=args.precision)
    together: Found = {}
    try:
        for found in blocks(translator, [pair.src for pair in pairs], args, tgt):
            for name, (texts, seconds) in found.items():
                before, so_far = together.get(name, ([], 0.0))
                together[name] = before + texts, so_far + seconds
    except KeyboardInterrupt:
        if not together:
            raise
    distinct = [int(number) for number in together.pop(DISTINCT)[0]]
    print(
        f"{src} to {tgt}, {len(distinct):,} sentences; samples: epsilon {args.epsilon}, temperature "
        f"{args.temperature}, seed {args.seed}; on average {sum(distinct) / len(distinct):.1f} of {args.samples} "
        f"samples differ; {translator.stepper.precision.value}\n"
    )
    show(together, [pair.tgt for pair in pairs[: len(distinct)]], bleu_tokenizer_for(tgt))


def show(found: Found, references: list[str], tokenize: str) -> None:
    """The table, with differences from its first row."""
    print("| | BLEU | chrF2 | chrF++ | CPU seconds |\n|---|---|---|---|---|")
    base: list[float] = []
    signatures: list[str] = []
    for name, (texts, seconds) in found.items():
        values, signatures = scores(texts, references, tokenize)
        base = base or values
        cells = [f"{value:.2f} ({value - first:+.2f})" for value, first in zip(values, base, strict=True)]
        print(f"| {name} | {' | '.join(cells)} | {seconds:.1f} |")
    print("\n" + "\n".join(f"- {signature}" for signature in signatures))


if __name__ == "__main__":
    run_script(main)
