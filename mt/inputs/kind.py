"""What the kinds of input have in common whose items are frames: rows of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from mt.config import Input
from mt.config.inputs import MOST_NUMBERS
from mt.errors import DataError

GRAY = 128


@dataclass(frozen=True)
class Picture:
    """What a model reads of an item, as pixels, and how the rows of its memory lie over them."""

    pixels: UInt8[np.ndarray, "Y X 3"]
    grid: tuple[int, int]  # lines and columns of the rows
    seconds: float | None = None  # from left to right; None: this is not a time


class FrameKind:
    """Turns cells into frames `[P, F]`. A kind gives `rows`."""

    def __init__(self, setting: Input) -> None:
        self.setting = setting

    def rows(self, cell: str) -> NDArray[Any]:
        """The numbers of a cell that is not empty, `[P, F]` of any type. Raises: DataError."""
        raise NotImplementedError

    def read(self, cell: str) -> Float[Tensor, "_ F"]:
        """The rows of a cell divided by the scale; an empty cell, a missing input, is one row of zeros.

        Raises: DataError: when the cell cannot be read, has rows of another size, or a value that is not finite.
        """
        size = self.setting.size
        if not cell:
            return torch.zeros(1, size)
        with np.errstate(all="ignore"):  # what comes of it is looked for below
            rows = np.asarray(self.rows(cell), np.float32)
            width = rows.shape[1]
            if size and width != size:
                raise DataError(f"{cell} must have {size:,} numbers in a row, like the others, but has {width:,}")
            if not 0 < width <= MOST_NUMBERS:
                raise DataError(f"{cell} must have 1 to {MOST_NUMBERS:,} numbers in a row, but has {width:,}")
            if not np.isfinite(rows).all():
                raise DataError(f"{cell} holds a value that is not a finite number of 32 bits")
            scaled = rows / np.float32(self.setting.scale)
        if not np.isfinite(scaled).all():
            raise DataError(
                f"{cell} holds a value that is too large: the numbers of the training data are about "
                f"{self.setting.scale:g}"
            )
        return torch.from_numpy(scaled)

    def picture(self, rows: Float[np.ndarray, "P F"], every: int) -> Picture:
        """Rows from left to right, their numbers from the bottom up, the largest dark.

        Args: rows: as `read` gives them; every: of them for a row of the memory.
        """
        return sheet(rows, every, float(rows.min()), float(rows.max()))

    def fitted(self, sample: Sequence[Float[Tensor, "_ F"]]) -> Input:
        """The setting with the size of the rows, and as scale their root mean square.

        Args: sample: what `read` gives for some cells of the training data, before the scale is known.
        """
        size = sample[0].shape[1]
        same = [rows for rows in sample if rows.shape[1] == size]  # reading the others again says which are wrong
        square = float(np.mean([rows.double().square().mean() for rows in same]))
        return replace(self.setting, size=size, scale=float(f"{square**0.5:.6g}") or 1.0)


def sheet(rows: Float[np.ndarray, "P F"], every: int, low: float, high: float) -> Picture:
    """`FrameKind.picture` with `low` and less as white, `high` and more as black; gray fills up the last memory row."""
    columns = -(-len(rows) // every)
    shade = 255 - (rows - low).clip(0, high - low) * (255 / max(high - low, 1e-9))
    pixels = np.full((rows.shape[1], columns * every), GRAY, np.uint8)
    pixels[:, : len(rows)] = shade.round().astype(np.uint8).T[::-1]
    return Picture(pixels[:, :, None].repeat(3, 2), (1, columns))
