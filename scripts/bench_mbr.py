"""Does minimum-Bayes-risk decoding translate better than beam search, and by which score?

    python scripts/bench_mbr.py MODEL --source test.en --target test.de [--sentences 500] [--samples 32] \\
        [--epsilon 0.02] [--temperature 1] [--seed 0]

Translates once with the beam of the model's settings, once with a beam as wide as there are samples, and draws samples;
then chooses by chrF, chrF++ and BLEU among the samples, and among the wide beam's n-best with all alike or weighted by
the model's probability. Prints a Markdown table of corpus scores with their differences from the first row, the
processor seconds of each way, and sacreBLEU's signatures. Expect the utility that was chosen by to gain and the others
to gain less or to lose: that is the finding, and why all three are shown.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from sacrebleu.metrics.chrf import CHRF

from mt.build import load
from mt.corpus.readers import read_pairs
from mt.decode.mbr import mbr
from mt.decode.sample import Sampling
from mt.decode.translation import Translation
from mt.decode.utility import Utility, bleu, chrf, chrf_with_words
from mt.device import set_up_cpu
from mt.metrics import bleu as corpus_bleu
from mt.metrics import bleu_tokenizer_for
from mt.metrics import chrf as corpus_chrf_with_words
from mt.models import languages

Lists = list[list[Translation]]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--sentences", type=int, help="only the first so many")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--epsilon", type=float, default=0.02)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    return parser.parse_args()


def timed(work: Callable[[], Lists]) -> tuple[Lists, float]:
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def chosen(lists: Lists, utility: Utility, *, weighted: bool = False) -> Lists:
    """The best of each list by expected utility."""
    best = []
    for translations in lists:
        weights = [math.exp(t.log_prob) for t in translations] if weighted else None
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


def main() -> None:
    asked = parse()
    set_up_cpu(None)
    src, tgt = languages(asked.model)
    pairs = list(islice(read_pairs([asked.source, asked.target], src, tgt), asked.sentences))
    sources, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    tokenize = bleu_tokenizer_for(tgt)
    translator = load(asked.model, device="cpu", precision=asked.precision)
    number = asked.samples
    sampling = Sampling(samples=number, temperature=asked.temperature, epsilon=asked.epsilon, seed=asked.seed)
    beam = f"beam {translator.section.beam}"
    found = {
        beam: timed(lambda: translator.search(sources)),
        f"beam {number}": timed(lambda: translator.search(sources, beam=number, nbest=number)),
        "one sample": timed(lambda: translator.sample(sources, sampling)),
    }
    utilities = {"chrF": chrf, "chrF++": chrf_with_words, "BLEU": partial(bleu, tokenize=tokenize)}
    for name, utility in utilities.items():
        for origin, label, weighted in (
            ("one sample", f"{number} samples", False),
            (f"beam {number}", f"{number}-best", False),
            (f"beam {number}", f"{number}-best, weighted", True),
        ):
            lists, seconds = found[origin]
            best, more = timed(lambda: chosen(lists, utility, weighted=weighted))  # noqa: B023 (called at once)
            found[f"MBR {name}, {label}"] = best, seconds + more
    print(
        f"{src} to {tgt}, {len(pairs):,} sentences; samples: epsilon {asked.epsilon}, temperature {asked.temperature}, "
        f"seed {asked.seed}; on average {distinct(found['one sample'][0]):.1f} of {number} samples differ\n"
    )
    print("| | BLEU | chrF2 | chrF++ | CPU seconds |\n|---|---|---|---|---|")
    base: list[float] = []
    signatures: list[str] = []
    for name, (lists, seconds) in found.items():
        values, signatures = scores([translations[0].text for translations in lists], references, tokenize)
        base = base or values
        cells = [f"{value:.2f} ({value - first:+.2f})" for value, first in zip(values, base, strict=True)]
        print(f"| {name} | {' | '.join(cells)} | {seconds:.1f} |")
    print("\n" + "\n".join(f"- {signature}" for signature in signatures))


def distinct(lists: Lists) -> float:
    return sum(len({t.text for t in translations}) for translations in lists) / len(lists)


if __name__ == "__main__":
    main()
