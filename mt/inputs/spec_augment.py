"""SpecAugment: recordings with some of their time and bands hidden at random, in training, so that a model learns to
hear a word by several of its traits (Park et al. 2019, arXiv 1904.08779)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

MASKS = 2  # over the time of an item, and as many over its bands


def draw_masks(count: int, share: float, seed: int) -> NDArray[np.float32]:
    """For each of some items the masks over time, then those over bands, as a width and a place: `[N, 2 MASKS, 2]`.

    A pure function of the arguments. Args: share: the widest mask, as a share of the item's frames or bands.
    """
    draws = torch.rand(count, 2 * MASKS, 2, generator=torch.Generator().manual_seed(seed))
    return (draws * torch.tensor([share, 1.0])).numpy()


def masked(rows: Float[Tensor, "P F"], masks: Sequence[Sequence[float]]) -> Float[Tensor, "P F"]:
    """A copy with zeros, the mean of a band, under the masks. Args: masks: of one item, as `draw_masks` gives them."""
    rows = rows.clone()
    for number, (width, place) in enumerate(masks):
        axis = number // MASKS
        hidden = int(width * rows.shape[axis])
        first = int(place * (rows.shape[axis] - hidden + 1))
        rows.narrow(axis, first, hidden).zero_()
    return rows
