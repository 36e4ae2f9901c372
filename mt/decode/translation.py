"""The translations that a translator returns, and how those of the parts of a text are joined."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from reprlib import repr as short

from mt.errors import ConfigError, check_texts, counted
from mt.text.words import Span, is_word

STOPS = (".", "<0x2E>")  # the second: in a vocabulary that has only the byte
FULL_WIDTH = re.compile("[\u3001-\u301f\uff01-\uff65]")  # punctuation that includes its own space


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a text that was translated on its own: spans of characters in the source and in the translation, and
    the span of its pieces."""

    source: Span
    target: Span
    pieces: Span


@dataclass(frozen=True)
class Translation:
    """One translation. `score` is what hypotheses are compared by, `log_prob` the sum over its pieces and eos."""

    text: str
    score: float
    log_prob: float
    pieces: list[str]
    piece_log_probs: list[float]
    finished: bool  # False: cut at the maximum length
    segments: tuple[Segment, ...] = field(default=(), compare=False, repr=False)  # for word links


EMPTY = Translation("", 0.0, 0.0, [], [], True)


def check_found(found: Sequence[Sequence[Translation]], texts: Sequence[str], *, names: tuple[str, str]) -> None:
    """Raise `ConfigError` for arguments of a Python caller that are not texts and a list of translations of each.

    Args: names: of both arguments, `found` first."""
    name, of_texts = names
    check_texts(**{of_texts: texts})
    hint = f"give what `Translator.search({of_texts})` returns."
    items: Sequence[object] = found
    if isinstance(found, str | bytes | Mapping) or not (hasattr(found, "__getitem__") and hasattr(found, "__len__")):
        raise ConfigError(f"`{name}` must be a list of lists of translations, but is {short(found)}.", hint=hint)
    if len(found) != len(texts):
        raise ConfigError(
            f"`{name}` must have a list for each of the {counted(len(texts), 'text')} of `{of_texts}`, but has "
            f"{len(found):,}.",
            hint=hint,
        )
    for number, some in enumerate(items, 1):
        if not isinstance(some, list | tuple) or not all(isinstance(one, Translation) for one in some):
            what = f"but item {number:,} is {short(some)}"
            raise ConfigError(f"`{name}` must be a list of lists of translations, {what}.", hint=hint)


def join(parts: list[list[Translation]], gaps: Sequence[str] | None = None) -> list[Translation]:
    """The n-best list of a text from those of its parts: best with best, second with second.

    The score of the whole is the mean of its parts'.

    Args: gaps: the white space before, between and after the parts; None: one space between two. An empty translation
    removes the gap before it; a single space between sentences may be added or removed by `_space`.
    """
    if not parts:
        return [EMPTY]
    if gaps is None:
        gaps = ["", *[" "] * (len(parts) - 1), ""]
    if len(parts) == 1 and not any(gaps):
        return parts[0]
    joined = []
    for ranked in zip(*parts, strict=False):  # as many as the shortest list has
        text, segments, num_pieces = gaps[0], list[Segment](), 0
        for number, (gap, part) in enumerate(zip(gaps, ranked, strict=False)):
            if number and part.text:
                text += gap if gap not in ("", " ") else _space(text, gap, part.text)
            for s in part.segments:
                segments.append(Segment(s.source, _moved(s.target, len(text)), _moved(s.pieces, num_pieces)))
            text += part.text
            num_pieces += len(part.pieces)
        whole = Translation(
            text + gaps[-1],
            sum(p.score for p in ranked) / len(ranked),
            sum(p.log_prob for p in ranked),
            [piece for p in ranked for piece in p.pieces],
            [value for p in ranked for value in p.piece_log_probs],
            all(p.finished for p in ranked),
            tuple(segments),
        )
        joined.append(whole)
    return joined


def without_stop(translation: Translation) -> Translation:
    """Without a full stop at its end, which a model adds to a part of a sentence; the end mark takes its share of
    `log_prob`."""
    if len(translation.pieces) < 2 or translation.pieces[-1] not in STOPS:
        return translation
    [segment] = translation.segments
    text, pieces, logs = translation.text[:-1], translation.pieces[:-1], translation.piece_log_probs
    ours = Segment(segment.source, (0, len(text)), (0, len(pieces)))
    logs = [*logs[: len(pieces)], sum(logs[len(pieces) :])]
    return replace(translation, text=text, pieces=pieces, piece_log_probs=logs, segments=(ours,))


def _moved(span: Span, by: int) -> Span:
    return span[0] + by, span[1] + by


def _space(left: str, gap: str, right: str) -> str:
    """The white space between two parts of a translation whose sources have one space or none between them."""
    if FULL_WIDTH.fullmatch(left[-1:]):
        return ""
    ends_in_sign = left and not is_word(left[-1]) and not left[-1].isspace()
    return " " if ends_in_sign and is_word(right[0]) else gap
