"""Cross-attention of models that read columns of a table: heat maps over pictures, over time and over text, one input
beside the other with its share of the attention, as one HTML file.

Letters: `M` rows of a memory, `V` pieces of the target; the others as in `mt.nn`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mt.alignment.observe import Side
from mt.inputs.kind import Picture
from mt.inputs.reader import InputReader
from mt.inputs.several import SeveralInputs
from mt.interpret.report import filled, packed, rounded, words_of
from mt.nn.forced import force
from mt.nn.fusion import ConcatEncoder
from mt.nn.source import Items
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer

END = "∎"  # the last row of a text, as on the page of texts


@dataclass(frozen=True)
class View:
    """One input of an item: what the model reads, and how many rows of the memory are its own."""

    name: str  # of the column
    shown: Picture | Side  # of a text, the words are its pieces
    rows: int


@dataclass(frozen=True)
class InputObservation:
    """One item, a target for it, and the teacher-forced pass over them."""

    views: list[View]  # their rows follow each other in the memory
    target: Side  # its words are its pieces
    maps: Float[Tensor, "2 L H V M"]  # of the rows that predict each piece, then of those whose input it is
    cross: Float[Tensor, "L H _t M"]  # of all rows, that which predicts the end included
    log_probs: list[float]  # of each piece

    def split(self, weights: Float[Tensor, "*rows M"]) -> list[Float[Tensor, "*rows _m"]]:
        """The weights on each view."""
        return list(weights.split([view.rows for view in self.views], dim=-1))

    def shares(self) -> list[float]:
        """The mean weight of each view, over pieces, layers and heads."""
        return [float(part.sum(-1).mean()) for part in self.split(self.cross)]


def observe_inputs(
    model: Transformer,
    tokenizer: Tokenizer,
    reader: InputReader,
    sources: Sequence[str],
    items: Items,
    targets: Sequence[str],
    *,
    max_length: int,
) -> list[InputObservation]:
    """The attention of a model that reads tables.

    Args: items: of the sources, as `reader` gives them; targets: their texts; max_length: the longest target, in
    tokens, that the model takes; longer ones are cut.
    """
    sides = [pieces_of(text, tokenizer.offsets_target(text)[: max_length - 1]) for text in targets]
    ids = [side.ids for side in sides]
    found: list[InputObservation] = []
    passes = force(model, items, ids, bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",))
    for source, item, side, forced in zip(sources, items, sides, passes, strict=True):
        length, cross = len(side.tokens), forced.maps.cross
        maps = torch.stack([cross[:, :, :length], cross[:, :, 1 : length + 1]])
        views = views_of(model, tokenizer, reader, reader.cells(source), item)
        found.append(InputObservation(views, side, maps, cross, forced.log_probs[:-1].tolist()))
    return found


def pieces_of(text: str, tokens: Sequence[tuple[int, int, int]]) -> Side:
    """Pieces as words: a word such as a German number says several things that are in several places."""
    return Side(text, [(begin, end) for _, begin, end in tokens], list(tokens))


def views_of(
    model: Transformer,
    tokenizer: Tokenizer,
    reader: InputReader,
    cells: Sequence[str],
    item: Sequence[int] | Tensor | SeveralInputs,
) -> list[View]:
    """Args: cells: of the item, one for each input."""
    encoders: list[Any] = model.encoder.of_inputs if isinstance(model.encoder, ConcatEncoder) else [model.encoder]
    parts = item.parts if isinstance(item, SeveralInputs) else (item,)
    found: list[View] = []
    for one, kind, encoder, cell, part in zip(reader.inputs, reader.kinds, encoders, cells, parts, strict=True):
        if kind is None:
            found.append(View(one.column, pieces_of(cell, tokenizer.offsets_source(cell)), len(part)))
            continue
        assert isinstance(part, Tensor)
        picture = kind.picture(part.numpy(), encoder.every)
        found.append(View(one.column, picture, picture.grid[0] * picture.grid[1]))
    return found


def inputs_page(name: str, sources: Sequence[str], seen: Sequence[InputObservation], title: str) -> str:
    """The HTML of the file. Args: name: of the model; sources: names of the sources."""
    _, layers, heads, _, _ = seen[0].maps.shape
    pairs = [
        {
            "source": source,
            "target": words_of(one.target),
            "inputs": [_input(view) for view in one.views],
            "weights": packed(one.maps),
            "log_probs": rounded(one.log_probs),
        }
        for source, one in zip(sources, seen, strict=True)
    ]
    model = {"name": name, "layers": layers, "heads": heads, "pairs": pairs}
    return filled("inputs", {"title": title, "models": [model]})


def _input(view: View) -> dict[str, Any]:
    found: dict[str, Any] = {"name": view.name, "rows": view.rows}
    if isinstance(view.shown, Side):
        return {**found, "grid": [1, view.rows], "words": [*words_of(view.shown), {"t": END, "g": " "}]}
    height, width, _ = view.shown.pixels.shape
    pixels = base64.b64encode(view.shown.pixels.tobytes()).decode()
    found |= {"grid": view.shown.grid, "width": width, "height": height, "pixels": pixels}
    return {**found, "seconds": view.shown.seconds}
