"""What a translator answers, and how the translations of a text's parts become that of the text."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Translation:
    """One way to say it. `score` is what hypotheses were compared by; `log_prob` the sum over its pieces."""

    text: str
    score: float
    log_prob: float
    pieces: list[str]
    piece_log_probs: list[float]
    finished: bool  # False: cut at the longest output allowed


EMPTY = Translation("", 0.0, 0.0, [], [], True)


def join(parts: list[list[Translation]], gaps: Sequence[str] | None = None) -> list[Translation]:
    """N-best lists of the parts of one text -> its n-best list: best with best, second with second.

    `gaps` are the white space before, between and after the parts, None: one space between two. A part that says
    nothing takes the gap before it away, too. The score of the whole is the mean of its parts'.
    """
    if not parts:
        return [EMPTY]
    if gaps is None:
        gaps = ["", *[" "] * (len(parts) - 1), ""]
    if len(parts) == 1 and not any(gaps):
        return parts[0]
    return [
        Translation(
            _spaced([p.text for p in ranked], gaps),
            sum(p.score for p in ranked) / len(ranked),
            sum(p.log_prob for p in ranked),
            [piece for p in ranked for piece in p.pieces],
            [value for p in ranked for value in p.piece_log_probs],
            all(p.finished for p in ranked),
        )
        for ranked in zip(*parts, strict=False)  # the shortest list decides how many there are
    ]


def _spaced(texts: list[str], gaps: Sequence[str]) -> str:
    between = [gap if text else "" for gap, text in zip(gaps[1:], texts[1:], strict=False)]
    return gaps[0] + texts[0] + "".join(gap + text for gap, text in zip(between, texts[1:], strict=True)) + gaps[-1]
