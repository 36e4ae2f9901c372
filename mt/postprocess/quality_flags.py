"""Quality flags of translations without references.

`contribution`  the source contribution of a token, in nats (`mt.interpret.contribution`). Low: the translation would be
                as likely without its source, a hallucination.
`coverage`      the share of source words that target words attend to. Low: something was not translated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from mt.postprocess.word_alignments import LinkedTranslation, Linker, contribution
from mt.text.words import has_letters, reading_words

ATTENDED = 0.2  # a source word is covered when its weights, summed over target words, reach this
# From 500 pairs of Multi30k (`scripts/bench_flags.py`): of the translations of another source 98 % are below 2 nats, of
# the references of the right source less than 1 %. Of the whole translations of the model with the least sharp heads
# 1 % are below 0.55, of its translations cut in half 95 %.
LEAST_CONTRIBUTION = 2.0
LEAST_COVERAGE = 0.55


class Flag(StrEnum):
    hallucination = "hallucination"
    under_translation = "under-translation"


@dataclass(frozen=True)
class Measures:
    """The measures of one translation."""

    contribution: float | None  # nats a token; None: the translation is empty
    coverage: float | None  # from 0 to 1; None: the source has no words

    @property
    def flags(self) -> list[Flag]:
        found = []
        if self.contribution is not None and self.contribution < LEAST_CONTRIBUTION:
            found.append(Flag.hallucination)
        if self.coverage is not None and self.coverage < LEAST_COVERAGE:
            found.append(Flag.under_translation)
        return found


def measure(linker: Linker, linked: Sequence[LinkedTranslation]) -> list[Measures]:
    values = zip(contribution(linker, linked), linked, strict=True)
    return [Measures(value, coverage(one)) for value, one in values]


def coverage(linked: LinkedTranslation, least: float = ATTENDED) -> float | None:
    """The share of source words with a letter or digit whose weights sum to at least `least`; None: no such words."""
    words = reading_words(linked.source)
    attended = torch.zeros(len(words))
    for first, _, weights in linked.grids(words, reading_words(linked.text)):
        attended[first : first + weights.shape[1] - 1] += weights[:, :-1].sum(0)
    counted = torch.tensor([has_letters(linked.source[a:b]) for a, b in words], dtype=torch.bool)
    return float((attended[counted] >= least).float().mean()) if counted.any() else None


def warning(measures: Measures) -> str:
    """The text of a warning; empty without flags."""
    found = []
    if Flag.hallucination in measures.flags:
        found.append(
            f"the translation may be a hallucination: its tokens owe {measures.contribution:.2f} nats to the source, "
            f"and usually more than {LEAST_CONTRIBUTION:g}"
        )
    if Flag.under_translation in measures.flags:
        found.append(
            f"words may be missing (under-translation): {measures.coverage:.0%} of the source words were attended to, "
            f"and usually more than {LEAST_COVERAGE:.0%}"
        )
    return "; ".join(found)
