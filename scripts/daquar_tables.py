"""Tables for `experiment=daquar`: questions about photographs of rooms.

    python scripts/daquar_tables.py FOLDER data/daquar                writes train.tsv, dev.tsv, test.tsv and others
    mt train experiment=daquar
    mt evaluate runs/daquar --metrics exact                           and --test data/daquar/blind.tsv, shuffled.tsv
    mt train experiment=daquar 'data.inputs=[question:text]' model.source_dropout=0 run.name=daquar_blind

FOLDER holds `qa.tsv.gz`, `image_order.txt` and `pooled_256_int8.npy`: 1,449 photographs as a row of 256 numbers each
(Malinowski & Fritz, NIPS 2014). `blind.tsv` has the questions of the test without photographs; `shuffled.tsv` gives
each the photograph of another one. The floor, which is printed, is the commonest answer to questions that begin with
the same five words. A model that uses the photographs must be above it, and above one trained on the questions alone.
"""

import argparse
import csv
import gzip
import os
from pathlib import Path

from easy_vqa_tables import Row, floor, write_tables
from mistakes import run_script

DEV = 60  # photographs of the training set
BEGINNING = 5  # words
ROWS = "pooled_256_int8.npy"


def read(folder: Path, split: str, out: Path) -> list[Row]:
    """(cell of the photograph, question, answer), cells relative to `out`."""
    rows = Path(os.path.relpath(folder / ROWS, out))
    order = (folder / "image_order.txt").read_text(encoding="utf-8").split()
    cell = {name: f"{rows}:{number}" for number, name in enumerate(order)}
    with gzip.open(folder / "qa.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(cell[row["image"]], row["question"], row["answer"]) for row in table if row["split"] == split]


def make(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    every, test = read(folder, "train", out), read(folder, "test", out)
    write_tables(every, test, out, held_out=DEV)
    share = floor(every, test, BEGINNING)
    print(f"floor, the commonest answer by the first {BEGINNING} words: {share:.1f} % of the test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, help="the folder of the tables")
    args = parser.parse_args()
    make(args.folder, args.out)


if __name__ == "__main__":
    run_script(main)
