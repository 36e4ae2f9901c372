"""The units of translation, and the warnings about them."""

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mt.decode.constraints.glossary import Constraints
from mt.decode.constraints.vocabulary import Vocabulary
from mt.decode.translation import Translation
from mt.errors import counted
from mt.inputs.reader import Item
from mt.text.tokenizer import Tokenizer
from mt.text.words import Span

logger = logging.getLogger("mt")
Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")
Found = list[list[Translation]]  # the n-best list of each part, or of each text
SHOWN = 3  # warnings of one kind for a batch of texts; more are counted


@dataclass(frozen=True, slots=True)
class Part:
    """The unit of translation: a text, a sentence of it, or as much of a sentence as the model can read."""

    number: int  # within its text
    owner: int  # the number of its text
    span: Span  # in its text
    text: str
    source: Item
    prefix: list[int]
    constraints: Constraints
    copied: bool  # not translated
    draft: bool = False  # translated greedily: only how likely its translation is counts


def carried_out(work: Generator[Q, A, R], answer: Callable[[Q], A]) -> R:
    """The result of work that asks, such as `Translator.answering`, when each question is answered at once."""
    try:
        question = next(work)
        while True:
            question = work.send(answer(question))
    except StopIteration as done:
        return done.value


def report_tags(tokenizer: Tokenizer, texts: Sequence[str], first_text: int) -> None:
    """Warn, once for a batch of texts, where a model that was trained with tags reads a text that begins with none of
    them."""
    tags = tokenizer.tags
    if not tags or tokenizer.tag:
        return
    without = [n for n, text in enumerate(texts) if text.strip() and not text.lstrip().startswith(tuple(tags))]
    if without:
        shown = ", ".join([*sorted(tags)[:SHOWN], *(["..."] if len(tags) > SHOWN else [])])
        logger.warning(
            f"input {first_text + without[0] + 1:,}: the model was trained with tags ({shown}), but "
            f"{texts[without[0]][:20]!r} begins with none of them ({len(without):,} of {len(texts):,} lines do not); "
            "`--tag` gives each line one"
        )


def report_short(short: Sequence[tuple[Part, Translation]], first_text: int) -> None:
    """Warn of parts whose translation is far too short to hold their content."""
    told = [
        f"input {first_text + part.owner + 1:,}: a part of {len(part.source):,} tokens has a translation of "
        f"{len(best.pieces):,}, which may leave out some of it: {part.text[:40]!r}"
        for part, best in short
    ]
    _warn(told, "with a translation that may leave out some of the text")


def report_unfinished(parts: Sequence[Part], found: Found, first_text: int) -> None:
    """Warn of parts whose translation reached its maximum length, as one that repeats itself does. Those that lack a
    required term are told by `report_missing`."""
    told = [
        f"input {first_text + part.owner + 1:,}: the translation was cut at its maximum length of {len(best.pieces):,} "
        f"tokens, and may repeat itself: {best.text[-40:]!r}"
        for part, (best, *_) in zip(parts, found, strict=True)
        if not best.finished and not part.constraints.required
    ]
    _warn(told, "with a translation that was cut at its maximum length")


def _warn(told: list[str], rest: str) -> None:
    for line in told[:SHOWN]:
        logger.warning(line)
    if len(told) > SHOWN:
        logger.warning(f"{counted(len(told) - SHOWN, 'more part')} {rest}")


def report_missing(
    parts: Sequence[Part],
    found: Sequence[Sequence[Translation]],
    vocabulary: Vocabulary,
    name: Callable[[int], str],
) -> None:
    """Warn of required terms that did not fit. Args: name: of a text, by its place."""
    for part, translations in zip(parts, found, strict=True):
        best = translations[0]
        for entry in () if best.finished else part.constraints.required:
            if not vocabulary.has(entry, best.text):
                logger.warning(
                    f"{name(part.owner)}: `{'|'.join(entry.targets)}` ({entry.where}) is missing"
                    " from the translation, which reached its maximum length; raise `decode.max_extra`, or see "
                    "whether the term contradicts another rule."
                )
