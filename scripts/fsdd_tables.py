"""Tables for `experiment=fsdd_german_numbers`, and the word error rate of its output beside a floor.

    python scripts/fsdd_tables.py make FOLDER data/fsdd       writes recordings, and train, dev, test and shuffled.tsv
    mt train experiment=fsdd_german_numbers
    mt translate runs/fsdd_german_numbers -i data/fsdd/test.tsv > right.txt
    mt translate runs/fsdd_german_numbers -i data/fsdd/shuffled.tsv > wrong.txt
    python scripts/fsdd_tables.py score data/fsdd right.txt wrong.txt

FOLDER holds `recordings.zip` and `strings.tsv.gz` made from the Free Spoken Digit Dataset (CC BY-SA 4.0): strings of
two to six digits, each spoken by one speaker in recordings that are joined. The target is the German number word, in
which the units come before the tens: 2 1 is "einundzwanzig". `make --leave-out SPEAKER` keeps a speaker out of training
and dev, and writes his test strings to `unseen.tsv`. The column `digits` has the digits as words ("zwei eins"), for
`data.target=digits`. `shuffled.tsv` gives each test row the sound of another.

A number is one word, so that its word error rate is the share of wrong numbers. The error rate over the parts of a
number word (ein und zwanzig) and over its letters, both by edit distance, are told beside it.
"""

import argparse
import csv
import gzip
import io
import random
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from mt.text.ter import edit_distance

RATE = 8000
PARTS = re.compile(
    "hundert|tausend|und|zwanzig|dreißig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|zehn|elf|zwölf|sech|sieb|"
    "null|eins?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|."
)


def rows(folder: Path, split: str) -> list[dict[str, str]]:
    with gzip.open(folder / "strings.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]


def make(folder: Path, out: Path, left_out: str | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    sounds: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(folder / "recordings.zip") as archive:
        for name in archive.namelist():
            samples, rate = soundfile.read(io.BytesIO(archive.read(name)), dtype="int16")
            assert rate == RATE and samples.ndim == 1, name
            sounds[name.removesuffix(".flac")] = samples
    for split in ("train", "dev", "test"):
        found = rows(folder, split)
        with soundfile.SoundFile(out / f"{split}.flac", "w", RATE, 1, "PCM_16") as file:
            cells, place = [], 0
            for row in found:
                joined = np.concatenate([sounds[name] for name in row["recordings"].split()])
                file.write(joined)
                cells.append(f"{split}.flac:{place}:{place + len(joined)}")
                place += len(joined)
        known = [(cell, row) for cell, row in zip(cells, found, strict=True) if row["speaker"] != left_out]
        write(out / f"{split}.tsv", known)
        print(f"{split}: {len(known):,} strings, {place / RATE / 60:.1f} minutes in all")
        if split == "test":
            others = [cell for cell, _ in known]
            random.Random(1).shuffle(others)
            write(out / "shuffled.tsv", [(cell, row) for cell, (_, row) in zip(others, known, strict=True)])
            if left_out:
                write(out / "unseen.tsv", [pair for pair in zip(cells, found, strict=True) if pair not in known])


def write(file: Path, pairs: Sequence[tuple[str, dict[str, str]]]) -> None:
    columns = ("speaker", "german_digits", "german_number")
    lines = ["speech\tspeaker\tdigits\tnumber"]
    lines += ["\t".join([cell, *(row[column] for column in columns)]) for cell, row in pairs]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def targets(table: Path) -> list[str]:
    return [line.split("\t")[-1] for line in table.read_text(encoding="utf-8").split("\n")[1:-1]]


def score(out: Path, table: str, files: Sequence[str]) -> None:
    right = targets(out / table)
    constant = max(set(right), key=right.count)
    answers = {file: Path(file).read_text(encoding="utf-8").split("\n")[:-1] for file in files}
    answers[f"floor, one number for all ({constant})"] = [constant] * len(right)
    for name, found in answers.items():
        told = []
        for what, cut in (("word", str.split), ("part", PARTS.findall), ("letter", list)):
            pairs = [(cut(one), cut(other)) for one, other in zip(found, right, strict=True)]
            rate = sum(edit_distance(*pair) for pair in pairs) / sum(len(other) for _, other in pairs)
            told.append(f"{what} error rate {rate:.2%}")
        print(f"{name}: {', '.join(told)} ({len(right):,} numbers)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "score"])
    parser.add_argument("folder", type=Path, help="make: the data; score: the folder of the tables")
    parser.add_argument("files", nargs="+", help="make: the folder of the tables; score: files of numbers")
    parser.add_argument("--leave-out", metavar="SPEAKER", help="a speaker whom training must not hear")
    parser.add_argument("--table", default="test.tsv", help="that the numbers belong to (default: test.tsv)")
    args = parser.parse_args()
    if args.what == "make":
        make(args.folder, Path(args.files[0]), args.leave_out)
    else:
        score(args.folder, args.table, args.files)


if __name__ == "__main__":
    main()
