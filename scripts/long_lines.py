"""How much of a text a model translates when the text comes in longer and longer lines.

    python scripts/long_lines.py MODEL [MODEL ...] --text FILE [--words 2000]

The first words of a file are translated three times over for each length of line: with their punctuation, with commas
only (no sentence ends), and with no punctuation at all. The row "as it is" keeps the lines of the file: what a model
says of lines of usual length. Printed are words out for each 100 words in, by white space, so the figures of a row
and of "as it is" can be compared. The same command prints the same figures.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mt.compute.device import set_up_cpu
from mt.config import Split
from mt.decode.load import load
from mt.decode.translator import Translator
from mt.text.lines import read_lines

LENGTHS = (10, 20, 40, 100, 200, 500, 1000)
TEXTS = {
    "punctuation": lambda words: words,
    "commas only": lambda words: [re.sub(r"[.!?;:]+$", "", word) or word for word in words],
    "none": lambda words: [re.sub(r"\W+$", "", word) or word for word in words],
}


def lines_of(path: str, words: int) -> Iterator[str]:
    """The first lines of a file that have so many words together."""
    for line in read_lines(path):
        if words <= 0:
            return
        words -= len(line.split())
        yield line


def cut(words: list[str], length: int) -> Iterator[list[str]]:
    return (words[place : place + length] for place in range(0, len(words), length))


def share(translator: Translator, lines: Sequence[str], split: Split) -> str:
    """Words out for each 100 words in."""
    found = translator.answer(lines, translator.options(split=split))
    told, said = sum(len(line.split()) for line in lines), sum(len(some[0].text.split()) for some in found)
    return f"{100 * said / told:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--text", required=True, help="one sentence a line, in the source language")
    parser.add_argument("--words", type=int, default=2000)
    parser.add_argument("--never", action="store_true", help="also without splitting (`decode.split=never`)")
    args = parser.parse_args()
    set_up_cpu(1)
    lines = list(lines_of(args.text, args.words))
    words = [word for line in lines for word in line.split()]
    ways = [Split.auto, *([Split.never] if args.never else [])]
    for path in args.models:
        translator = load(path, device="cpu", precision="fp32")
        usual = translator.usual
        print(f"\n{path.name}: {len(words):,} words, usual length {usual.pieces if usual else 'unknown'} pieces\n")
        heads = [f"{name}{'' if way is Split.auto else ', never split'}" for way in ways for name in TEXTS]
        print(f"| words a line | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
        kept = [[" ".join(change(line.split())) for line in lines] for change in TEXTS.values()]
        same = [share(translator, some, way) for way in ways for some in kept]
        print(f"| as it is | {' | '.join(same)} |", flush=True)
        for length in LENGTHS:
            cells = []
            for way in ways:
                for change in TEXTS.values():
                    cells.append(share(translator, [" ".join(some) for some in cut(change(words), length)], way))
            print(f"| {length:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
