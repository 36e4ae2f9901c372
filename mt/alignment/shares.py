"""How much of each piece belongs to each word."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mt.text.words import Offset, Span


def shares(pieces: Sequence[Offset], words: Sequence[Span]) -> Float[Tensor, "P W"]:
    """What part of each piece belongs to each word: the characters of it that lie in the word, over those in any.

    A piece that covers no word's characters belongs wholly to the word that goes on, or begins, where it ends, as in
    `mt.text.words.owners`; where there is none it has a row of zeros. A word that no piece touches, as normalisation
    removed it, has a column of zeros.
    """
    begin, end = torch.tensor([piece[1:] for piece in pieces], dtype=torch.int64).view(-1, 2, 1).unbind(1)
    first, last = torch.tensor(words, dtype=torch.int64).view(1, -1, 2).unbind(2)
    covered = (torch.minimum(end, last) - torch.maximum(begin, first)).clamp(min=0)
    alone = covered.sum(1, keepdim=True) == 0
    covered = torch.where(alone, ((first <= end) & (end < last)).long(), covered).float()
    return covered / covered.sum(1, keepdim=True).clamp(min=1)


def source_shares(pieces: Sequence[Offset], words: Sequence[Span]) -> Float[Tensor, "S W1"]:
    """`shares` of a source and, as the last row, its end mark; the last column is what belongs to no word."""
    within = torch.cat([shares(pieces, words), torch.zeros(1, len(words))])
    return torch.cat([within, 1 - within.sum(1, keepdim=True)], dim=1)
