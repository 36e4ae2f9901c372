"""Signs that a translation is none: words that owe nothing to the source, and source words that nothing looked at.

`contribution`  what a piece owes to the source, in nats: a model that goes on by itself says what it would say without
                any source. Low: hallucination. See `mt.interpret.contribution`.
`coverage`      the share of source words that a target word looked at. Low: something is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from mt.postprocess.word_alignments import Linked, Linker, contribution
from mt.text.words import has_letters, reading_words

SEEN = 0.2  # of a target word's weight, summed over target words: less is a passing glance
# Of 500 pairs of Multi30k (`scripts/bench_flags.py`): below 2 nats fall 98 % of translations that belong to another
# source, and of references that belong to theirs less than 1 %. Below 0.55 falls 1 % of whole translations of the model
# whose heads are the least sharp, and 95 % of its translations cut in half.
LEAST_CONTRIBUTION = 2.0
LEAST_COVERAGE = 0.55


class Flag(StrEnum):
    hallucination = "hallucination"
    under_translation = "under-translation"


@dataclass(frozen=True)
class Measures:
    """What was measured of one translation."""

    contribution: float | None  # nats a piece; None: it says nothing
    coverage: float | None  # from 0 to 1; None: the source has no words

    @property
    def flags(self) -> list[Flag]:
        found = []
        if self.contribution is not None and self.contribution < LEAST_CONTRIBUTION:
            found.append(Flag.hallucination)
        if self.coverage is not None and self.coverage < LEAST_COVERAGE:
            found.append(Flag.under_translation)
        return found


def measure(linker: Linker, linked: Sequence[Linked]) -> list[Measures]:
    """Of each translation."""
    owed = contribution(linker, linked)
    return [Measures(value, coverage(one)) for value, one in zip(owed, linked, strict=True)]


def coverage(linked: Linked, seen: float = SEEN) -> float | None:
    """The share of source words, of those that hold a letter or a digit, that were looked at; None: there are none."""
    words = reading_words(linked.source)
    looked = torch.zeros(len(words))
    for first, _, weights in linked.grids(words, reading_words(linked.text)):
        looked[first : first + weights.shape[1] - 1] += weights[:, :-1].sum(0)
    spelt = torch.tensor([has_letters(linked.source[a:b]) for a, b in words], dtype=torch.bool)
    return float((looked[spelt] >= seen).float().mean()) if spelt.any() else None


def warning(measures: Measures) -> str:
    """What to say of a flagged translation; nothing of another."""
    said = []
    if Flag.hallucination in measures.flags:
        said.append(
            f"the translation may not be one (hallucination): its pieces owe {measures.contribution:.2f} nats to the "
            f"source, and usually more than {LEAST_CONTRIBUTION:g}"
        )
    if Flag.under_translation in measures.flags:
        said.append(
            f"words may be missing (under-translation): {measures.coverage:.0%} of the source words were looked at, "
            f"and usually more than {LEAST_COVERAGE:.0%}"
        )
    return "; ".join(said)
