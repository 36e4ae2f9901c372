"""When the state of a run is saved, and what of it: everything that the next update depends on.

A state has the score of the validation that it was saved at, or none: saved by the clock, by SIGUSR1 or at a stop, it
is there to go on from, is no candidate for the best model or a mean of models, and makes way for the next.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from mt.batching import BatchStream
from mt.checkpoint import Checkpoint, Checkpoints, random_state, set_random_state
from mt.errors import CheckpointError
from mt.log import logger
from mt.train.state import TrainState
from mt.train.update import Updater


@contextmanager
def old_ones_may_stay() -> Iterator[None]:
    """A disk that does not let checkpoints be removed costs a warning."""
    try:
        yield
    except CheckpointError as error:
        logger.warning(f"{error} Old checkpoints stay.")


class Saver:
    """Writes the state of a run to its checkpoints, and puts it back. Every process of a run has one."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        updater: Updater,
        stream: BatchStream,
        *,
        files: dict[str, bytes],
        minutes: float | None,
    ) -> None:
        """Args: files: what makes a checkpoint usable by itself (tokenizer, config), by name; minutes: of the run's
        own clock after which a save is due; None: it never is."""
        self.checkpoints = checkpoints
        self.updater = updater
        self.stream = stream
        self.files = files
        self.minutes = minutes
        self.saved_at = 0.0  # seconds of the run, at the last save or attempt to save
        self.failed = False  # the last save did, and a warning said so

    def due(self, state: TrainState) -> bool:
        """Whether a kill would now cost too much. Processes that have the first one's clock decide alike."""
        return self.minutes is not None and state.seconds - self.saved_at >= 60 * self.minutes

    def keep(self, state: TrainState, *, score: float | None = None) -> None:
        """Save and make room. A disk that is full costs a checkpoint and a warning, not the run, until it ends."""
        tensors = self.updater.tensors()
        self.saved_at = state.seconds  # also where it fails: a full disk is not asked again at every update

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

    def settle(self, latest: Path) -> None:
        """Do again what follows a save, for the first process of a run that goes on, or is finished."""
        with old_ones_may_stay():
            self.checkpoints.settle(latest)

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
        """Put back the weights, the place in the data and the random numbers; returns where the run stood."""
        state = checkpoint.state()
        self.updater.load_tensors(checkpoint)
        self.updater.load_state_dict(state["updater"])
        self.stream.load_state_dict(state["stream"])
        set_random_state(state["random"])
        found = TrainState.from_dict(state["train"])
        self.saved_at = found.seconds
        return found
