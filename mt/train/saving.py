"""When the state of a run is saved, and what is saved: everything that the next update depends on.

A checkpoint has the score of its validation, or none: one saved by the clock, by SIGUSR1 or at a stop only serves to
resume from. It is no candidate for the best model or an average, and the next save replaces it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from mt.checkpoint import Checkpoint, Checkpoints, random_state, set_random_state
from mt.data.batching import BatchStream
from mt.errors import CheckpointError
from mt.log import logger
from mt.train.state import TrainState
from mt.train.step import Updater


@contextmanager
def old_ones_may_stay() -> Iterator[None]:
    """A disk that does not let checkpoints be removed costs a warning."""
    try:
        yield
    except CheckpointError as error:
        logger.warning(f"{error} Old checkpoints stay.")


class Saver:
    """Saves and loads the state of a run. Every process of a group has one."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        updater: Updater,
        stream: BatchStream,
        *,
        files: dict[str, bytes],
        minutes: float | None,
    ) -> None:
        """Args: files: what a checkpoint needs to be usable by itself (tokenizer, config), by name; minutes: between
        saves by the run's own clock; None: there are none."""
        self.checkpoints = checkpoints
        self.updater = updater
        self.stream = stream
        self.files = files
        self.minutes = minutes
        self.saved_at = 0.0  # seconds of the run, at the last save or attempt to save
        self.failed = False  # the last save failed, and a warning said so

    def due(self, state: TrainState) -> bool:
        """Whether the last save is too long ago. All processes decide alike, since they share the main one's clock."""
        return self.minutes is not None and state.seconds - self.saved_at >= 60 * self.minutes

    def keep(self, state: TrainState, *, score: float | None = None) -> None:
        """Save and prune. A full disk costs a checkpoint and a warning; only at the end of the run does it raise."""
        tensors = self.updater.tensors()
        self.saved_at = state.seconds  # also where it fails: a full disk is not tried again at every update

        def save_and_prune() -> None:
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
            with old_ones_may_stay():
                self.checkpoints.prune()

        self.updater.group.from_main(save_and_prune)

    def complete_save(self, latest: Path) -> None:
        """Do again what follows a save, for the first process of a run that goes on, or is finished."""
        with old_ones_may_stay():
            self.checkpoints.complete_save(latest)

    def save(self, state: TrainState, *, score: float | None = None) -> None:
        """Save, or raise `CheckpointError`."""
        tensors = self.updater.tensors()
        self.updater.group.from_main(lambda: self._write(state, tensors, score))

    def _write(self, state: TrainState, tensors: dict[str, dict[str, Tensor]], score: float | None) -> None:
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
            files=self.files,
            score=score,
        )

    def load(self, checkpoint: Checkpoint) -> TrainState:
        """Restore the weights, the place in the data and the random state; returns the counters of the run."""
        state = checkpoint.state()
        self.updater.load_tensors(checkpoint)
        self.updater.load_state_dict(state["updater"])
        self.stream.load_state_dict(state["stream"])
        set_random_state(state["random"])
        found = TrainState.from_dict(state["train"])
        self.saved_at = found.seconds
        return found
