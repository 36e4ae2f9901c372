"""Saving and loading the state of a run: everything that the next update depends on.

A checkpoint of a validation has its score. One saved by the clock, on SIGUSR1 or at a stop has none: it serves only to
resume from, is no candidate for the best model or the average, and is replaced by the next save.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from mt.checkpoint import Checkpoint, Checkpoints, Score, random_state, set_random_state
from mt.data.batching import BatchStream
from mt.errors import CheckpointError, DataError, in_short
from mt.train.state import TrainState
from mt.train.step import Updater

logger = logging.getLogger("mt")


@contextmanager
def removal_may_fail() -> Iterator[None]:
    """An error in the removal of old checkpoints causes a warning only."""
    try:
        yield
    except CheckpointError as error:
        logger.warning(f"{error} Old checkpoints are kept.")


@contextmanager
def sources_may_vanish() -> Iterator[None]:
    """Around training, in which the files that sources name are read again: says what becomes of the run without them.

    Raises: DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(
            error.message,
            hint="it could be read when the run started; when it is back, the same command goes on from the last save.",
        ) from error


class Saver:
    """Saves and loads the state of a run. Every process of a group has one."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        updater: Updater,
        stream: BatchStream,
        *,
        minutes: float | None,
    ) -> None:
        """Args: minutes: between saves by the clock of the run; None: no such saves."""
        self.checkpoints = checkpoints
        self.updater = updater
        self.stream = stream
        self.minutes = minutes
        self.saved_at = 0.0  # seconds of the run, at the last save or attempt to save
        self.failed = False  # the last save failed, and a warning was logged

    def due(self, state: TrainState) -> bool:
        """Whether it is time to save by the clock, which is the same in all processes."""
        return self.minutes is not None and state.seconds - self.saved_at >= 60 * self.minutes

    def save_and_prune(self, state: TrainState, *, score: Score | None = None) -> None:
        """Save, and remove old checkpoints. An error causes a warning; it is raised only at the end of the run."""
        tensors = self.updater.tensors()
        self.saved_at = state.seconds  # also on failure, so that a full disk is not tried at every update

        def attempt() -> None:
            try:
                self._write(state, tensors, score)
            except CheckpointError as error:
                if state.finished:
                    raise
                if not self.failed:
                    logger.warning(f"{error} Training goes on, and the next save tries again.")
                self.failed = True
                return
            self.failed = False
            with removal_may_fail():
                self.checkpoints.prune()

        self.updater.group.from_main(attempt)

    def complete_save(self, latest: Path) -> None:
        """Repeat what follows a save, which a killed process may not have done."""
        with removal_may_fail():
            self.checkpoints.complete_save(latest)

    def save(self, state: TrainState, *, score: Score | None = None) -> None:
        """Save. Raises: CheckpointError."""
        tensors = self.updater.tensors()
        self.updater.group.from_main(lambda: self._write(state, tensors, score))

    def _write(self, state: TrainState, tensors: dict[str, dict[str, Tensor]], score: Score | None) -> None:
        self.checkpoints.save(
            state.step,
            model=tensors["model"],
            optimizer=tensors["optimizer"],
            ema=tensors.get("ema"),
            state={
                "train": state.to_dict(),
                "stream": self.stream.state_dict(),
                "updater": self.updater.state_dict(),
                "random": random_state(),
            },
            score=score,
        )

    def load(self, checkpoint: Checkpoint) -> TrainState:
        """Restore weights, optimiser, place in the data and random state; returns the counters of the run."""
        state = checkpoint.state()
        self.updater.load_tensors(checkpoint)
        try:
            self.updater.load_state_dict(state["updater"])
            self.stream.load_state_dict(state["stream"])
            set_random_state(state["random"])
            counters = TrainState.from_dict(state["train"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"`{checkpoint.path}` has no state that training could go on from ({in_short(error)}): it is damaged.",
                hint="remove this folder, and the run goes on from the checkpoint before it.",
            ) from error
        self.saved_at = counters.seconds
        return counters
