"""How much of the decoder's cross-attention each of several inputs gets, for each token of a translation.

A share is a sum of attention weights over the rows of an input, averaged over layers and heads. It shows where the
model attends, not what it needs: translate with an empty cell to see what an input is worth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mt.decode.translator import Translator
from mt.errors import ConfigError, DataError
from mt.nn.forced import force_batch
from mt.nn.fusion import ConcatEncoder

BATCH = 32  # sentences in one pass
END = "</s>"


@dataclass(frozen=True)
class SourceShares:
    """The shares of one translation."""

    pieces: list[str]  # of the translation, and the end mark
    shares: Float[Tensor, "t _K"]  # of each input when the piece is predicted; each row sums to one

    @property
    def mean(self) -> Float[Tensor, " _K"]:
        return self.shares.mean(0)


def source_shares(translator: Translator, rows: Sequence[str], texts: Sequence[str]) -> Iterator[SourceShares]:
    """The shares of each translation, in order.

    Args: rows: of a table, as the translator reads them; texts: their translations.
    Raises: ConfigError: for a model of one input; DataError: for a cell that cannot be read, or a long pair.
    """
    model, tokenizer = translator.stepper.model, translator.tokenizer
    encoder = model.encoder
    if not isinstance(encoder, ConcatEncoder):
        raise ConfigError("Shares of inputs need a model of several inputs (`data.inputs`), but this one has one.")
    sources, targets = translator.encode_sources(rows), tokenizer.encode_target(list(texts))
    for number, (source, target) in enumerate(zip(sources, targets, strict=True), 1):
        if max(len(source), len(target) + 1) > translator.max_length:
            raise DataError(
                f"input {number:,} has {len(source):,} rows and a translation of {len(target):,} tokens, but the model "
                f"takes at most {translator.max_length:,} a side: shorten it."
            )
    model.eval()
    for first in range(0, len(rows), BATCH):
        some = slice(first, first + BATCH)
        with torch.inference_mode():
            packed = encoder.pack(sources[some]).to(model.tgt_weight.device)  # pyright: ignore[reportArgumentType]
            lengths = torch.stack([memory.layout.lengths for memory in encoder.memories(packed)], dim=1).tolist()
        passes = force_batch(model, sources[some], targets[some], bos=tokenizer.bos, eos=tokenizer.eos, uses=("cross",))
        for own, target, forced in zip(lengths, targets[some], passes, strict=True):
            weights = forced.maps.cross.mean((0, 1))  # [t, rows of all inputs]
            shares = torch.stack([part.sum(1) for part in weights.split(own, dim=1)], dim=1)
            yield SourceShares([*tokenizer.pieces_target(target), END], shares)


def shares_table(columns: Sequence[str], found: Sequence[SourceShares], first: int = 1) -> str:
    """A table of tab-separated cells: a row for each piece, one for each sentence, and one for all pieces.

    Args: columns: the names of the inputs; first: the number of the first sentence.
    """
    rows = [("sentence", "piece", *columns)]
    for number, one in enumerate(found, first):
        rows += [(str(number), *cells) for cells in zip(one.pieces, *_cells(one.shares), strict=True)]
        rows.append((str(number), "mean", *(column[0] for column in _cells(one.mean[None]))))
    rows.append(("all", "mean", *(column[0] for column in _cells(mean_share(found)[None]))))
    return "".join("\t".join(row) + "\n" for row in rows)


def mean_share(found: Sequence[SourceShares]) -> Float[Tensor, " _K"]:
    """Over all pieces of all sentences."""
    return torch.cat([one.shares for one in found]).mean(0)


def _cells(shares: Float[Tensor, "t _K"]) -> list[list[str]]:
    """Each column as text."""
    return [[f"{value:.3f}" for value in column] for column in shares.T.tolist()]
