"""Rules say which piece may come next. Each looks at the prefixes and lowers log-probabilities to minus infinity.

Search applies them in the order given, before it looks for the best pieces. What one rule has forbidden no later rule
allows again. When rules leave a sentence no piece at all, it ends where it stands, unfinished.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.errors import require

FORBIDDEN = -torch.inf


@runtime_checkable  # so that shape checks in tests can tell one
class Rule(Protocol):
    """`prefix` holds the pieces so far, without bos; `owner` the place of each row's sentence in the call.

    A rule may write into `log_probs` (at 320 rows of 8000 pieces a copy costs as much as the search itself) and
    returns what counts from then on.
    """

    def __call__(
        self, prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
    ) -> Float[Tensor, "R V"]: ...


def apply_rules(
    rules: Sequence[Rule], prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
) -> Float[Tensor, "R V"]:
    """The log-probabilities that are left after every rule has had its say."""
    for rule in rules:
        log_probs = rule(prefix, log_probs, owner)
    return log_probs


class BanPieces:
    """Certain pieces never appear."""

    def __init__(self, pieces: Iterable[int]) -> None:
        self.pieces = torch.tensor(sorted(pieces), dtype=torch.long)

    def __call__(
        self, prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
    ) -> Float[Tensor, "R V"]:
        self.pieces = self.pieces.to(log_probs.device)
        return log_probs.index_fill_(1, self.pieces, FORBIDDEN)


class MinLength:
    """A hypothesis does not end before it has so many pieces, eos not counted: a number for all, or one a sentence.

    Raises `ConfigError` when a length is negative.
    """

    def __init__(self, length: int | Sequence[int], *, eos: int) -> None:
        lengths = [length] if isinstance(length, int) else list(length)
        least = min(lengths, default=0)
        require(least >= 0, "decode.min_length", "not be negative", least)
        self.lengths = torch.tensor(lengths, dtype=torch.long)
        self.longest = max(lengths, default=0)
        self.eos = eos

    def __call__(
        self, prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
    ) -> Float[Tensor, "R V"]:
        if prefix.shape[1] < self.longest:
            self.lengths = self.lengths.to(log_probs.device)
            lengths = self.lengths if len(self.lengths) == 1 else self.lengths[owner]
            log_probs[:, self.eos].masked_fill_(prefix.shape[1] < lengths, FORBIDDEN)
        return log_probs


class NoRepeatNgram:
    """No `size` pieces in a row appear twice in one hypothesis; with `size` 1, no piece does.

    The last `size - 1` pieces are compared with every place in the prefix; where they stood before, the piece that
    followed then is forbidden now. Raises `ConfigError` when `size` is not positive.
    """

    def __init__(self, size: int) -> None:
        require(size > 0, "decode.no_repeat_ngram", "be positive", size)
        self.size = size

    def __call__(
        self, prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
    ) -> Float[Tensor, "R V"]:
        length = prefix.shape[1]
        if length < self.size:
            return log_probs
        ngrams = prefix.unfold(1, self.size, 1)  # [R, T] -> [R, T - size + 1, size]
        last = prefix[:, None, length - self.size + 1 :]
        seen = (ngrams[:, :, :-1] == last).all(dim=2)
        fine = log_probs.new_zeros(seen.shape).masked_fill_(seen, FORBIDDEN)
        return log_probs.scatter_add_(1, ngrams[:, :, -1], fine)


class ForcedPrefix:
    """Every translation begins with given pieces: `prefixes[i]` for sentence i of the call, none where it is empty.

    Forced pieces keep the log-probability the model gives them. Raises `ConfigError` on a negative id.
    """

    def __init__(self, prefixes: Sequence[Sequence[int]]) -> None:
        lowest = min((piece for prefix in prefixes for piece in prefix), default=0)
        require(lowest >= 0, "decode.prefix", "hold piece ids, which are not negative", lowest)
        free = -1
        longest = max((len(prefix) for prefix in prefixes), default=0)
        table = [[*prefix, *[free] * (longest - len(prefix))] for prefix in prefixes]
        self.forced = torch.tensor(table, dtype=torch.long).view(len(table), longest)

    def __call__(
        self, prefix: Int[Tensor, "R T"], log_probs: Float[Tensor, "R V"], owner: Int[Tensor, " R"]
    ) -> Float[Tensor, "R V"]:
        length = prefix.shape[1]
        if length >= self.forced.shape[1]:
            return log_probs
        self.forced = self.forced.to(log_probs.device)
        piece = self.forced[owner, length, None]  # [R, 1]
        chosen = piece.clamp(min=0)
        only = torch.full_like(log_probs, FORBIDDEN).scatter_(1, chosen, log_probs.gather(1, chosen))
        return torch.where(piece >= 0, only, log_probs)
