"""Images: files of pictures, read by Pillow, cut into square patches."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mt.config import Input
from mt.errors import DataError, require_package
from mt.inputs.contents import opened
from mt.inputs.kind import FrameKind, Picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # Pillow knows more, some of which start other programs


class Images(FrameKind):
    """Cells name pictures: `photo.jpg`, or `photos.zip:train/7.webp`, a member of an archive.

    A picture is turned as its camera says, laid over white where it is transparent, and squeezed into a square of
    `side` pixels. The rows are its patches in reading order (Dosovitskiy et al. 2021, arXiv 2010.11929), each
    `patch * patch * 3` numbers from -1 (black) to 1 (white), by row, column and colour. Of an animation the first
    picture is read.
    """

    def __init__(self, setting: Input) -> None:
        """Raises: ConfigError: when Pillow is not installed."""
        require_package("PIL", f"column `{setting.column}` with images", package="pillow")
        super().__init__(setting)

    def rows(self, cell: str) -> NDArray[np.float32]:
        return patches(pixels(cell, self.setting.side), self.setting.patch)

    def picture(self, rows: NDArray[np.float32], every: int) -> Picture:
        """The image as a square; a missing one as its row of zeros."""
        grid = self.setting.grid
        if len(rows) != grid**2:
            return super().picture(rows, every)
        return Picture(image_of(rows * np.float32(self.setting.scale), self.setting.patch), (grid, grid))


def pixels(cell: str, side: int) -> NDArray[np.uint8]:
    """The picture of a cell as a square, `[side, side, 3]` in red, green and blue. Raises: DataError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    file = opened(cell)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=FORMATS) as picture:
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and picture.width * picture.height > most:
                raise Image.DecompressionBombError
            if picture.mode in ("I", "F"):
                raise DataError(f"{cell} has pixels of 32 bits", hint="save it with 8 bits for each colour.")
            flat = _on_white(ImageOps.exif_transpose(picture))
            return np.asarray(flat.resize((side, side), Image.Resampling.BICUBIC), np.uint8)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise DataError(f"{cell} is not a picture that can be read ({known})") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{cell} has more than {Image.MAX_IMAGE_PIXELS:,} pixels", hint="make it smaller.") from error
    except Exception as error:  # of a damaged file, each format raises others
        raise DataError(f"{cell} cannot be read as a picture ({str(error) or type(error).__name__})") from error


def patches(image: NDArray[np.uint8], patch: int) -> NDArray[np.float32]:
    """`[side, side, 3]` to `[P, patch * patch * 3]`: the patches of a square in reading order, from -1 to 1."""
    grid = len(image) // patch
    cut = image.reshape(grid, patch, grid, patch, 3).swapaxes(1, 2).reshape(grid * grid, -1)
    return cut.astype(np.float32) / np.float32(127.5) - 1


def image_of(rows: NDArray[np.float32], patch: int) -> NDArray[np.uint8]:
    """The inverse of `patches`."""
    grid = round(len(rows) ** 0.5)
    cut = ((rows + 1) * np.float32(127.5)).round().clip(0, 255).astype(np.uint8)
    return cut.reshape(grid, grid, patch, patch, 3).swapaxes(1, 2).reshape(grid * patch, grid * patch, 3)


def _on_white(picture: Any) -> Any:
    """In red, green and blue, over white where it is transparent."""
    from PIL import Image

    if picture.mode.startswith("I;16"):  # convert() would make all but the darkest of them white
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
