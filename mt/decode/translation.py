"""What a translator answers, and how the translations of a text's parts become that of the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mt.text.words import Span, is_word

STOPS = (".", "<0x2E>")  # the second: of a vocabulary that has only the byte
FULL_WIDTH = re.compile("[\u3001-\u301f\uff01-\uff65]")  # punctuation that holds its own space


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was translated at once, and where it came to stand: characters of the source and of the translation, and
    which of the translation's pieces."""

    source: Span
    target: Span
    pieces: Span


@dataclass(frozen=True)
class Translation:
    """One way to say it. `score` is what hypotheses were compared by; `log_prob` the sum over its pieces."""

    text: str
    score: float
    log_prob: float
    pieces: list[str]
    piece_log_probs: list[float]
    finished: bool  # False: cut at the longest output allowed
    stretches: tuple[Stretch, ...] = field(default=(), compare=False, repr=False)  # its parts, for who links words


EMPTY = Translation("", 0.0, 0.0, [], [], True)


def join(parts: list[list[Translation]], gaps: Sequence[str] | None = None) -> list[Translation]:
    """N-best lists of the parts of one text -> its n-best list: best with best, second with second.

    `gaps` are the white space before, between and after the parts, None: one space between two. A part that says
    nothing takes the gap before it away, too; between sentences a space comes and goes as the script of the translation
    wants it. The score of the whole is the mean of its parts'.
    """
    if not parts:
        return [EMPTY]
    if gaps is None:
        gaps = ["", *[" "] * (len(parts) - 1), ""]
    if len(parts) == 1 and not any(gaps):
        return parts[0]
    joined = []
    for ranked in zip(*parts, strict=False):  # the shortest list decides how many there are
        text, places = _spaced([p.text for p in ranked], gaps)
        whole = Translation(
            text,
            sum(p.score for p in ranked) / len(ranked),
            sum(p.log_prob for p in ranked),
            [piece for p in ranked for piece in p.pieces],
            [value for p in ranked for value in p.piece_log_probs],
            all(p.finished for p in ranked),
            _moved(ranked, places),
        )
        joined.append(whole)
    return joined


def without_stop(translation: Translation) -> Translation:
    """Without a full stop at its end, which a model adds to a part of a sentence; the end mark takes its share of
    `log_prob`."""
    if len(translation.pieces) < 2 or translation.pieces[-1] not in STOPS:
        return translation
    [stretch] = translation.stretches
    text, pieces, logs = translation.text[:-1], translation.pieces[:-1], translation.piece_log_probs
    ours = Stretch(stretch.source, (0, len(text)), (0, len(pieces)))
    logs = [*logs[: len(pieces)], sum(logs[len(pieces) :])]
    return replace(translation, text=text, pieces=pieces, piece_log_probs=logs, stretches=(ours,))


def _spaced(texts: list[str], gaps: Sequence[str]) -> tuple[str, list[int]]:
    """The whole, and where each part begins in it."""
    said, places = gaps[0] + texts[0], [len(gaps[0])]
    for gap, text in zip(gaps[1:], texts[1:], strict=False):
        if text:
            said += (gap if gap not in ("", " ") else _space(said, gap, text)) + text
        places.append(len(said) - len(text))
    return said + gaps[-1], places


def _moved(ranked: Sequence[Translation], places: Sequence[int]) -> tuple[Stretch, ...]:
    """The stretches of all parts, counted in the whole."""
    found: list[Stretch] = []
    before = 0
    for part, place in zip(ranked, places, strict=True):
        found += [Stretch(s.source, _by(place, s.target), _by(before, s.pieces)) for s in part.stretches]
        before += len(part.pieces)
    return tuple(found)


def _by(distance: int, span: Span) -> Span:
    return span[0] + distance, span[1] + distance


def _space(left: str, gap: str, right: str) -> str:
    """What stands between two parts of a translation, where the source has one space or none."""
    if FULL_WIDTH.fullmatch(left[-1:]):
        return ""
    ends = left and not is_word(left[-1]) and not left[-1].isspace()
    return " " if ends and is_word(right[0]) else gap
