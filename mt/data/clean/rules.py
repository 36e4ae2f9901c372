"""Reasons to refuse a training pair. A rule gives a pair a score, and accepts or refuses the score.

The two steps are apart so that a threshold can be chosen by looking at the scores of a corpus.
"""

from dataclasses import dataclass
from typing import Protocol

from mt.data.corpus.pair import Pair
from mt.data.corpus.split import fold

MARGIN = 10  # characters added to both sides of a ratio: short sentences differ more, "Go." is "Váyase."


class Rule(Protocol):
    """What the pipeline knows of a rule; `name` is its line in the report."""

    @property
    def name(self) -> str: ...
    def score(self, pair: Pair) -> float: ...
    def accept(self, score: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Empty:
    """Refuses a pair with a side that holds white space alone. Score: characters of the emptier side."""

    name: str = "empty"

    def score(self, pair: Pair) -> float:
        return min(len(pair.src.strip()), len(pair.tgt.strip()))

    def accept(self, score: float) -> bool:
        return score > 0


@dataclass(frozen=True, slots=True)
class TooLong:
    """Refuses a pair with a side of more than `max_chars` characters. Score: characters of the longer side."""

    max_chars: int
    name: str = "too_long"

    def score(self, pair: Pair) -> float:
        return max(len(pair.src), len(pair.tgt))

    def accept(self, score: float) -> bool:
        return score <= self.max_chars


@dataclass(frozen=True, slots=True)
class Ratio:
    """Refuses a pair whose sides differ too much in length. Score: (longer + 10) / (shorter + 10) characters."""

    max_ratio: float
    name: str = "ratio"

    def score(self, pair: Pair) -> float:
        shorter, longer = sorted((len(pair.src), len(pair.tgt)))
        return (longer + MARGIN) / (shorter + MARGIN)

    def accept(self, score: float) -> bool:
        return score <= self.max_ratio


@dataclass(frozen=True, slots=True)
class Copy:
    """Refuses a pair whose sides are one text but for case and punctuation. Score: 1 for a copy, else 0."""

    name: str = "copy"

    def score(self, pair: Pair) -> float:
        return float(fold(pair.src) == fold(pair.tgt))

    def accept(self, score: float) -> bool:
        return score < 1
