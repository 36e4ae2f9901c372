"""Applies the rules of `clean` to the training pairs, and counts what each rule removes."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from mt.config import CleanConfig
from mt.data.clean.rules import REASONS, Rule, rules_of
from mt.data.corpus.pair import Pair


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
