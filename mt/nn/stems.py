"""Stems: the first layer of an encoder of frames, from rows of numbers to rows `[S, D]` with positions.

`P` rows of an item, `F` numbers in each; the other letters as in `mt.nn.transformer`.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mt.compute.matmul import Linear
from mt.config import ImageStem, Input, InputKind, ModelConfig, Positions
from mt.errors import require
from mt.nn.positions import sinusoidal_grid
from mt.nn.ragged import Ragged
from mt.nn.source import FrameSource
from mt.nn.transformer import InputLayer

TAPS = 3  # rows, or pixels of a side, that a convolution sees at a time
COLOURS = 3


class LinearStem(InputLayer):
    """Frames -> rows: a linear layer, plus positions."""

    every = 1  # source rows for a row of the memory

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        super().__init__(config)
        self.linear = Linear(frame_size, config.dim, bias=config.bias)

    def convolved(self, source: FrameSource) -> FrameSource:
        """The source that `forward` reads: rows that saw their neighbours. This stem leaves them as they are."""
        return source

    def forward(self, frames: Float[Tensor, "N F"], positions: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        # A prepacked copy of the model has weights in 16 bits, and no autocast.
        return self.add_positions(self.linear(frames.to(self.linear.weight.dtype)), positions)


class PatchStem(LinearStem):
    """Patches of a square image in reading order: a linear layer, plus positions in two dimensions.

    The table of sines has a half of its columns for the patch's row and a half for its column, as in MAE (He et al.
    2022, arXiv 2111.06377). It is also used with rotary positions, which count in reading order only. Learned
    positions are a vector for each patch, which needs no dimensions.
    """

    def __init__(self, config: ModelConfig, patch_size: int, grid: int) -> None:
        """Args: patch_size: numbers in a patch; grid: patches along a side."""
        super().__init__(config, patch_size)
        self.grid = grid
        if config.positions is not Positions.learned:
            self.register_buffer("table", torch.empty(grid * grid, config.dim), persistent=False)

    def new_table(self, length: int, dim: int) -> Float[Tensor, "L D"]:
        return sinusoidal_grid(self.grid, dim)


class ConvolutionPatchStem(PatchStem):
    """A square image: convolutions over all of it until a pixel is left of each patch, with LayerNorm and GELU, then a
    linear layer and positions. Each halves the sides and doubles the channels, as in Xiao et al. 2021 (arXiv
    2106.14881): a shape is learnt once for all places, where a linear layer learns it for each place in a patch. No
    gain has been measured yet (docs/LOG.md, easy-vqa).
    """

    def __init__(self, config: ModelConfig, patch_size: int, grid: int) -> None:
        """Args: as `PatchStem`; the side of a patch is a power of two."""
        super().__init__(config, config.dim, grid)
        self.side = math.isqrt(patch_size // COLOURS)
        halvings = self.side.bit_length() - 1
        sizes = [COLOURS, *(max(1, config.dim >> left) for left in reversed(range(halvings)))]
        self.convolutions = nn.ModuleList(
            Linear(TAPS * TAPS * size, larger, bias=config.bias) for size, larger in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size, bias=config.bias) for size in sizes[1:])

    def convolved(self, source: FrameSource) -> FrameSource:
        layout, patches = source.layout, self.grid * self.grid
        # An image has a row for each patch; one that is missing has a single row, which reads any patches and is
        # replaced later (`mt.nn.fusion`). Then shapes do not depend on what is missing.
        places = layout.offsets[:-1].long()[:, None] + torch.arange(patches, device=source.rows.device)
        rows = picked(source.rows.to(self.linear.weight.dtype), places.clamp(max=len(source.rows) - 1))
        side = self.grid * self.side
        x = rows.view(-1, self.grid, self.grid, self.side, self.side, COLOURS)
        x = x.permute(0, 5, 1, 3, 2, 4).reshape(-1, COLOURS, side, side)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            side //= 2
            seen = nn.functional.unfold(x, TAPS, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
            made = nn.functional.gelu(norm(convolution(seen)))
            x = made.view(-1, side, side, made.shape[1]).permute(0, 3, 1, 2)
        grid = x.flatten(2).transpose(1, 2).flatten(0, 1)
        return FrameSource(picked(grid, layout.owners * patches + layout.positions), layout)


class ConvolutionStem(LinearStem):
    """Frames of speech: two convolutions over time that halve the rows each, with GELU, then a linear layer and
    positions, as in Whisper (Radford et al. 2023, arXiv 2212.04356) and, with a factor of four, in speech translation
    (Wang et al. 2020, arXiv 2010.05171).

    An item of P rows becomes one of ceil(P / 4), at least one.
    """

    every = 4

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        super().__init__(config, config.dim)
        sizes = (frame_size, config.dim)
        self.convolutions = nn.ModuleList(Linear(TAPS * size, config.dim, bias=config.bias) for size in sizes)

    def convolved(self, source: FrameSource) -> FrameSource:
        rows, layout = source.rows.to(self.linear.weight.dtype), source.layout
        for convolution in self.convolutions:
            half = layout.halved()
            rows = nn.functional.gelu(convolution(windows(rows, layout, half)))
            layout = half
        return FrameSource(rows, layout)


def windows(rows: Float[Tensor, "N F"], layout: Ragged, half: Ragged) -> Float[Tensor, "M F3"]:
    """Every second row between its two neighbours in the item, end to end; zeros where an item begins or ends.

    A linear layer over the result is a convolution of width 3, stride 2 and padding 1 in each item, without a row of
    padding between items. Args: half: `layout.halved()`.
    """
    middle = layout.offsets[:-1].long()[half.owners] + 2 * half.positions
    nothing = torch.full_like(middle, len(rows))
    before = torch.where(half.positions == 0, nothing, middle - 1)
    after = torch.where(middle == layout.last_rows[half.owners], nothing, middle + 1)
    places = torch.stack([before, middle, after], dim=1)
    return picked(nn.functional.pad(rows, (0, 0, 0, 1)), places).flatten(1)


def picked(rows: Float[Tensor, "N F"], places: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape F"]:
    """`rows[places]`, whose gradient adds in a fixed order on every device, unlike that of indexing."""
    return nn.functional.embedding(places, rows)


def stem_of(config: ModelConfig, one: Input) -> LinearStem:
    """The stem for an input that is not text. Raises: ConfigError: for a shape that it cannot have."""
    if one.kind is InputKind.image:
        check_image(config, one)
        stem = PatchStem if config.image_stem is ImageStem.linear else ConvolutionPatchStem
        return stem(config, one.size, one.grid)
    if one.kind is InputKind.audio:
        return ConvolutionStem(config, one.size)
    return LinearStem(config, one.size)


def check_image(config: ModelConfig, one: Input) -> None:
    """Raises: ConfigError: when `model.dim` cannot be halved into sines and cosines, or a patch into single pixels."""
    if config.positions is not Positions.learned:
        require(config.dim % 4 == 0, "model.dim", "be a multiple of 4 for an image", config.dim)
    if config.image_stem is ImageStem.convolution:
        fits = one.patch > 1 and one.patch.bit_count() == 1
        require(fits, "model.image_stem", "be linear where patches have no side of 2, 4, 8, ... pixels", one.patch)
