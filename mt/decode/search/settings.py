"""The settings of a search and its results."""

import math
from dataclasses import dataclass

from mt.config import DecodeConfig, LengthNorm, Unknown
from mt.decode.search.rules import BanTokens, MinLength, NoRepeatNgram, Rule
from mt.errors import require
from mt.nn.source import Items


@dataclass(kw_only=True, slots=True)
class Search(DecodeConfig):
    """The settings of one search, with the special ids of its vocabulary. Lengths count generated tokens with eos;
    `max_length` is at most the number of positions of the model.

    Hypotheses are compared by `score = log_prob / penalty(length)`, where `length_norm` chooses the penalty:

        average   length ** length_penalty: 0 is the plain sum and prefers short output, 1 the mean per token. It is
                  the `lenpen` of fairseq and the `length_penalty` of CTranslate2
        gnmt      ((5 + length) / 6) ** length_penalty (Wu et al. 2016, arXiv:1609.08144, eq. 14)
        none      1

    None of them falls as the length grows, which the stopping rule of `beam.py` relies on. `coverage_penalty` lowers
    the log-probability for source tokens that are not attended to (`coverage.py`).
    """

    bos: int
    eos: int
    pad: int
    nbest: int = 1

    def __post_init__(self) -> None:
        DecodeConfig.__post_init__(self)
        fits = 0 < self.nbest <= self.beam
        require(fits, "decode.nbest", f"lie between 1 and `decode.beam` ({self.beam})", self.nbest)

    @property
    def enough(self) -> float:
        """The number of ended hypotheses that is enough for a beam, or for each group of it (see `beam.py`)."""
        if self.patience is None:
            return math.inf
        return max(self.patience * self.beam, self.nbest) / self.groups

    def max_lengths(self, source: Items) -> list[int]:
        """The longest output of each sentence: `max_ratio * source tokens + max_extra`, at least 1."""
        lengths = [max(1, int(self.max_ratio * len(sentence)) + self.max_extra) for sentence in source]
        return lengths if self.max_length is None else [min(length, self.max_length) for length in lengths]

    def min_lengths(self, source: Items) -> list[int]:
        """The shortest output of each sentence, without eos; empty: any length will do."""
        if not self.min_length and not self.min_ratio:
            return []
        least = [max(self.min_length, int(self.min_ratio * len(sentence))) for sentence in source]
        return [min(n, limit - 1) for n, limit in zip(least, self.max_lengths(source), strict=True)]

    def rules(self, source: Items, *, unk: int) -> list[Rule]:
        """The rules that these settings require for some sentences."""
        rules: list[Rule] = []
        if self.unknown is Unknown.ban:
            rules.append(BanTokens([unk]))
        if least := self.min_lengths(source):
            rules.append(MinLength(least, eos=self.eos))
        if self.no_repeat_ngram:
            rules.append(NoRepeatNgram(self.no_repeat_ngram))
        return rules

    def penalties(self, longest: int) -> list[float]:
        """The divisors of log-probabilities for the lengths 0 .. `longest`; 1 for an empty hypothesis.

        Python's power, since torch's vectorised `pow` may round a number differently by its place in a tensor: the
        score of a sentence would then depend on the longest of its batch.
        """
        if self.length_norm is LengthNorm.none:
            return [1.0] * (longest + 1)
        gnmt = self.length_norm is LengthNorm.gnmt
        bases = [(5 + length) / 6 if gnmt else float(length) for length in range(1, longest + 1)]
        return [1.0, *(base**self.length_penalty for base in bases)]

    def never(self) -> BanTokens:
        """The rule that pad and bos are never produced, unless one of them is also eos."""
        return BanTokens({self.pad, self.bos} - {self.eos})


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """One translation. `tokens` is without bos and eos; `token_log_probs` has an entry for eos when `finished`."""

    tokens: list[int]
    score: float  # log_prob / penalty(length)
    log_prob: float  # the sum of token_log_probs, accumulated in float32
    token_log_probs: list[float]
    finished: bool  # False: cut at the maximum length, or where the rules allowed no token
