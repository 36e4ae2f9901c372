"""Exact duplicates, in the memory of one hash for each pair."""

import hashlib
from dataclasses import dataclass, field

from mt.data.corpus.pair import Pair


@dataclass(slots=True)
class Duplicate:
    """Refuses a pair that was seen before, letter by letter. Score: 1 for a pair seen before, else 0.

    To score a pair is to see it, so a rule of this kind serves one pass over one corpus.
    """

    name: str = "duplicate"
    _seen: set[bytes] = field(default_factory=set, repr=False)

    def score(self, pair: Pair) -> float:
        text = f"{len(pair.src)} {pair.src}{pair.tgt}"  # the length tells where the source ends
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        before = key in self._seen
        self._seen.add(key)
        return float(before)

    def accept(self, score: float) -> bool:
        return score < 1
