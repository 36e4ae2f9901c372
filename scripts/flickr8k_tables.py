"""Tables for `experiment=flickr8k_captions`, and BLEU-4 of its captions against five references beside two floors.

    python scripts/flickr8k_tables.py make FOLDER data/flickr8k       writes train.tsv, dev.tsv, test.tsv, shuffled.tsv
    mt train experiment=flickr8k_captions
    mt translate runs/flickr8k_captions -i data/flickr8k/test.tsv > right.txt
    mt translate runs/flickr8k_captions -i data/flickr8k/shuffled.tsv > wrong.txt
    python scripts/flickr8k_tables.py score FOLDER right.txt wrong.txt
    mt rank runs/flickr8k_captions --queries data/flickr8k/test.tsv --candidates data/flickr8k/captions.txt \\
        --recall data/flickr8k/right.txt --both-ways --by sources

English and German from one model, which a tag at the beginning of a caption asks for:

    python scripts/flickr8k_tables.py make FOLDER data/flickr8k --languages en de
    mt train experiment=flickr8k_captions 'tokenizer.tags=[<2en>,<2de>]' tokenizer.vocab_size=5000 run.name=both
    mt translate runs/both -i data/flickr8k/test.tsv --prefix '<2de>' > right.de.txt
    python scripts/flickr8k_tables.py score FOLDER right.de.txt --languages de

FOLDER holds `captions.tsv.gz` and `grid_7x7x64_int8.npy`: 8,091 photographs as 49 rows of 64 numbers. The official
split: 6,000 photographs with five captions each for training, 1,000 for dev, 1,000 for the test. Nine in ten have five
German captions, too, which were written anew and are no translations; German is scored where it is there. Captions are
lower-cased words. `shuffled.tsv` gives each test row the photograph of another one: a model that looks at the
photographs must fall to the floor there. `captions.txt` has the five captions of each test photograph, and a line of
`right.txt` the numbers of those of one photograph, for retrieval in both directions.
"""

import argparse
import csv
import gzip
import os
import random
from pathlib import Path

from mistakes import run_script

GRID = "grid_7x7x64_int8.npy"
CAPTIONS = 5
CONSTANT = {
    "en": "a man in a red shirt is standing in front of a building",
    "de": "ein mann in einem roten t shirt steht vor einem gebäude",
}


def rows(folder: Path, split: str) -> list[dict[str, str]]:
    with gzip.open(folder / "captions.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in table if row["f8k_split"] == split]


def captions(row: dict[str, str], language: str = "en") -> list[str]:
    return [words(row[f"caption_{language}_{number}"]) for number in range(CAPTIONS)]


def tagged(row: dict[str, str], languages: list[str], most: int = CAPTIONS) -> list[str]:
    """The captions of a row that are there, `most` of each language; with a tag if there are several languages."""
    opening = {one: f"<2{one}> " if len(languages) > 1 else "" for one in languages}
    return [f"{opening[one]}{text}" for one in languages for text in captions(row, one)[:most] if text]


def words(text: str) -> str:
    """Lower-cased words without marks."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.lower()).split())


def make(folder: Path, out: Path, languages: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    grid = Path(os.path.relpath(folder / GRID, out))
    splits = {"train": rows(folder, "train"), "dev": rows(folder, "dev"), "test": rows(folder, "test")}
    for name, found in splits.items():
        most = CAPTIONS if name == "train" else 1
        last = 1 if name == "test" else None  # the test has a row for each photograph
        lines = [f"{grid}:{row['index']}\t{text}" for row in found for text in tagged(row, languages, most)[:last]]
        (out / f"{name}.tsv").write_text("\n".join(["image\tcaption", *lines]) + "\n", encoding="utf-8")
        print(f"{name}: {len(found):,} photographs, {len(lines):,} captions")
    write_retrieval(out, [captions(row) for row in splits["test"]])
    places = list(range(len(splits["test"])))
    random.Random(1).shuffle(places)
    wrong = [splits["test"][place]["index"] for place in places]
    lines = [f"{grid}:{index}\t{captions(row)[0]}" for index, row in zip(wrong, splits["test"], strict=True)]
    (out / "shuffled.tsv").write_text("\n".join(["image\tcaption", *lines]) + "\n", encoding="utf-8")


def write_retrieval(out: Path, each: list[list[str]]) -> None:
    texts: list[str] = []
    numbers: list[str] = []
    for own in each:
        own = [text for text in own if text]
        numbers.append(" ".join(str(len(texts) + place) for place in range(1, len(own) + 1)))
        texts += own
    for name, found in (("captions.txt", texts), ("right.txt", numbers)):
        (out / name).write_text("".join(f"{line}\n" for line in found), encoding="utf-8")


def score(folder: Path, files: list[str], language: str) -> None:
    from sacrebleu.metrics.bleu import BLEU

    each = [captions(row, language) for row in rows(folder, "test")]
    known = [place for place, own in enumerate(each) if all(own)]
    references = [list(column) for column in zip(*(each[place] for place in known), strict=True)]
    metric = BLEU(tokenize="none", force=True)
    for file in files:
        lines = Path(file).read_text(encoding="utf-8").split("\n")[:-1]
        texts = [words(lines[place].removeprefix(f"<2{language}>")) for place in known]
        print(f"{file}: {metric.corpus_score(texts, references)}")
    constant = metric.corpus_score([CONSTANT[language]] * len(references[0]), references)
    print(f"floor, one caption for all ({CONSTANT[language]!r}): {constant}\n{metric.get_signature()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "score"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="+", help="make: the folder of the tables; score: files of captions")
    parser.add_argument("--languages", nargs="+", choices=CONSTANT, default=["en"], help="score: the first one")
    args = parser.parse_args()
    if args.what == "make":
        make(args.folder, Path(args.files[0]), args.languages)
    else:
        score(args.folder, args.files, args.languages[0])


if __name__ == "__main__":
    run_script(main)
