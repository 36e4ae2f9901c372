"""The attention to a recording as a picture for docs/attention.md: a monotone map beside one that crosses.

    python scripts/fsdd_tables.py make FOLDER data/fsdd
    mt train experiment=fsdd_german_numbers
    python scripts/speech_maps.py runs/fsdd_german_numbers data/fsdd/digits.tsv data/fsdd/test.tsv \\
        --svg docs/pictures/speech.svg

The tables have the same recordings, and texts that begin with different tags. Each text is drawn below the one before:
the spectrogram of the row, and a line of weights for each piece of the text, as shares of the largest weight of the
piece. They are means over the heads of one layer, of the rows that predict the pieces. "zwei eins" reads the recording
from left to right; "einundzwanzig" must turn back. A text that the model does not write itself, after the tag, is
refused: its map shows nothing. Without `--row`, the first row is taken that is right in all tables and whose text in
the last one has the letters of `--having`.
"""

import argparse
import base64
import io
from collections.abc import Sequence
from html import escape
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from mistakes import run_script
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
LOOKED_AT = 100  # rows of the tables, to find one that is right
Pairs: TypeAlias = list[tuple[str, str]]  # sources and texts of a table


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


def right_row(translator: Translator, tables: Sequence[Pairs], having: str) -> int:
    """The number, from 1, of the first row that the model writes as all tables have it."""
    chosen = [number for number, (_, text) in enumerate(tables[-1][:LOOKED_AT]) if having in text]
    for table in tables:
        found = written(translator, [table[number] for number in chosen])
        chosen = [number for number, text in zip(chosen, found, strict=True) if text == table[number][1]]
    if not chosen:
        raise SystemExit(f"no row of the first {LOOKED_AT} is right: train the model further.")
    return chosen[0] + 1


def written(translator: Translator, pairs: Pairs) -> list[str]:
    """What the model writes for the sources, each after the tag of its text."""
    return translator.translate([source for source, _ in pairs], prefixes=[text.split(" ")[0] for _, text in pairs])


def observe_row(translator: Translator, table: Pairs, row: int) -> InputObservation:
    source, text = table[row - 1]
    (found,) = written(translator, [(source, text)])
    if found != text:
        raise SystemExit(f"the model writes {found!r} for row {row}, which is {text!r}: choose another row.")
    assert translator.reader is not None
    items = [translator.reader.item(source)]
    (seen,) = observe_inputs(
        translator.stepper.model, translator.tokenizer, translator.reader, [source], items, [text],
        max_length=translator.max_length,
    )  # fmt: skip
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--row", type=int, help="of the tables, from 1, without the header")
    parser.add_argument("--having", default="undzwanzig", help="letters of the row that is looked for")
    parser.add_argument("--layer", type=int, help="of the decoder, from 1 (default: the last)")
    parser.add_argument("--svg", type=Path, required=True)
    args = parser.parse_args()
    set_up_cpu(1)
    translator = load(args.model, device="cpu", precision="fp32")
    inputs, target = table_columns(args.model)
    tables = [[(pair.src, pair.tgt) for pair in read_table([table], inputs, target)] for table in args.tables]
    row = args.row or right_row(translator, tables, args.having)
    seen = [observe_row(translator, table, row) for table in tables]
    titles = [one.target.text for one in seen]
    args.svg.write_text(svg(titles, seen, (args.layer or 0) - 1), encoding="utf-8", newline="\n")
    print(f"{args.svg}: row {row}, {', '.join(titles)}")


if __name__ == "__main__":
    run_script(main)
