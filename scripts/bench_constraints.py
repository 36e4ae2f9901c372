"""The cost and the effect of terms that must appear.

    python scripts/bench_constraints.py MODEL --test test.en.gz test.de.gz [--sentences 200] [--beam 5] [--words 2]

Makes a glossary from the test set: for each sentence the first and the last content word of the reference (five letters
or more, not among the hundred most frequent words of the references), with the whole sentence as the source term.
Translates without and with it, and prints the share of terms that appear as whole words, BLEU and chrF++, and sentences
per second of CPU time of this process. Words of the reference are a hint, so the scores show that the search can use
one, not that a model is better. The same command makes the same glossary every time.
"""

import argparse
import re
import time
from collections import Counter

from mistakes import run_script

from mt.compute.device import set_up_cpu
from mt.decode.constraints.glossary import Entry, Glossary
from mt.decode.load import load
from mt.decode.translator import Translator
from mt.text.lines import read_lines
from mt.text.metrics import bleu, chrf
from mt.text.words import occurs

COMMON = 100
WORD = re.compile(r"[^\W\d_]{5,}")


def content_words(references: list[str], number: int) -> list[list[str]]:
    """At most `number` words of each reference; the first and the last come first."""
    counts = Counter(word for text in references for word in re.findall(r"[^\W\d_]+", text))
    common = {word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:COMMON]}
    found = []
    for text in references:
        words = list(dict.fromkeys(word for word in WORD.findall(text) if word not in common and occurs(word, text)))
        found.append([*words[:1], *words[:0:-1]][:number])
    return found


def glossary(sources: list[str], words: list[list[str]]) -> Glossary:
    entries = [
        Entry(" ".join(source.split()), (word,), False)
        for source, few in zip(sources, words, strict=True)
        for word in few
    ]
    return Glossary(entries)


def report(name: str, texts: list[str], references: list[str], words: list[list[str]], seconds: float) -> None:
    wanted = [(word, text) for few, text in zip(words, texts, strict=True) for word in few]
    there = sum(occurs(word, text) for word, text in wanted)
    print(f"{name}: {there} of {len(wanted)} terms appear ({there / len(wanted):.1%})")
    print(f"  {bleu(texts, references)}\n  {chrf(texts, references)}")
    print(f"  {len(texts) / seconds:.1f} sentences/s, {seconds:.1f} s of CPU time")


def run(translator: Translator, sources: list[str], chosen: Glossary | None, beam: int) -> tuple[list[str], float, int]:
    """Translations, CPU seconds, and the number of unfinished ones."""
    started = time.process_time()
    found = translator.answer(sources, translator.options(beam=beam, glossary=chosen))
    seconds = time.process_time() - started
    return [best[0].text for best in found], seconds, sum(not best[0].finished for best in found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Terms that must appear: satisfaction, scores and speed.")
    parser.add_argument("model")
    parser.add_argument("--test", nargs=2, required=True, metavar=("SOURCE", "REFERENCE"))
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--words", type=int, default=2, help="terms of a sentence")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--show", type=int, default=0, help="print the first N sentences")
    args = parser.parse_args()
    set_up_cpu(1)
    translator = load(args.model, device="cpu", precision=args.precision)
    sources, references = ([*read_lines(file)] for file in args.test)
    words = content_words(references, args.words)[: args.sentences]
    sources, references = sources[: args.sentences], references[: args.sentences]
    chosen = glossary(sources, words)
    translator.translate(sources[:20])  # warm-up
    print(f"{args.model}, {len(sources)} sentences, beam {args.beam}, {args.precision}, one thread")
    plain, seconds, unfinished = run(translator, sources, None, args.beam)
    report(f"without the glossary ({unfinished} unfinished)", plain, references, words, seconds)
    bound, seconds, unfinished = run(translator, sources, chosen, args.beam)
    report(f"with the glossary ({unfinished} unfinished)", bound, references, words, seconds)
    for source, few, before, after, reference in list(zip(sources, words, plain, bound, references, strict=True))[
        : args.show
    ]:
        print(
            f"\n  source     {source}\n  terms      {', '.join(few)}\n  without    {before}\n  with       {after}\n"
            f"  reference  {reference}"
        )


if __name__ == "__main__":
    run_script(main)
