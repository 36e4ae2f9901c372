"""Cross-attention of models whose source is not text: heat maps over a picture, or over time, as one HTML file.

Letters: `M` rows of a memory, `V` target words; the others as in `mt.nn`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mt.alignment.observe import Side
from mt.alignment.shares import shares
from mt.inputs.kind import FrameKind, Picture
from mt.interpret.report import filled, packed, rounded, words_of
from mt.nn.encoders import FrameEncoder
from mt.nn.forced import force
from mt.nn.source import Items
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.words import reading_words


@dataclass(frozen=True)
class FrameObservation:
    """One source, a target for it, and the teacher-forced pass over them."""

    picture: Picture
    target: Side
    maps: Float[Tensor, "2 L H V M"]  # of the rows that predict each word, then of those whose input it is
    log_probs: list[float]  # of each word


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
    sides = [Side(text, reading_words(text), tokenizer.offsets_target(text)[: max_length - 1]) for text in targets]
    ids = [side.ids for side in sides]
    passes = force(model, items, ids, bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",))
    found: list[FrameObservation] = []
    for item, side, forced in zip(items, sides, passes, strict=True):
        length, to_words = len(side.tokens), shares(side.tokens, side.words)
        both = torch.stack([forced.maps.cross[:, :, :length], forced.maps.cross[:, :, 1 : length + 1]])
        maps = torch.einsum("xlhps,pv->xlhvs", both, to_words / to_words.sum(0, keepdim=True).clamp(min=1e-9))
        assert isinstance(item, Tensor)
        picture = kind.picture(item.numpy(), model.encoder.embedding.every)
        found.append(FrameObservation(picture, side, maps, (forced.log_probs[:-1] @ to_words).tolist()))
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
