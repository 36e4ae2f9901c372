"""Rules forbid tokens: each sets log-probabilities of next tokens to minus infinity, given the prefixes.

Search applies them in the given order, before it selects the best tokens. A forbidden token is not allowed again by a
later rule. When rules leave a sentence no token, it ends there, unfinished.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.errors import require

FORBIDDEN = -torch.inf
Prefix = Int[Tensor, "R T"]  # the tokens so far, without bos
LogProbs = Float[Tensor, "R V"]  # of the next token
Owner = Int[Tensor, " R"]  # the place of each row's sentence in the call


@runtime_checkable  # for the type checks in tests
class Rule(Protocol):
    """Returns the new log-probabilities. It may write into `log_probs`: at 320 rows of 8000 tokens a copy costs as much
    as the search itself."""

    def __call__(self, prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs: ...


def apply_rules(rules: Sequence[Rule], prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs:
    for rule in rules:
        log_probs = rule(prefix, log_probs, owner)
    return log_probs


class BanTokens:
    """Certain tokens never appear."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self.tokens = torch.tensor(sorted(tokens), dtype=torch.long)

    def __call__(self, prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs:
        self.tokens = self.tokens.to(log_probs.device)
        return log_probs.index_fill_(1, self.tokens, FORBIDDEN)


class MinLength:
    """A minimum number of tokens without eos, for all sentences or for each.

    Raises `ConfigError` when a length is negative.
    """

    def __init__(self, length: int | Sequence[int], *, eos: int) -> None:
        lengths = [length] if isinstance(length, int) else list(length)
        least = min(lengths, default=0)
        require(least >= 0, "decode.min_length", "not be negative", least)
        self.lengths = torch.tensor(lengths, dtype=torch.long)
        self.longest = max(lengths, default=0)
        self.eos = eos

    def __call__(self, prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs:
        if prefix.shape[1] < self.longest:
            self.lengths = self.lengths.to(log_probs.device)
            lengths = self.lengths if len(self.lengths) == 1 else self.lengths[owner]
            log_probs[:, self.eos].masked_fill_(prefix.shape[1] < lengths, FORBIDDEN)
        return log_probs


class NoRepeatNgram:
    """No n-gram of `size` tokens appears twice in one hypothesis.

    The last `size - 1` tokens are compared with every place in the prefix; the tokens that followed equal ones are
    forbidden. Raises `ConfigError` when `size` is not positive.
    """

    def __init__(self, size: int) -> None:
        require(size > 0, "decode.no_repeat_ngram", "be positive", size)
        self.size = size

    def __call__(self, prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs:
        length = prefix.shape[1]
        if length < self.size:
            return log_probs
        ngrams = prefix.unfold(1, self.size, 1)  # [R, T] -> [R, T - size + 1, size]
        last = prefix[:, None, length - self.size + 1 :]
        seen = (ngrams[:, :, :-1] == last).all(dim=2)
        change = log_probs.new_zeros(seen.shape).masked_fill_(seen, FORBIDDEN)
        return log_probs.scatter_add_(1, ngrams[:, :, -1], change)


class ForcedPrefix:
    """The translation of sentence i of the call begins with the tokens `prefixes[i]`, which may be empty.

    Forced tokens keep their log-probabilities. Raises `ConfigError` on a negative id.
    """

    def __init__(self, prefixes: Sequence[Sequence[int]], then: Sequence[Rule] = ()) -> None:
        """Args: then: rules for the tokens after the prefix, which may hold what they forbid."""
        lowest = min((token for prefix in prefixes for token in prefix), default=0)
        require(lowest >= 0, "decode.prefix", "hold token ids, which are not negative", lowest)
        free = -1
        longest = max((len(prefix) for prefix in prefixes), default=0)
        table = [[*prefix, *[free] * (longest - len(prefix))] for prefix in prefixes]
        self.forced = torch.tensor(table, dtype=torch.long).view(len(table), longest)
        self.then = then

    def __call__(self, prefix: Prefix, log_probs: LogProbs, owner: Owner) -> LogProbs:
        length = prefix.shape[1]
        if length >= self.forced.shape[1]:
            return apply_rules(self.then, prefix, log_probs, owner)
        self.forced = self.forced.to(log_probs.device)
        token = self.forced[owner, length, None]  # [R, 1]
        chosen = token.clamp(min=0)
        only = torch.full_like(log_probs, FORBIDDEN).scatter_(1, chosen, log_probs.gather(1, chosen))
        return torch.where(token >= 0, only, apply_rules(self.then, prefix, log_probs, owner))
