"""Tables for `experiment=multi30k_image`: does a photograph help translation where the text has gaps?

    python scripts/multi30k_image_tables.py make FOLDER data/multi30k_image
    python scripts/multi30k_image_tables.py compare data/multi30k_image --seeds 1 2 3

FOLDER holds two folders: `flickr8k_multi30k` (`captions.tsv.gz` and `pooled_256_int8.npy`, a row of 256 numbers for
each photograph) and `multi30k` (train, val and test_2016_flickr, .en.gz and .de.gz). Of 29,000 training captions 6,993
have a photograph here; 300 of these become the dev set. The test set has the 485 photographs of val and
test_2016_flickr.

In `train.tsv`, `dev.tsv`, `test.tsv` and `shuffled.tsv`, the column `en` has its colours and commonest nouns replaced
by a mark, as in Caglayan et al. 2019 (arXiv 1903.08678), and the column `whole` is as it was. `shuffled.tsv` gives each
test row the photograph of another one, `blind.tsv` none.

`compare` trains on the texts with gaps for each seed, and once on whole texts, and prints BLEU and chrF++ of the test
with the right photographs, with those of others and without any. A run that exists is not trained again.
"""

import csv
import gzip
import json
import os
import random
import re
from pathlib import Path

from mistakes import run_script
from multi30k_tables import arguments, mt

from mt.data.corpus.catalog import locate
from mt.text.lines import read_lines

FEATURES = "pooled_256_int8.npy"
SPLITS = ("train", "val", "test_2016_flickr")
DEV = 300
GAP = "[v]"
COLOURS = """red orange yellow green blue purple pink brown black white gray grey tan blond blonde golden dark"""
NOUNS = """
man woman boy girl child person baby toddler lady guy player dog cat horse bird ball bike bicycle car truck bus boat
street road sidewalk beach water ocean lake river pool snow grass field tree rock mountain hill wall building house
shirt jacket hat dress coat jeans shorts hair glasses sunglasses helmet guitar camera table chair bench skateboard
surfboard soccer football baseball basketball tennis
"""
PLURALS = """men women children people babies ladies branches beaches benches boxes dresses buses"""
WORDS = [*COLOURS.split(), *PLURALS.split(), *(f"{noun}s?" for noun in NOUNS.split())]
HIDDEN = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
COLUMNS = ("photo", "en", "whole", "de")
Row = tuple[str, str, str]  # photograph, English, German


def photographs(folder: Path) -> dict[tuple[str, int], str]:
    """The row of the array for (file of Multi30k, line from 0)."""
    with gzip.open(folder / "captions.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        found = [row for row in table if row["m30k_split"] in SPLITS]
    return {(row["m30k_split"], int(row["m30k_row"])): row["index"] for row in found}


def rows(folder: Path, name: str, photos: dict[tuple[str, int], str], features: Path) -> list[Row]:
    """The captions of a file of Multi30k, each with its photograph, or with an empty cell."""
    texts = [read_lines(locate(f"{name}.{language}", folder, "")) for language in ("en", "de")]
    found: list[Row] = []
    for number, (en, de) in enumerate(zip(*texts, strict=True)):
        index = photos.get((name, number))
        found.append((f"{features}:{index}" if index is not None else "", " ".join(en.split()), " ".join(de.split())))
    return found


def write(path: Path, found: list[Row]) -> None:
    lines = ["\t".join((photo, HIDDEN.sub(GAP, en), en, de)) for photo, en, de in found]
    path.write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    words = sum(len(en.split()) for _, en, _ in found)
    gaps = sum(len(HIDDEN.findall(en)) for _, en, _ in found)
    with_photo = sum(photo != "" for photo, _, _ in found)
    print(f"{path}: {len(found):,} rows, {with_photo:,} with a photograph; {gaps / words:.1%} of the words are gaps")


def make(folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    photos = photographs(folder / "flickr8k_multi30k")
    features = Path(os.path.relpath(folder / "flickr8k_multi30k" / FEATURES, out))
    train, *tests = (rows(folder / "multi30k", name, photos, features) for name in SPLITS)
    seen = [place for place, row in enumerate(train) if row[0]]
    held = set(random.Random(1).sample(seen, DEV))
    test = [row for found in tests for row in found if row[0]]
    other = random.Random(1).sample([photo for photo, _, _ in test], len(test))
    write(out / "train.tsv", [row for place, row in enumerate(train) if place not in held])
    write(out / "dev.tsv", [train[place] for place in sorted(held)])
    write(out / "test.tsv", test)
    write(out / "shuffled.tsv", [(photo, en, de) for photo, (_, en, de) in zip(other, test, strict=True)])
    write(out / "blind.tsv", [("", en, de) for _, en, de in test])


def compare(tables: Path, seeds: list[int], root: Path, more: list[str]) -> None:
    for text, seed in [*(("en", seed) for seed in seeds), ("whole", seeds[0])]:
        run = root / f"multi30k_image_{text}.{seed}"
        if not (run / "model").is_dir():
            settings = [f"data.inputs=[photo:features,{text}:text]", f"data.root={tables.parent}", f"train.seed={seed}"]
            mt("train", "experiment=multi30k_image", *settings, *more, f"run.root={root}", f"run.name={run.name}")
        for table in ("test", "shuffled", "blind"):
            report = mt("evaluate", str(run), "--test", str(tables / f"{table}.tsv"), "--bootstrap", "0", "--json")
            scores = {one["name"]: one for one in json.loads(report)["scores"]}
            told = "  ".join(f"{name} {scores[name]['value']:.2f}" for name in ("BLEU", "chrF++"))
            print(f"{run.name}  {table:10s}{told}  {scores['BLEU']['signature']}", flush=True)


def main() -> None:
    args = arguments(__doc__, "settings of all runs").parse_args()
    if args.what == "make":
        make(args.folder, args.out)
    else:
        compare(args.tables, args.seeds, args.runs, args.set)


if __name__ == "__main__":
    run_script(main)
