"""Heat maps as plain pixels: labels are drawn once, and cells over them as often as the weights change.

`plots.py` draws for papers, through matplotlib; this draws for a run that looks at itself at every validation. Labels
need Pillow, which TensorBoard brings along.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

CELL, GAP, FONT = 14, 12, 11  # pixels
FULL = np.array([8, 48, 107])  # the colour of weight one; zero is white
END = "<end>"  # in letters that every font has


class Picture:
    """Maps of one pair side by side: target words down, source words across, the end mark last."""

    def __init__(self, source: Sequence[str], target: Sequence[str], titles: Sequence[str]) -> None:
        """Args: titles: of the maps."""
        self.rows, self.columns, self.maps = len(target), len(source) + 1, len(titles)
        self._blank, self._left, self._top = _labels([*source, END], target, titles)

    def draw(self, maps: Float[Tensor, "M V W1"]) -> UInt8[NDArray[Any], "Y X 3"]:
        found = self._blank.copy()
        for n, weights in enumerate(maps.clamp(0, 1).numpy()):
            left = self._left + n * (self.columns * CELL + GAP)
            cells = (255 - weights[:, :, None] * (255 - FULL)).round().astype(np.uint8)
            cells = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)
            found[self._top : self._top + len(cells), left : left + cells.shape[1]] = cells
        return found


def _labels(source: Sequence[str], target: Sequence[str], titles: Sequence[str]) -> tuple[NDArray[np.uint8], int, int]:
    """The picture without cells, and where the first map begins."""
    from PIL import Image, ImageDraw

    font = _font()
    source, target = ([_spelt(word, font) for word in side] for side in (source, target))
    left = 4 + max((int(font.getlength(word)) for word in target), default=0)
    high = 4 + max(int(font.getlength(word)) for word in source)
    top, step = CELL + high, len(source) * CELL + GAP
    page = Image.new("RGB", (left + len(titles) * step, top + len(target) * CELL + 2), "white")
    pen = ImageDraw.Draw(page)
    for row, word in enumerate(target):
        pen.text((left - 3, top + row * CELL), word, font=font, fill="black", anchor="ra")
    across = Image.new("RGB", (high, len(source) * CELL), "white")
    for row, word in enumerate(source):
        ImageDraw.Draw(across).text((1, row * CELL), word, font=font, fill="black")
    upright = across.transpose(Image.Transpose.ROTATE_90)
    for n, title in enumerate(titles):
        pen.text((left + n * step, 0), title, font=font, fill="black")
        page.paste(upright, (left + n * step, CELL))
    return np.array(page), left, top


def _spelt(word: str, font: Any) -> str:
    """The word as the font can have it: Pillow's bitmap font knows no other letters than those of Western Europe."""
    try:
        font.getlength(word)
    except UnicodeEncodeError:
        return word.encode("latin-1", "replace").decode("latin-1")
    return word


def _font() -> Any:
    """One with many scripts where there is one: the system's, or matplotlib's, else Pillow's own of few letters."""
    from PIL import ImageFont

    name = "DejaVuSans.ttf"
    plots = find_spec("matplotlib")  # not imported, which takes seconds
    places = plots.submodule_search_locations or [] if plots else []
    for file in (name, *(Path(place) / "mpl-data" / "fonts" / "ttf" / name for place in places)):
        try:
            return ImageFont.truetype(file, FONT)
        except OSError:
            continue
    return ImageFont.load_default(FONT)
