"""What is asked of a search, and what it answers."""

import math
from dataclasses import dataclass

from mt.config import LengthNorm
from mt.decode.rules import BanPieces
from mt.errors import require
from mt.nn.source import Items


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """The settings of one search. Lengths count generated pieces, the end mark included.

    Hypotheses compare by `score = log_prob / penalty(length)`, where `length_norm` says what the penalty is:

        average   length ** length_penalty: 0 is the plain sum and prefers short output, 1 the mean per piece. It is
                  the `lenpen` of fairseq and the `length_penalty` of CTranslate2
        gnmt      ((5 + length) / 6) ** length_penalty (Wu et al. 2016, arXiv:1609.08144, eq. 14)
        none      1

    None of them falls as the length grows, which is what the stopping rule of `beam.py` asks for. `coverage_penalty`
    takes something off the log-probability for what the translation left out.
    """

    bos: int
    eos: int
    pad: int
    beam: int = 5
    nbest: int = 1
    length_penalty: float = 1.0
    length_norm: LengthNorm = LengthNorm.average
    groups: int = 1  # diverse beam search, see `groups.py`
    diversity: float = 0.5
    coverage_penalty: float = 0.0  # see `coverage.py`
    patience: float | None = None  # None: the exact stopping rule of `beam.py`
    max_ratio: float = 2.0
    max_extra: int = 10
    max_length: int | None = None  # never longer than this, however long the source: the positions a model has

    def __post_init__(self) -> None:
        require(self.beam > 0, "decode.beam", "be positive", self.beam)
        fits = 0 < self.nbest <= self.beam
        require(fits, "decode.nbest", f"lie between 1 and `decode.beam` ({self.beam})", self.nbest)
        require(self.length_penalty >= 0, "decode.length_penalty", "not be negative", self.length_penalty)
        fits = self.groups > 0 and self.beam % self.groups == 0
        require(fits, "decode.groups", f"be positive and divide `decode.beam` ({self.beam})", self.groups)
        require(self.diversity >= 0, "decode.diversity", "not be negative", self.diversity)
        require(self.coverage_penalty >= 0, "decode.coverage_penalty", "not be negative", self.coverage_penalty)
        require(self.max_ratio > 0, "decode.max_ratio", "be positive", self.max_ratio)
        require(self.max_extra >= 0, "decode.max_extra", "not be negative", self.max_extra)
        fits = self.max_length is None or self.max_length > 0
        require(fits, "decode.max_length", "be positive or null", self.max_length)
        fits = self.patience is None or self.patience > 0
        require(fits, "decode.patience", "be positive or null", self.patience)

    @property
    def enough(self) -> float:
        """So many ended hypotheses are enough for a beam, or for each group of it (see `beam.py`)."""
        if self.patience is None:
            return math.inf
        return max(self.patience * self.beam, self.nbest) / self.groups

    def max_lengths(self, source: Items) -> list[int]:
        """The longest output of each sentence: `max_ratio * source pieces + max_extra`, at least 1."""
        lengths = [max(1, int(self.max_ratio * len(sentence)) + self.max_extra) for sentence in source]
        return lengths if self.max_length is None else [min(length, self.max_length) for length in lengths]

    def penalties(self, longest: int) -> list[float]:
        """What a log-probability is divided by, for the lengths 0 .. `longest`; 1 for an empty hypothesis.

        One Python power each, for torch's vectorised `pow` may round a number differently by its place in a tensor:
        the score of a sentence would then depend on the longest of its batch.
        """
        if self.length_norm is LengthNorm.none:
            return [1.0] * (longest + 1)
        gnmt = self.length_norm is LengthNorm.gnmt
        bases = [(5 + length) / 6 if gnmt else float(length) for length in range(1, longest + 1)]
        return [1.0, *(base**self.length_penalty for base in bases)]

    def never(self) -> BanPieces:
        """The rule that pad and bos are never produced, unless one of them is also the end mark."""
        return BanPieces({self.pad, self.bos} - {self.eos})


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """One translation. `tokens` has neither bos nor eos; `token_log_probs` has an entry for eos when `finished`."""

    tokens: list[int]
    score: float  # log_prob / penalty(length)
    log_prob: float  # the sum of token_log_probs, in float32 as search saw it
    token_log_probs: list[float]
    finished: bool  # False: cut at the maximum length, or where the rules allowed no piece
