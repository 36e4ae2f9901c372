"""The counters of a run, as plain JSON values."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from mt.errors import CheckpointError


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
    best_step: int = 0
    stale: int = 0  # validations since the best one
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

    def is_best(self, score: float) -> bool:
        """Whether a score would be a new best. One that is not finite never is."""
        return math.isfinite(score) and (self.best_score is None or score > self.best_score)

    def record(self, score: float) -> None:
        """Count a validation, and keep its score if it is a new best."""
        if self.is_best(score):
            self.best_score, self.best_step, self.stale = score, self.step, 0
        else:
            self.stale += 1
