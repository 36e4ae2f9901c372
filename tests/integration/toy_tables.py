"""Toy tables with the names, columns and kinds of cell of those that the pages of docs/ train on.

A cell is random, its target a sentence of number words: enough for a command to run, not to learn.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from stand_ins import sentences

GRID = 49  # cells of a photograph
RATE, SAMPLES = 8000, 3200  # of a recording of 0.4 s
TRAIN = 120


def write_tables(root: Path) -> None:
    """Write the folders of tables of the experiments into `root`."""
    draw = np.random.default_rng(0)

    def grid(folder: Path, number: int) -> str:
        return f"grid.npy:{GRID * number}:{GRID * number + GRID}"

    def row(folder: Path, number: int) -> str:
        return f"grid.npy:{number}"

    def photo(folder: Path, number: int) -> str:
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        return f"{number}.png"

    def recording(folder: Path, number: int) -> str:
        soundfile.write(folder / f"{number}.wav", 0.1 * draw.normal(size=SAMPLES), RATE)
        return f"{number}.wav"

    for name, columns, cell in (
        ("flickr8k", ("image", "caption"), grid),
        ("easy_vqa", ("photo", "question", "answer"), photo),
        ("daquar", ("photo", "question", "answer"), row),
        ("emoji", ("picture", "name"), photo),
        ("emoji_features", ("picture", "name"), row),
        ("easy_vqa_features", ("photo", "question", "answer"), row),
        ("fsdd", ("speech", "words"), recording),
    ):
        folder = root / name
        folder.mkdir(parents=True)
        np.save(folder / "grid.npy", draw.normal(size=(GRID * TRAIN, 64)).astype(np.float32))
        for table, count in (("train", TRAIN), ("dev", 8), ("test", 4), ("shuffled", 4)):
            write_table(folder, table, columns, count, cell)
    (root / "emoji/tags.txt").write_text("<2en>\n" * 4, encoding="utf-8")
    write_summaries(root / "debian_synopsis")
    for name in ("debian.leads", "debian.synopses"):
        (root / name).write_text("0-0\n" * TRAIN, encoding="utf-8")
    pairs = sentences(8, 9, ("en", "de"))
    (root / "flickr8k/captions.txt").write_text("".join(f"{text}\n" for text, _ in pairs), encoding="utf-8")
    (root / "flickr8k/right.txt").write_text("".join(f"{2 * place + 1} {2 * place + 2}\n" for place in range(4)))


def write_summaries(folder: Path) -> None:
    folder.mkdir()
    for name, count in (("train", TRAIN), ("dev", 8), ("test", 4)):
        pairs = sentences(count, len(name), ("en", "de"))
        for side, what in enumerate(("description", "synopsis")):
            with gzip.open(folder / f"{name}.{what}.gz", "wt", encoding="utf-8") as file:
                file.writelines(f"{pair[side]}\n" for pair in pairs)
        (folder / f"{name}.lead").write_text("".join(f"{text}\n" for text, _ in pairs), encoding="utf-8")


def write_table(folder: Path, name: str, columns: Sequence[str], count: int, cell: Callable[[Path, int], str]) -> None:
    """A table of `count` rows: the cell, a question if there is such a column, and the target."""
    lines = ["\t".join(columns)]
    for number, (question, answer) in enumerate(sentences(count, len(name), ("en", "de"))):
        texts = [question, answer] if len(columns) == 3 else [f"<2digits> {answer}" if "words" in columns else answer]
        lines.append("\t".join([cell(folder, number), *texts]))
    (folder / f"{name}.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
