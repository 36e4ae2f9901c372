"""The counters of a run, as plain JSON values."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from mt.errors import CheckpointError


def decisive(watch: str, score: float, *ties: float) -> tuple[str, float]:
    """The score that made a checkpoint the best, to be shown: BLEU that cannot tell is kept as 0, and chrF++, the first
    of the ties, decided."""
    return ("chrf", ties[0]) if watch == "bleu" and not score and ties else (str(watch), abs(score))


@dataclass(kw_only=True)
class TrainState:
    """The counters of a run; part of every checkpoint."""

    step: int = 0  # updates, including skipped ones
    seconds: float = 0.0  # spent training, over all attempts
    src_tokens: int = 0
    tgt_tokens: int = 0
    skipped: int = 0  # updates skipped because of non-finite gradients
    skipped_in_a_row: int = 0
    best_score: float | None = None  # higher is better; for `train.watch=loss`, the negative loss
    best_ties: list[float] = field(default_factory=list)  # what decides between scores that equal the best one
    best_step: int = 0
    stale: int = 0  # validations since the best one that count against the run
    lowest_loss: float | None = None  # on dev
    watched: str = ""  # the score that decides: `train.watch`, or chrF++ where BLEU cannot tell
    finished: str | None = None  # why the run ended
    losses: list[float] = field(default_factory=list)  # the last accepted ones, for spike detection
    went_back: int = 0  # how often a spike sent the run back to a checkpoint

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainState":
        """Raises: CheckpointError: for values of another version of mt."""
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(f"the state of this run is of another version of mt: {error}.") from None

    def is_best(self, score: float, *ties: float) -> bool:
        """Whether a score would be a new best. One that is not finite never is. Args: ties: decide if it is equal."""
        if not math.isfinite(score):
            return False
        return self.best_score is None or (score, *ties) > (self.best_score, *self.best_ties)

    def record(self, score: float, *ties: float, tells: bool = True, loss: float | None = None) -> None:
        """Count a validation, and keep its score if it is a new best.

        Args: ties: as `is_best`; tells: whether BLEU could tell; if not, a validation whose loss on dev is the lowest
        so far does not count against the run.
        """
        learns = loss is not None and (self.lowest_loss is None or loss < self.lowest_loss)
        if self.is_best(score, *ties):
            self.best_score, self.best_ties, self.best_step, self.stale = score, list(ties), self.step, 0
        elif tells or not learns:
            self.stale += 1
        if learns and loss is not None and math.isfinite(loss):
            self.lowest_loss = loss
