"""Write a test set in other writings: in capitals, in small letters, without final marks.

    python scripts/other_writings.py test.en test.es en es OUT

OUT then has capitals.en, capitals.es and so on, for `mt evaluate RUN --test OUT/capitals.en OUT/capitals.es`. Line N
is always line N of the test set, also where a writing changes nothing.
"""

import argparse
import random
from pathlib import Path

from mt.text.augmentation import Augmentation
from mt.text.lines import read_lines

WAYS = ("capitals", "small", "small_unmarked", "unmarked")  # in the order of `Augmentation`


class Always(random.Random):
    """Always chooses the way of this number."""

    def __init__(self, way: int) -> None:
        super().__init__()
        self.way = way

    def randrange(self, *_: int) -> int:
        return self.way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("source", "target", "src", "tgt"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    change = Augmentation(1.0, args.src, args.tgt)
    pairs = list(zip(read_lines(args.source), read_lines(args.target), strict=True))
    for number, name in enumerate(WAYS):
        changed = [change(*pair, Always(number)) for pair in pairs]
        for side, language in enumerate((args.src, args.tgt)):
            text = "".join(f"{pair[side]}\n" for pair in changed)
            (args.out / f"{name}.{language}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
