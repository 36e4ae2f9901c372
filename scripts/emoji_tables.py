"""Tables for `experiment=emoji_names`, and how many names of unseen combinations are exactly right, beside a floor.

    python scripts/emoji_tables.py make FOLDER data/emoji      writes pictures.zip, train, dev, test and shuffled.tsv
    mt train experiment=emoji_names
    mt translate runs/emoji_names -i data/emoji/test.tsv --prefix @data/emoji/tags.txt > right.txt
    mt translate runs/emoji_names -i data/emoji/shuffled.tsv --prefix @data/emoji/tags.txt > wrong.txt
    python scripts/emoji_tables.py score data/emoji right.txt wrong.txt

FOLDER holds `noto.npz`, `twemoji.npz` (3,786 drawings of 40 x 40 pixels in two styles: Noto Emoji, Apache-2.0;
Twemoji, CC BY 4.0) and `labels.tsv.gz` (their CLDR names in twelve languages, Unicode licence). The target begins with
a tag of its language, so that one model has all; `--prefix` gives the tag in use. The test set are combinations of
gender and skin tone whose emoji has other combinations in training. `shuffled.tsv` gives each test row the picture of
another one.

The floor is the name of the most similar training picture of the same style, by 10 x 10 pixels.
"""

import argparse
import csv
import gzip
import io
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

LANGUAGES = ("en", "de", "fr", "es", "it", "ru", "ja", "pl", "nl", "pt", "uk", "zh")
STYLES = ("noto", "twemoji")
SIDE, COARSE = 40, 10  # pixels


def labels(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "labels.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def make(folder: Path, out: Path, languages: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    images = {style: np.load(folder / f"{style}.npz")["images"] for style in STYLES}
    with zipfile.ZipFile(out / "pictures.zip", "w") as archive:
        for style in STYLES:
            for number, image in enumerate(images[style]):
                data = io.BytesIO()
                Image.fromarray(image).save(data, "PNG")
                archive.writestr(zipfile.ZipInfo(f"{style}/{number}.png"), data.getvalue())
    found = labels(folder)
    for split in ("train", "dev", "test"):
        rows = [
            (style, int(row["index"]), language, row[language])
            for row in found if row["split_combo"] == split
            for style in STYLES
            for language in languages if row[language]
        ]  # fmt: skip
        cells = [f"pictures.zip:{style}/{number}.png" for style, number, _, _ in rows]
        write(out / f"{split}.tsv", cells, rows)
        print(f"{split}: {len(rows):,} names")
    random.Random(1).shuffle(cells)
    write(out / "shuffled.tsv", cells, rows)
    (out / "tags.txt").write_text("".join(f"<2{language}>\n" for _, _, language, _ in rows), encoding="utf-8")
    coarse = {
        style: image.reshape(len(found), COARSE, SIDE // COARSE, COARSE, SIDE // COARSE, 3).mean((2, 4))
        for style, image in images.items()
    }
    floor = [f"<2{row[2]}> {nearest(row, found, coarse[row[0]])}\n" for row in rows]
    (out / "floor.txt").write_text("".join(floor), encoding="utf-8")


def write(file: Path, cells: Sequence[str], rows: Sequence[tuple[str, int, str, str]]) -> None:
    lines = [f"{cell}\t<2{language}> {name}" for cell, (_, _, language, name) in zip(cells, rows, strict=True)]
    file.write_text("\n".join(["picture\tname", *lines]) + "\n", encoding="utf-8")


def nearest(row: tuple[str, int, str, str], found: list[dict[str, str]], coarse: np.ndarray) -> str:
    """The name of the training picture that is most like the row's. Args: coarse: all pictures of its style."""
    _, number, language, _ = row
    known = [int(one["index"]) for one in found if one["split_combo"] == "train" and one[language]]
    distance = np.square(coarse[known] - coarse[number]).sum((1, 2, 3))
    return found[known[int(distance.argmin())]][language]


def score(out: Path, files: Sequence[str]) -> None:
    right = [line.split("\t")[1] for line in (out / "test.tsv").read_text(encoding="utf-8").split("\n")[1:-1]]
    for file in [*files, str(out / "floor.txt")]:
        names = Path(file).read_text(encoding="utf-8").split("\n")[:-1]
        hits = [one == other for one, other in zip(names, right, strict=True)]
        told = {
            tag: [hit for hit, name in zip(hits, right, strict=True) if name.startswith(tag)] for tag in tags(right)
        }
        each = ", ".join(f"{tag[2:-1]} {sum(some) / len(some):.1%}" for tag, some in told.items())
        print(f"{file}: {sum(hits) / len(hits):.1%} of {len(hits):,} names exactly right ({each})")


def tags(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.split(" ")[0] for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "score"])
    parser.add_argument("folder", type=Path, help="make: the data; score: the folder of the tables")
    parser.add_argument("files", nargs="+", help="make: the folder of the tables; score: files of names")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES, choices=LANGUAGES, help="default: all twelve")
    args = parser.parse_args()
    if args.what == "make":
        make(args.folder, Path(args.files[0]), args.languages)
    else:
        score(args.folder, args.files)


if __name__ == "__main__":
    main()
