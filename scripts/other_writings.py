"""Write a test set in other writings: in capitals, in small letters, without final marks.

    python scripts/other_writings.py test.en test.es en es OUT

OUT then has capitals.en, capitals.es and so on, for `mt evaluate RUN --test OUT/capitals.en OUT/capitals.es`. Line N
is always line N of the test set, also where a writing changes nothing.
"""

import argparse
from pathlib import Path

from mistakes import run_script

from mt.text.augmentation import WRITINGS, Augmentation
from mt.text.lines import read_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("source", "target", "src", "tgt"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    change = Augmentation(1.0, args.src, args.tgt)
    pairs = list(zip(read_lines(args.source), read_lines(args.target), strict=True))
    for name in WRITINGS:
        changed = [change.written(*pair, name) for pair in pairs]
        for side, language in enumerate((args.src, args.tgt)):
            text = "".join(f"{pair[side]}\n" for pair in changed)
            (args.out / f"{name}.{language}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
