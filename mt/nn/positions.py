"""Position encodings: sinusoidal and rotary. Learned ones are parameters (`mt.nn.transformer`).

`N` rows, `D` model size, `H` heads, `K` size of a head, `L` table length.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sinusoidal_table(length: int, dim: int) -> Float[Tensor, "L D"]:
    """Sines in the first half of the columns, cosines in the second; positions count from 0.

    PE(pos, i) = sin(pos / 10000^(2i / D)), PE(pos, D/2 + i) = cos(same) (Vaswani et al. 2017, section 3.5, with the
    columns sorted as Marian and Hugging Face's MarianMTModel have them).
    """
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-math.log(10_000.0) / dim))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def sinusoidal_grid(side: int, dim: int) -> Float[Tensor, "L D"]:
    """Positions of a square of `side` x `side` rows in reading order: `sinusoidal_table` of the line in the first half
    of the columns, and of the place in the line in the second. Args: dim: a multiple of 4."""
    table = sinusoidal_table(side, dim // 2)
    return torch.cat([table.repeat_interleave(side, 0), table.repeat(side, 1)], dim=1)


def rotate(x: Float[Tensor, "N H K"], positions: Int[Tensor, " N"]) -> Float[Tensor, "N H K"]:
    """Rotate each pair (x_i, x_{i + K/2}) of a head by the angle position / 10000^(2i / K).

    Rotary embedding (Su et al. 2021, arXiv 2104.09864) in the "rotate half" layout of GPT-NeoX and LLaMA. The product
    of two rotated vectors depends only on the difference of their positions.
    """
    half = x.shape[-1] // 2
    rates = torch.exp(torch.arange(half, device=x.device, dtype=torch.float32) * (-math.log(10_000.0) / half))
    angles = positions[:, None, None].float() * rates
    sin, cos = angles.sin().to(x.dtype), angles.cos().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
