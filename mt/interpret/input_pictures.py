"""Pictures of the cross-attention of models that read columns of a table, as pixels: one input below the other.

    a text             pieces of the target down, pieces of the source across (`mt.interpret.heat_maps`)
    sound, other rows  the source above, and a line of weights for each piece of the target
    an image           once for each piece of the target, with the weights over it

Weights are means over layers and heads, of the rows that predict the pieces. The darkest is the largest of its piece.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mt.alignment.observe import Side
from mt.inputs import kind
from mt.interpret.heat_maps import (
    CELL,
    FONT,
    GAP,
    MAX_WIDTH,
    PRINT_SCALE,
    HeatMaps,
    colours,
    drawable,
    load_font,
    png,
)
from mt.interpret.inputs import InputObservation, View

MOST = 40  # pieces a side, in a picture; the rest of a longer text is left out
TILE, SHEET = 96, 60  # pixels: a side of an image, the height of a line of rows
HEAT = np.array([196.0, 88.0, 30.0])  # the colour over an image
OPAQUE = 0.8  # of the largest weight over an image

Pixels = UInt8[np.ndarray, "_y _x 3"]


def picture_of(seen: InputObservation, *, scale: int = 1) -> Pixels:
    """Args: scale: pixels for one pixel of the standard size."""
    weights = relative(seen.maps[0].mean((0, 1)))[:MOST]
    words = [word or "·" for word in seen.target.word_texts[:MOST]]
    titles = [f"{view.name} {share:.0%}" for view, share in zip(seen.views, seen.shares(), strict=True)]
    panels = [
        _panel(view, part, words, title if len(titles) > 1 else "", scale)
        for view, part, title in zip(seen.views, seen.split(weights), titles, strict=True)
    ]
    return stacked(panels, GAP * scale)


def drawing(seen: InputObservation) -> bytes:
    """`picture_of` as a PNG file, large enough to be printed."""
    return png(picture_of(seen, scale=PRINT_SCALE))


def relative(weights: Float[Tensor, "V M"]) -> Float[Tensor, "V M"]:
    """As shares of the largest of each piece."""
    return weights / weights.amax(1, keepdim=True).clamp(min=1e-9)


def stacked(panels: list[Pixels], gap: int) -> Pixels:
    """One below the other, on white."""
    width = max(panel.shape[1] for panel in panels)
    around = [((gap if n else 0, 0), (0, width - panel.shape[1]), (0, 0)) for n, panel in enumerate(panels)]
    return np.concatenate([np.pad(p, pad, constant_values=255) for p, pad in zip(panels, around, strict=True)])


def _panel(view: View, weights: Float[Tensor, "V m"], words: list[str], title: str, scale: int) -> Pixels:
    if isinstance(view.shown, Side):
        pieces = view.shown.word_texts[:MOST]
        shown = torch.cat([weights[:, : len(pieces)], weights[:, -1:]], dim=1)
        return HeatMaps(pieces, words, [title], scale=scale).draw(shown[None])
    panel = _lines if view.shown.grid[0] == 1 else _tiles
    return panel(view.shown, weights, words, title, scale)


def _lines(shown: kind.Picture, weights: Float[Tensor, "V m"], words: list[str], title: str, scale: int) -> Pixels:
    from PIL import Image, ImageDraw

    font = load_font(FONT * scale)
    words = [drawable(word, font) for word in words]
    cell, head, sheet = CELL * scale, CELL * scale if title else 0, SHEET * scale
    left = 4 + max((int(font.getlength(word)) for word in words), default=0)
    width = max(MAX_WIDTH * scale - left, CELL * scale)
    page = Image.new("RGB", (left + width, head + sheet + len(words) * cell), "white")
    pen = ImageDraw.Draw(page)
    pen.text((left, 0), drawable(title, font), font=font, fill="black")
    page.paste(Image.fromarray(shown.pixels).resize((width, sheet)), (left, head))
    for row, word in enumerate(words):
        pen.text((left - 3, head + sheet + row * cell), word, font=font, fill="black", anchor="ra")
    if words:
        lines = Image.fromarray(colours(weights)).resize((width, len(words) * cell), Image.Resampling.NEAREST)
        page.paste(lines, (left, head + sheet))
    return np.array(page)


def _tiles(shown: kind.Picture, weights: Float[Tensor, "V m"], words: list[str], title: str, scale: int) -> Pixels:
    from PIL import Image, ImageDraw

    font = load_font(FONT * scale)
    side, cell, head = TILE * scale, CELL * scale, CELL * scale if title else 0
    gap = GAP * scale
    columns = max(1, min(len(words), MAX_WIDTH * scale // (side + gap)))
    rows = max(1, -(-len(words) // columns))
    width = max(columns * (side + gap), int(font.getlength(drawable(title, font))))
    page = Image.new("RGB", (width, head + rows * (side + cell + gap)), "white")
    pen = ImageDraw.Draw(page)
    pen.text((0, 0), drawable(title, font), font=font, fill="black")
    image = np.asarray(Image.fromarray(shown.pixels).resize((side, side)), np.float32)
    for number, (word, heat) in enumerate(zip(words, weights.numpy(), strict=True)):
        x, y = number % columns * (side + gap), head + number // columns * (side + cell + gap)
        veil = Image.fromarray((255 * heat.reshape(shown.grid)).round().astype(np.uint8))
        part = OPAQUE / 255 * np.asarray(veil.resize((side, side), Image.Resampling.BILINEAR), np.float32)[..., None]
        page.paste(Image.fromarray((image * (1 - part) + HEAT * part).round().astype(np.uint8)), (x, y))
        pen.text((x, y + side), drawable(word, font), font=font, fill="black")
    return np.array(page)
