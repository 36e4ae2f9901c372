"""How much of each token belongs to each word, and what follows for attention between words."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mt.text.words import Offset, Span


def shares(tokens: Sequence[Offset], words: Sequence[Span]) -> Float[Tensor, "P W"]:
    """The part of each token that belongs to each word: its characters in the word over its characters in any word.

    A token without a character of a word belongs to the word that continues, or begins, where the token ends, as in
    `mt.text.words.owners`; without such a word it has a row of zeros. A word without tokens, which normalisation has
    removed, has a column of zeros.
    """
    begin, end = torch.tensor([token[1:] for token in tokens], dtype=torch.int64).view(-1, 2, 1).unbind(1)
    first, last = torch.tensor(words, dtype=torch.int64).view(1, -1, 2).unbind(2)
    covered = (torch.minimum(end, last) - torch.maximum(begin, first)).clamp(min=0)
    alone = covered.sum(1, keepdim=True) == 0
    covered = torch.where(alone, ((first <= end) & (end < last)).long(), covered).float()
    return covered / covered.sum(1, keepdim=True).clamp(min=1)


def source_shares(tokens: Sequence[Offset], words: Sequence[Span]) -> Float[Tensor, "S W1"]:
    """`shares` of a source with eos as its last row; the last column is what belongs to no word."""
    within = torch.cat([shares(tokens, words), torch.zeros(1, len(words))])
    return torch.cat([within, 1 - within.sum(1, keepdim=True)], dim=1)


def word_weights(
    weights: Float[Tensor, "*maps P S1"],
    source_tokens: Sequence[Offset],
    source_words: Sequence[Span],
    target_tokens: Sequence[Offset],
    target_words: Sequence[Span],
) -> Float[Tensor, "*maps V W1"]:
    """Attention from target tokens to source tokens and eos, as attention between words.

    The weight of a source word is the sum over its tokens, that of a target word the mean over its tokens. The last
    column is the weight on no word: eos. A target word without tokens has a row of zeros.
    """
    to_target = shares(target_tokens, target_words)
    to_target = to_target / to_target.sum(0, keepdim=True).clamp(min=1e-9)
    return to_target.t() @ weights @ source_shares(source_tokens, source_words)
