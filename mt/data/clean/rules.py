"""Reasons to remove a training pair. A rule is true of a pair to remove."""

import hashlib
from collections.abc import Callable

from mt.config import CleanConfig
from mt.data.corpus.pair import Pair
from mt.data.corpus.split import fold

Rule = Callable[[Pair], bool]

MARGIN = 10  # characters added to both sides of a ratio: short sentences differ more, "Go." is "Váyase."
REASONS = {
    "empty": "empty",
    "too_long": "too long",
    "ratio": "too different in length",
    "copy": "with equal sides",
    "duplicate": "duplicate",
    # of `mt clean` alone
    "held": "with a sentence of the held-out text",
    "swapped": "with sides swapped",
    "language": "in another language",
    "numbers": "with different numbers",
    "markup": "with markup",
}


def rules_of(section: CleanConfig) -> dict[str, Rule]:
    """The rules of the settings, by a name of `REASONS`, the cheap ones first.

    They serve one pass over one corpus, because `duplicate` remembers pairs.
    """
    rules: dict[str, Rule] = {
        "empty": is_empty,
        "too_long": lambda pair: max(len(pair.src), len(pair.tgt)) > section.max_chars,
        "ratio": lambda pair: length_ratio(pair) > section.max_ratio,
    }
    if section.drop_copies:
        rules["copy"] = is_copy
    if section.drop_duplicates:
        rules["duplicate"] = Duplicates()
    return rules


def is_empty(pair: Pair) -> bool:
    """Whether a side has only white space."""
    return not (pair.src.strip() and pair.tgt.strip())


def length_ratio(pair: Pair) -> float:
    """(longer side + 10) / (shorter side + 10), in characters."""
    shorter, longer = sorted((len(pair.src), len(pair.tgt)))
    return (longer + MARGIN) / (shorter + MARGIN)


def is_copy(pair: Pair) -> bool:
    """Whether both sides are the same text but for case and punctuation."""
    return fold(pair.src) == fold(pair.tgt)


class Duplicates:
    """Whether exactly the same pair was seen before. Remembers 16 bytes of hash for each pair."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, pair: Pair) -> bool:
        text = f"{len(pair.src)} {pair.src}{pair.tgt}"  # the length marks where the source ends
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        before = key in self._seen
        self._seen.add(key)
        return before
