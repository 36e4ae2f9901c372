"""Features: rows of numbers in files of NumPy, which are mapped into memory and never read as a whole."""

import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mt.errors import DataError
from mt.inputs.contents import State, faults_of, state
from mt.inputs.kind import FrameKind

CELL = re.compile(r"(?P<file>.+\.npy)(?::(?P<first>\d{1,15})(?::(?P<end>\d{1,15}))?)?")
FORM = "file.npy, file.npy:ITEM or file.npy:FIRST:END"
OPEN = 64  # files that stay mapped


class Features(FrameKind):
    """Cells name rows of an array, counted from 0 as in Python:

    file.npy         `[P, F]`: the whole file is one item
    file.npy:7       of `[N, P, F]`: item 7, of P rows; of `[N, F]`: row 7
    file.npy:20:55   of `[N, F]`: rows 20 to 54, for items of different lengths
    """

    def rows(self, cell: str) -> NDArray[Any]:
        form = CELL.fullmatch(cell)
        if form is None:
            raise DataError(f"the cell must be {FORM}, but is {cell!r}")
        array = mapped(form["file"])
        first, end = form["first"], form["end"]
        if first is not None and end is None:
            _require_inside(int(first), array, cell)
            found = array[int(first)] if array.ndim == 3 else array[int(first)][None]
        elif array.ndim != 2:
            must = "[P, F] to be one item" if first is None else "[N, F] to have rows FIRST:END"
            raise DataError(f"{form['file']} must have the shape {must}, but has {list(array.shape)}")
        elif first is None:
            found = array
        else:
            _require_inside(int(end) - 1, array, cell)
            found = array[int(first) : int(end)]
        if not len(found):
            raise DataError(f"{cell} has no rows")
        return found


def _require_inside(place: int, array: NDArray[Any], cell: str) -> None:
    if place >= len(array):
        raise DataError(f"{cell} does not exist: the file has {len(array):,} items, numbered from 0")


def mapped(file: str) -> NDArray[Any]:
    """The array of a file, of two or three dimensions. Raises: DataError."""
    with faults_of(file, "is not an array of numbers in NumPy's format"):
        array = _opened(file, state(file))
    if array.dtype.kind not in "fiu":
        raise DataError(f"{file} must hold numbers, but holds {array.dtype}")
    if array.ndim not in (2, 3):
        raise DataError(f"{file} must have the shape [P, F], [N, F] or [N, P, F], but has {list(array.shape)}")
    return array


@lru_cache(OPEN)
def _opened(file: str, _: State) -> NDArray[Any]:
    return np.lib.format.open_memmap(file, mode="r")  # which takes no Python objects
