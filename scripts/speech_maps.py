"""The attention to a recording as a picture for docs/attention.md: a monotone map beside one that crosses.

    python scripts/fsdd_tables.py make FOLDER data/fsdd
    mt train experiment=fsdd_german_numbers data.target=digits tokenizer.vocab_size=60 run.name=fsdd_digits
    mt train experiment=fsdd_german_numbers
    python scripts/speech_maps.py data/fsdd/test.tsv runs/fsdd_digits runs/fsdd_german_numbers --row 12 \\
        --svg docs/pictures/speech.svg

Each model is drawn below the one before: the spectrogram of the row, and a line of weights for each piece of what the
model writes, as shares of the largest weight of the piece. They are means over the heads of one layer, of the rows that
predict the pieces. "zwei eins" reads the recording from left to right; "einundzwanzig" must turn back. A model that
does not write the text of the table is refused: its map shows nothing. Without `--row`, the first row is taken that all
models get right and whose text has the letters of `--having` in the last model's column.
"""

import argparse
import base64
import io
from collections.abc import Sequence
from html import escape
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from mt.checkpoint.model_folder import table_columns
from mt.compute.device import set_up_cpu
from mt.data.corpus.columns import read_table
from mt.decode.load import load
from mt.decode.translator import Translator
from mt.inputs.kind import Picture
from mt.interpret.heat_maps import FONTS, FULL
from mt.interpret.input_pictures import relative
from mt.interpret.inputs import InputObservation, observe_inputs

CELL, FONT, SHEET, WIDTH, LEFT = 16, 12, 70, 560, 90  # pixels
LOOKED_AT = 100  # rows of the table, to find one that is right


def svg(titles: Sequence[str], seen: Sequence[InputObservation], layer: int) -> str:
    """Args: titles: of the panels; seen: one item, a sound; layer: from 0, or from the end."""
    parts: list[str] = []
    top = 0
    for title, one in zip(titles, seen, strict=True):
        parts.append(f'<text x="{LEFT}" y="{top + FONT}">{escape(title)}</text>')
        top = panel(parts, one, layer, top + CELL + 2)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH} {top}" font-family="{FONTS}"'
    white = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'{opening} font-size="{FONT}">', white, *parts, "</svg>\n"])


def panel(parts: list[str], one: InputObservation, layer: int, top: int) -> int:
    """Appends the elements of one map. Returns where the next may begin."""
    shown = one.views[0].shown
    assert isinstance(shown, Picture) and shown.seconds is not None, "a map over time needs a recording"
    buffer = io.BytesIO()
    Image.fromarray(shown.pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    parts.append(
        f'<image x="{LEFT}" y="{top}" width="{WIDTH}" height="{SHEET}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )
    weights = relative(one.maps[0, layer].mean(0)).numpy()
    width = WIDTH / weights.shape[1]
    for row, word in enumerate(one.target.word_texts):
        y = top + SHEET + 2 + row * CELL
        parts.append(f'<text x="{LEFT - 6}" y="{y + FONT}" text-anchor="end">{escape(word)}</text>')
    for row, column in product(*map(range, weights.shape)):
        colour = (255 - weights[row, column] * (255 - FULL)).round().astype(np.uint8).tobytes().hex()
        x, y = LEFT + column * width, top + SHEET + 2 + row * CELL
        parts.append(f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{CELL - 1}" fill="#{colour}"/>')
    bottom = top + SHEET + 2 + len(weights) * CELL
    ends = ((LEFT, "start", "0 s"), (LEFT + WIDTH, "end", f"{shown.seconds:.1f} s"))
    parts += [f'<text x="{x}" y="{bottom + FONT}" text-anchor="{anchor}">{text}</text>' for x, anchor, text in ends]
    return bottom + 2 * CELL


def right_row(models: Sequence[Path], translators: Sequence[Translator], table: str, having: str) -> int:
    """The number, from 1, of the first row that all models write as the table has it."""
    rows = list(zip(*(pairs_of(path, table)[:LOOKED_AT] for path in models), strict=True))
    chosen = [number for number, row in enumerate(rows) if having in row[-1][1]]
    for place, translator in enumerate(translators):
        found = translator.translate([rows[number][place][0] for number in chosen])
        chosen = [number for number, text in zip(chosen, found, strict=True) if text == rows[number][place][1]]
    if not chosen:
        raise SystemExit(f"no row of the first {LOOKED_AT} is right: train the models further.")
    return chosen[0] + 1


def pairs_of(model: Path, table: str) -> list[tuple[str, str]]:
    """Sources and texts of the columns that a model was trained with."""
    inputs, target = table_columns(model)
    return [(pair.src, pair.tgt) for pair in read_table([table], inputs, target)]


def observe_row(model: Path, translator: Translator, table: str, row: int) -> InputObservation:
    source, text = pairs_of(model, table)[row - 1]
    (found,) = translator.translate([source])
    if found != text:
        raise SystemExit(f"{model} writes {found!r} for row {row}, which is {text!r}: choose another row.")
    assert translator.reader is not None
    items = [translator.reader.item(source)]
    (seen,) = observe_inputs(
        translator.stepper.model, translator.tokenizer, translator.reader, [source], items, [text],
        max_length=translator.max_length,
    )  # fmt: skip
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--row", type=int, help="of the table, from 1, without the header")
    parser.add_argument("--having", default="undzwanzig", help="letters of the row that is looked for")
    parser.add_argument("--layer", type=int, help="of the decoder, from 1 (default: the last)")
    parser.add_argument("--svg", type=Path, required=True)
    args = parser.parse_args()
    set_up_cpu(1)
    translators = [load(path, device="cpu", precision="fp32") for path in args.models]
    row = args.row or right_row(args.models, translators, args.table, args.having)
    seen = [observe_row(*pair, args.table, row) for pair in zip(args.models, translators, strict=True)]
    titles = [f"{path.name}: {one.target.text}" for path, one in zip(args.models, seen, strict=True)]
    args.svg.write_text(svg(titles, seen, (args.layer or 0) - 1), encoding="utf-8", newline="\n")
    print(f"{args.svg}: row {row} of {args.table}, {', '.join(titles)}")


if __name__ == "__main__":
    main()
