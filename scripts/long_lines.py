"""How much of a long line does a model translate? Words out against words in.

    python scripts/long_lines.py MODEL --text test.de.gz [--words 600] [--device cpu]

The words of a text, sentence after sentence, are given as lines of 10 to 1,000 words, with the text's own punctuation
and without any. Each row of the table says how many words came out where `decode.split=auto` divides what is longer
than the model's training lines, and where a line is one sentence (`--split never`). The first row is the text as it
stands: what the model makes of its usual lines.
"""

import argparse
import re
from itertools import islice
from pathlib import Path

from mistakes import run_script

import mt
from mt.compute.device import set_up_cpu
from mt.config import Split
from mt.decode.translator import Translator
from mt.text.lines import read_lines

LENGTHS = (10, 20, 40, 100, 300, 1000)
MARKS = re.compile(r"[^\w\s'’-]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a run or a model folder")
    parser.add_argument("--text", required=True, help="a file of source lines")
    parser.add_argument("--words", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    set_up_cpu(None)
    translator = mt.load(args.model, device=args.device)
    lines = first_lines(args.text, args.words)
    words = [word for line in lines for word in line.split()]
    usual = translator.usual
    print(f"{args.model}, {args.text}; usual lines: {usual}\n")
    print("| words in a line | words in | out, auto | out, never | without marks: out, auto | out, never |")
    print("|---|---|---|---|---|---|")
    for length in (None, *LENGTHS):
        texts = [" ".join(words[i : i + length]) for i in range(0, len(words), length)] if length else lines
        bare = [MARKS.sub("", text) for text in texts]
        cells = [count(translator, given, split) for given in (texts, bare) for split in (Split.auto, Split.never)]
        print(
            f"| {length or 'as it stands'} | {len(words):,} | {' | '.join(f'{cell:,}' for cell in cells)} |", flush=True
        )


def first_lines(file: str, words: int) -> list[str]:
    """Lines of about so many words in all."""
    found, total = [], 0
    for line in islice(read_lines(file), words):
        found.append(line)
        total += len(line.split())
        if total >= words:
            break
    return found


def count(translator: Translator, texts: list[str], split: Split) -> int:
    """The words of the translations."""
    answers = translator.answer(texts, translator.options(split=split))
    return sum(len(best[0].text.split()) for best in answers)


if __name__ == "__main__":
    run_script(main)
