"""Quality flags of translations without references.

`contribution`  the source contribution of a token, in nats (`mt.interpret.contribution`). Low: the translation would be
                as likely without its source, a hallucination.
`loop`          words that are said again and again. See `mt.text.repetition`.
`lost`          numbers and codes of the source that the translation lacks. See `mt.text.numerals`.
`length`        how much longer or shorter than usual it is for its source.
`coverage`      the share of source words that target words attend to. Low: something was not translated.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from mt.decode.cutting import USUAL_RATIO
from mt.postprocess.word_alignments import LinkedTranslation, Linker, contribution
from mt.text.numerals import lost, numerals
from mt.text.repetition import Loop, loops
from mt.text.words import has_letters, reading_words

ATTENDED = 0.2  # a source word is covered when its weights, summed over target words, reach this
# From 500 pairs of Multi30k (`scripts/bench_flags.py`): of the translations of another source 98 % are below 2 nats, of
# the references of the right source less than 1 %. Of the whole translations of the model with the least sharp heads
# 1 % are below 0.55, of its translations cut in half 95 %.
LEAST_CONTRIBUTION = 2.0
LEAST_COVERAGE = 0.55
LEAST_RATIO, MOST_RATIO = 0.5, 2.1  # of the usual ratio of lengths: outside of them are 0.1 to 0.3 % of references
FEWEST = 8  # source pieces that a length is compared from
DIGITS = re.compile(r"\d+")
CLOCK = 12  # hours: "3 pm" may become "15"


class Flag(StrEnum):
    hallucination = "hallucination"
    under_translation = "under-translation"
    repetition = "repetition"
    lost_number = "lost-number"
    length = "length"


@dataclass(frozen=True)
class Measures:
    contribution: float | None  # nats a token; None: no translation, or signs alone
    coverage: float | None  # from 0 to 1; None: the source has no words
    loop: Loop | None = None
    lost: tuple[str, ...] = ()  # numbers and codes of the source
    length: float | None = None  # how many times the usual length for this source; None: not known, or too few pieces

    @property
    def flags(self) -> list[Flag]:
        return list(self.reasons())

    def reasons(self) -> dict[Flag, str]:
        """The flags, each with what is said of it."""
        found: dict[Flag, str] = {}
        if self.contribution is not None and self.contribution < LEAST_CONTRIBUTION:
            found[Flag.hallucination] = (
                "the translation may be a hallucination: the source changes the log-probability of its tokens by "
                f"{self.contribution:+.2f} each, and usually by more than {LEAST_CONTRIBUTION:+g}"
            )
        if self.coverage is not None and self.coverage < LEAST_COVERAGE:
            found[Flag.under_translation] = (
                f"words may be missing (under-translation): {self.coverage:.0%} of the source words were attended to, "
                f"and usually more than {LEAST_COVERAGE:.0%}"
            )
        if self.loop:
            found[Flag.repetition] = f"words are repeated (repetition): {self.loop.text!r}"
        if self.lost:
            found[Flag.lost_number] = f"numbers are missing or changed (lost-number): {', '.join(self.lost)}"
        if self.length is not None and not LEAST_RATIO <= self.length <= MOST_RATIO:
            found[Flag.length] = (
                f"the translation is very {'short' if self.length < 1 else 'long'} for its source (length): "
                f"{self.length:.2f} times the usual length"
            )
        return found


def measure(linker: Linker, linked: Sequence[LinkedTranslation]) -> list[Measures]:
    owed, usual = contribution(linker, linked), linker.translator.usual
    return [
        Measures(
            None if one.source.strip() and not has_letters(one.source) else value,  # such a line is copied
            coverage(one),
            loops(one.text, one.source),
            lost_numbers(one.source, one.text),
            relative_length(one, usual.ratio if usual else None),
        )
        for value, one in zip(owed, linked, strict=True)
    ]


def lost_numbers(source: str, text: str) -> tuple[str, ...]:
    """The numbers and codes of a source that its translation lacks, but for those whose digits it has in another
    spelling ("21st" and "21.", "2.30" and "2:30"), that it may have in words, or as another hour."""
    new, digits = numerals(text) - numerals(source), DIGITS.findall(text)
    return tuple(
        one for one in lost(source, text)
        if not (_has_digits(one, digits) or _other_hour(one, new) or (not new and _sayable(one)))
    )  # fmt: skip


def _has_digits(number: str, digits: Sequence[str]) -> bool:
    """Whether the digits are there, with other signs; zeros at the end of decimals do not count."""
    whole, *rest = DIGITS.findall(number)
    return whole in digits and all(one in digits or one in (run.rstrip("0") for run in digits) for one in rest)


def _sayable(number: str) -> bool:
    """Whether languages write it in words, too: below 100, or two digits and zeros."""
    return number.isdigit() and len(number.rstrip("0")) <= 2


def _other_hour(number: str, new: Container[str]) -> bool:
    if not number.isdigit() or len(number) > 2 or int(number) > 2 * CLOCK:  # no zeros come first
        return False
    return any(str(int(number) + hours) in new for hours in (CLOCK, -CLOCK))


def relative_length(linked: LinkedTranslation, ratio: float | None) -> float | None:
    """Target pieces for each source piece, end marks counted, as multiples of the usual `ratio`."""
    source = sum(len(part.source) + 1 for part in linked.segments)
    target = sum(len(part.target) + 1 for part in linked.segments)
    return target / source / (ratio or USUAL_RATIO) if source > FEWEST else None


def coverage(linked: LinkedTranslation) -> float | None:
    """The share of source words with a letter or digit whose weights sum up to `ATTENDED`; None: no such words."""
    words = reading_words(linked.source)
    attended = torch.zeros(len(words))
    for first, _, weights in linked.grids(words, reading_words(linked.text)):
        attended[first : first + weights.shape[1] - 1] += weights[:, :-1].sum(0)
    counted = torch.tensor([has_letters(linked.source[a:b]) for a, b in words], dtype=torch.bool)
    return float((attended[counted] >= ATTENDED).float().mean()) if counted.any() else None


def warning(measures: Measures) -> str:
    """The text of a warning; empty without flags."""
    return "; ".join(measures.reasons().values())
