"""Cross-attention of models whose source is not text: heat maps over a picture, or over time, as one HTML file.

Letters: `M` rows of a memory, `V` pieces of the target; the others as in `mt.nn`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mt.alignment.observe import Side
from mt.inputs.kind import FrameKind, Picture
from mt.interpret.report import filled, packed, rounded, words_of
from mt.nn.encoders import FrameEncoder
from mt.nn.forced import force
from mt.nn.source import Items
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FrameObservation:
    """One source, a target for it, and the teacher-forced pass over them."""

    picture: Picture
    target: Side  # its words are its pieces
    maps: Float[Tensor, "2 L H V M"]  # of the rows that predict each piece, then of those whose input it is
    log_probs: list[float]  # of each piece


def observe_frames(
    model: Transformer,
    tokenizer: Tokenizer,
    kind: FrameKind,
    items: Items,
    targets: Sequence[str],
    *,
    max_length: int,
) -> list[FrameObservation]:
    """The attention of a model of frames.

    Args: kind: of its input; items: as `kind.read` gives them; targets: their texts; max_length: the longest target, in
    tokens, that the model takes; longer ones are cut.
    """
    assert isinstance(model.encoder, FrameEncoder)
    offsets = [tokenizer.offsets_target(text)[: max_length - 1] for text in targets]
    # Pieces, not words: a word such as a German number says several things that are in several places.
    sides = [
        Side(text, [(begin, end) for _, begin, end in tokens], tokens)
        for text, tokens in zip(targets, offsets, strict=True)
    ]
    ids = [side.ids for side in sides]
    found: list[FrameObservation] = []
    for item, side, forced in zip(
        items, sides, force(model, items, ids, bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",)), strict=True
    ):
        assert isinstance(item, Tensor)
        length, cross = len(side.tokens), forced.maps.cross
        maps = torch.stack([cross[:, :, :length], cross[:, :, 1 : length + 1]])
        picture = kind.picture(item.numpy(), model.encoder.embedding.every)
        found.append(FrameObservation(picture, side, maps, forced.log_probs[:-1].tolist()))
    return found


def frames_page(name: str, sources: Sequence[str], seen: Sequence[FrameObservation], title: str) -> str:
    """The HTML of the file. Args: name: of the model; sources: names of the sources."""
    _, layers, heads, _, _ = seen[0].maps.shape
    pairs = [
        {
            "source": source,
            "target": words_of(one.target),
            "width": one.picture.pixels.shape[1],
            "height": one.picture.pixels.shape[0],
            "pixels": base64.b64encode(one.picture.pixels.tobytes()).decode(),
            "grid": one.picture.grid,
            "seconds": one.picture.seconds,
            "weights": packed(one.maps),
            "log_probs": rounded(one.log_probs),
        }
        for source, one in zip(sources, seen, strict=True)
    ]
    model = {"name": name, "layers": layers, "heads": heads, "pairs": pairs}
    return filled("frames", {"title": title, "models": [model]})
