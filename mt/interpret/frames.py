"""Cross-attention of models whose source is not text: heat maps over a picture, or over time, as one HTML file.

Letters: `P` rows of a source, `M` of its memory, `V` target words; `X`, `Y` pixels; the others as in `mt.nn`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from mt.alignment.observe import Side
from mt.alignment.shares import shares
from mt.config import Input, InputKind
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.inputs.audio import SHIFT
from mt.inputs.image import image_of
from mt.interpret.report import filled, packed, rounded, words_of
from mt.nn.encoders import FrameEncoder
from mt.nn.forced import force
from mt.text.words import reading_words

LOUD = 2.5  # standard deviations of a band that are drawn black
GRAY = 128


@dataclass(frozen=True)
class FrameObservation:
    """One source, a target for it, and the teacher-forced pass over them."""

    name: str  # the cell
    pixels: UInt8[NDArray[Any], "Y X 3"]
    grid: tuple[int, int]  # lines and columns of the memory's rows over the picture
    seconds: float | None  # that the picture lasts; None: it has no time
    target: Side
    maps: Float[Tensor, "2 L H V M"]  # of the rows that predict each word, then of those whose input it is
    log_probs: list[float]  # of each word


def observe_frames(translator: Translator, sources: Sequence[str], targets: Sequence[str]) -> list[FrameObservation]:
    """The attention of a model of one input that is not text.

    Args: sources: rows of a table (`mt.inputs.reader`); targets: their texts.
    Raises: ConfigError: for a model of other inputs; DataError: when a cell cannot be read.
    """
    model, tokenizer, reader = translator.stepper.model, translator.tokenizer, translator.reader
    if reader is None or len(reader.inputs) != 1 or not isinstance(model.encoder, FrameEncoder):
        raise ConfigError("a heat map over the source needs a model with one input that is not text.")
    items = translator.encode_sources(sources)
    sides = [Side(text, reading_words(text), tokenizer.offsets_target(text)) for text in targets]
    sides = [Side(side.text, side.words, side.tokens[: translator.max_length - 1]) for side in sides]
    passes = force(
        model, items, [side.ids for side in sides], bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",)
    )  # fmt: skip
    found: list[FrameObservation] = []
    for name, item, side, forced in zip(sources, items, sides, passes, strict=True):
        assert isinstance(item, Tensor)
        length, to_words = len(side.tokens), shares(side.tokens, side.words)
        both = torch.stack([forced.maps.cross[:, :, :length], forced.maps.cross[:, :, 1 : length + 1]])
        maps = torch.einsum("xlhps,pv->xlhvs", both, to_words / to_words.sum(0, keepdim=True).clamp(min=1e-9))
        picture = drawn(reader.inputs[0], item.numpy(), model.encoder.embedding.every)
        log_probs = (forced.log_probs[:-1] @ to_words).tolist()
        found.append(FrameObservation(name, *picture, side, maps, log_probs))
    return found


def drawn(
    one: Input, rows: Float[NDArray[Any], "P F"], every: int
) -> tuple[UInt8[NDArray[Any], "Y X 3"], tuple[int, int], float | None]:
    """The rows of a source as a picture, how the memory's rows lie over it, and how long it lasts.

    A picture is as the model sees it. Of audio and features, rows go from left to right, their numbers from the bottom
    up; dark is loud, or large. Args: every: source rows for a row of the memory.
    """
    if one.kind is InputKind.image and len(rows) == one.grid**2:
        return image_of(rows * np.float32(one.scale), one.patch), (one.grid, one.grid), None
    columns = -(-len(rows) // every)
    speech = one.kind is InputKind.audio
    low, high = (-LOUD, LOUD) if speech else (float(rows.min()), float(rows.max()))
    shade = 255 - (rows * (one.scale if speech else 1.0) - low).clip(0, high - low) * (255 / max(high - low, 1e-9))
    sheet = np.full((rows.shape[1], columns * every), GRAY, np.uint8)
    sheet[:, : len(rows)] = shade.round().astype(np.uint8).T[::-1]
    seconds = columns * every * SHIFT / 1000 if speech else None
    return sheet[:, :, None].repeat(3, 2), (1, columns), seconds


def frames_page(name: str, seen: Sequence[FrameObservation], title: str) -> str:
    """The HTML of the file. Args: name: of the model."""
    _, layers, heads, _, _ = seen[0].maps.shape
    pairs = [
        {
            "source": one.name,
            "target": words_of(one.target),
            "width": one.pixels.shape[1],
            "height": one.pixels.shape[0],
            "pixels": base64.b64encode(one.pixels.tobytes()).decode(),
            "grid": one.grid,
            "seconds": one.seconds,
            "weights": packed(one.maps),
            "log_probs": rounded(one.log_probs),
        }
        for one in seen
    ]
    model = {"name": name, "layers": layers, "heads": heads, "pairs": pairs}
    return filled("frames", {"title": title, "models": [model]})
