"""Heat maps of attention, as pixels for TensorBoard and PNG files or as SVG.

Labels are measured and drawn once for a pair of texts; cells change with the weights. Pillow comes with TensorBoard.
"""

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from importlib.util import find_spec
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from mt.alignment.heads import head_mean, word_maps
from mt.text.xml import clean

if TYPE_CHECKING:
    from mt.interpret.report import Exhibit

CELL, GAP, FONT = 14, 12, 11  # pixels
FULL = np.array([8, 48, 107])  # the colour of weight 1; weight 0 is white
END = "<end>"  # in letters that every font has
FONTS = "DejaVu Sans, Verdana, sans-serif"
MAX_WIDTH = 440  # pixels of a row of maps: what TensorBoard shows without making it smaller
PRINT_SCALE = 3  # pixels of a PNG file for one of TensorBoard's


class HeatMaps:
    """Maps of one pair: target words down, source words across, eos last.

    The maps are side by side as far as `MAX_WIDTH` allows, and then in further rows, each with all words.
    """

    def __init__(self, source: Sequence[str], target: Sequence[str], titles: Sequence[str], *, scale: int = 1) -> None:
        """Args: titles: of the maps; scale: pixels for one pixel of the standard size."""
        font = load_font(FONT * scale)
        self.source, self.target = ([drawable(word, font) for word in side] for side in ([*source, END], target))
        self.titles = titles
        self.cell, self.gap, self.font_size = CELL * scale, GAP * scale, FONT * scale
        self.label_height = 4 + max(int(font.getlength(word)) for word in self.source)
        self.left = 4 + max((int(font.getlength(word)) for word in self.target), default=0)
        width, height = len(self.source) * self.cell + self.gap, len(target) * self.cell + 2
        top = self.cell + self.label_height  # of the cells, below title and words
        columns = min(len(titles), max(1, (MAX_WIDTH * scale - self.left) // width))
        # The upper left corners of the cells of each map.
        self.corners = [
            (self.left + n % columns * width, top + n // columns * (top + height + self.gap))
            for n in range(len(titles))
        ]
        self.tops = sorted({top for _, top in self.corners})  # of the rows of maps
        self.size = self.left + columns * width, self.corners[-1][1] + height
        self._blank = self._draw_labels(font)

    def draw(self, maps: Float[Tensor, "M V W1"]) -> UInt8[np.ndarray, "Y X 3"]:
        pixels = self._blank.copy()
        for (left, top), cells in zip(self.corners, colours(maps), strict=True):
            cells = cells.repeat(self.cell, axis=0).repeat(self.cell, axis=1)
            pixels[top : top + len(cells), left : left + cells.shape[1]] = cells
        return pixels

    def svg(self, maps: Float[Tensor, "M V W1"]) -> str:
        """The same picture as vector graphics."""
        width, height = self.size
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="{FONTS}" '
            f'font-size="{self.font_size}">',
            '<rect width="100%" height="100%" fill="white"/>',
        ]
        middle = 0.35 * self.font_size + self.cell / 2  # the baseline of text in the middle of a cell
        for (j, word), top in product(enumerate(self.target), self.tops):
            y = top + j * self.cell + middle
            lines.append(f'<text x="{self.left - 3}" y="{y:g}" text-anchor="end">{escape(clean(word))}</text>')
        for (left, top), title, cells in zip(self.corners, self.titles, colours(maps), strict=True):
            y = top - self.cell - self.label_height + self.font_size
            lines.append(f'<text x="{left}" y="{y}">{escape(clean(title))}</text>')
            for i, word in enumerate(self.source):
                at = f"translate({left + i * self.cell + middle:g} {top - 1}) rotate(-90)"
                lines.append(f'<text transform="{at}">{escape(clean(word))}</text>')
            for (j, i), _ in np.ndenumerate(cells[:, :, 0]):
                x, y = left + i * self.cell, top + j * self.cell
                colour = cells[j, i].tobytes().hex()
                lines.append(f'<rect x="{x}" y="{y}" width="{self.cell}" height="{self.cell}" fill="#{colour}"/>')
        return "\n".join([*lines, "</svg>\n"])

    def _draw_labels(self, font: Any) -> NDArray[np.uint8]:
        """The picture without cells."""
        from PIL import Image, ImageDraw

        page = Image.new("RGB", self.size, "white")
        pen = ImageDraw.Draw(page)
        for (row, word), top in product(enumerate(self.target), self.tops):
            pen.text((self.left - 3, top + row * self.cell), word, font=font, fill="black", anchor="ra")
        across = Image.new("RGB", (self.label_height, len(self.source) * self.cell), "white")
        for row, word in enumerate(self.source):
            ImageDraw.Draw(across).text((1, row * self.cell), word, font=font, fill="black")
        upright = across.transpose(Image.Transpose.ROTATE_90)
        for (left, top), title in zip(self.corners, self.titles, strict=True):
            pen.text((left, top - self.label_height - self.cell), title, font=font, fill="black")
            page.paste(upright, (left, top - self.label_height))
        return np.array(page)


def drawing(exhibit: "Exhibit", suffix: str) -> bytes:
    """The map of the exhibit's heads for the first pair, as a file. Args: suffix: of its name, `.png` or `.svg`."""
    seen = exhibit.seen[0]
    maps = head_mean(word_maps(seen), exhibit.heads)[None]
    source, target = seen.source.word_texts, seen.target.word_texts
    if suffix.lower() == ".svg":
        return HeatMaps(source, target, [""]).svg(maps).encode()
    return png(HeatMaps(source, target, [""], scale=PRINT_SCALE).draw(maps))


def png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """The picture as a file."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def colours(weights: Float[Tensor, "*maps V W"]) -> UInt8[np.ndarray, "*maps V W 3"]:
    """The pixel of each weight; of one that is not a number, as of a model that diverged: of no weight."""
    return (255 - weights.nan_to_num(0).clamp(0, 1).numpy()[..., None] * (255 - FULL)).round().astype(np.uint8)


def drawable(word: str, font: Any) -> str:
    """The word with question marks for letters the font lacks: Pillow's bitmap font has Latin-1 only."""
    try:
        font.getlength(word)
    except UnicodeEncodeError:
        return word.encode("latin-1", "replace").decode("latin-1")
    return word


def load_font(size: int) -> Any:
    """A font of many scripts, the system's or matplotlib's; else Pillow's own, which has few letters."""
    from PIL import ImageFont

    name = "DejaVuSans.ttf"
    matplotlib = find_spec("matplotlib")  # not imported, which takes seconds
    folders = matplotlib.submodule_search_locations or [] if matplotlib else []
    for file in (name, *(Path(folder) / "mpl-data" / "fonts" / "ttf" / name for folder in folders)):
        with suppress(OSError):
            return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)
