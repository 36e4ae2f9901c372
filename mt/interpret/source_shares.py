"""How much of the decoder's cross-attention each of several inputs gets, for each token of a translation.

A share is a sum of attention weights over the rows of an input, averaged over layers and heads. It shows where the
model attends, not what it needs: translate with an empty cell to see what an input is worth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mt.nn.forced import force_batch
from mt.nn.fusion import ConcatEncoder
from mt.nn.source import Items
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer

BATCH = 32  # sentences in one pass
END = "</s>"


@dataclass(frozen=True)
class SourceShares:
    """The shares of one translation."""

    pieces: list[str]  # of the translation, and the end mark
    shares: Float[Tensor, "t _K"]  # of each input when the piece is predicted; each row sums to one


def source_shares(
    model: Transformer, tokenizer: Tokenizer, sources: Items, targets: Sequence[list[int]]
) -> Iterator[SourceShares]:
    """The shares of each pair, in order.

    Args: model: of several inputs; sources: items, as the model reads them; targets: token ids without bos and eos.
    """
    encoder = model.encoder
    assert isinstance(encoder, ConcatEncoder), "shares need several inputs"
    model.eval()
    for first in range(0, len(sources), BATCH):
        pairs = sources[first : first + BATCH], targets[first : first + BATCH]
        passes = force_batch(model, *pairs, bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",))
        for item, target, forced in zip(*pairs, passes, strict=True):
            weights = forced.maps.cross.mean((0, 1))  # [t, rows of all inputs]
            parts = zip(item.parts, encoder.of_inputs, strict=True)  # pyright: ignore[reportAttributeAccessIssue]
            rows = [-(-len(part) // one.every) for part, one in parts]
            shares = torch.stack([part.sum(1) for part in weights.split(rows, dim=1)], dim=1)
            yield SourceShares([*tokenizer.pieces_target(target), END], shares)


def shares_table(columns: Sequence[str], found: Sequence[SourceShares], numbers: Sequence[int]) -> str:
    """A table of tab-separated cells: a row for each piece, one for each sentence, and one for all pieces.

    Args: columns: the names of the inputs; numbers: of the sentences.
    """
    rows = [("sentence", "piece", *columns)]
    for number, one in zip(numbers, found, strict=True):
        rows += [(str(number), piece, *_cells(row)) for piece, row in zip(one.pieces, one.shares, strict=True)]
        rows.append((str(number), "mean", *_cells(one.shares.mean(0))))
    rows.append(("all", "mean", *_cells(mean_share(found))))
    return "".join("\t".join(row) + "\n" for row in rows)


def mean_share(found: Sequence[SourceShares]) -> Float[Tensor, " _K"]:
    """Over all pieces of all sentences."""
    return torch.cat([one.shares for one in found]).mean(0)


def _cells(shares: Float[Tensor, " _K"]) -> list[str]:
    return [f"{value:.3f}" for value in shares.tolist()]
