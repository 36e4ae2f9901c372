"""Reasons to remove a training pair, and what is removed by each. A rule is true of a pair to remove."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

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


class Pipeline:
    """Yields the pairs that no rule removes. A removed pair counts for the first rule that is true of it.

    A pipeline serves one pass over one corpus: counts add up, and duplicates are remembered.
    """

    def __init__(
        self,
        section: CleanConfig,
        more: Mapping[str, Rule] | None = None,
        on_removed: Callable[[Pair, str], object] = lambda pair, reason: None,
    ) -> None:
        """Args: more: further rules by a name of `REASONS`, tried last; on_removed: gets each removed pair and the name
        of its rule."""
        self._rules = {**rules_of(section), **(more or {})}
        self._on_removed = on_removed
        self._counts = {"read": 0, "kept": 0, **dict.fromkeys(self._rules, 0)}

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield the pairs that stay, in order, and count."""
        for pair in pairs:
            self._counts["read"] += 1
            reason = next((name for name, rule in self._rules.items() if rule(pair)), "kept")
            self._counts[reason] += 1
            if reason == "kept":
                yield pair
            else:
                self._on_removed(pair, reason)

    def report(self) -> dict[str, int]:
        """The numbers of pairs `read`, `kept`, and removed by each rule; `kept` and the removed sum to `read`."""
        return dict(self._counts)


def describe(report: Mapping[str, int]) -> str:
    """The removed pairs of a report in words: "7 empty, 3 too long", "none"."""
    return ", ".join(f"{report[name]:,} {reason}" for name, reason in REASONS.items() if report.get(name)) or "none"
