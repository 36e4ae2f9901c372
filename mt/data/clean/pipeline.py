"""The rules in a row, and an account of what they refused."""

from collections.abc import Iterable, Iterator, Sequence

from mt.config import CleanConfig
from mt.data.clean.dedupe import Duplicate
from mt.data.clean.rules import Copy, Empty, Ratio, Rule, TooLong
from mt.data.corpus.pair import Pair


class Pipeline:
    """Passes on the pairs that every rule accepts; the first rule that refuses a pair is charged with it.

    A pipeline serves one pass over one corpus: counts add up over calls, and duplicates are remembered.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = list(rules)
        self._refused = {rule.name: 0 for rule in rules}
        self._read = 0
        self._kept = 0

    @classmethod
    def from_section(cls, section: CleanConfig) -> "Pipeline":
        """The rules that the settings ask for, the cheap ones first."""
        rules: list[Rule] = [Empty(), TooLong(section.max_chars), Ratio(section.max_ratio)]
        if section.drop_copies:
            rules.append(Copy())
        if section.drop_duplicates:
            rules.append(Duplicate())
        return cls(rules)

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Yield the accepted pairs in their order, and count."""
        for pair in pairs:
            self._read += 1
            refusal = next((rule.name for rule in self._rules if not rule.accept(rule.score(pair))), None)
            if refusal is None:
                self._kept += 1
                yield pair
            else:
                self._refused[refusal] += 1

    def report(self) -> dict[str, int]:
        """Pairs `read`, pairs `kept`, and pairs refused by the name of the rule: kept and refused sum to read."""
        return {"read": self._read, "kept": self._kept, **self._refused}
