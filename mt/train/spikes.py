"""Loss spikes: finding one, by the losses before it, and going back to an earlier checkpoint."""

import logging
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from mt.checkpoint import Checkpoint, Checkpoints
from mt.errors import MtError
from mt.train.state import TrainState
from mt.train.step import Updater

logger = logging.getLogger("mt")
WINDOW = 128  # accepted losses that a loss is compared with
MIN_LOSSES = 32  # with fewer, nothing is a spike
MAX_RETURNS = 10  # times that a run may go back
MIN_DEVIATION = 0.01  # of the mean, for losses that hardly vary


def is_spike(accepted: Sequence[float], loss: float, sigmas: float) -> bool:
    """Whether `loss` is more than `sigmas` standard deviations above the mean of the accepted losses.

    A spike is not accepted, so it does not affect later decisions. `sigmas` 0: never.
    """
    if not sigmas or len(accepted) < MIN_LOSSES:
        return False
    mean = statistics.fmean(accepted)
    return loss > mean + sigmas * max(statistics.pstdev(accepted, mean), MIN_DEVIATION * abs(mean))


def find_spike(state: TrainState, loss: float, sigmas: float) -> str | None:
    """Describes a spike, if `loss` is one; None otherwise, and `loss` is added to the accepted ones of `state`."""
    if is_spike(state.losses, loss, sigmas):
        return f"the loss {loss:.3f} is more than {sigmas:g} deviations above the {len(state.losses)} before it"
    if sigmas and math.isfinite(loss):  # a mean with NaN or infinity is useless
        state.losses = [*state.losses, loss][-WINDOW:]
    return None


def go_back(updater: Updater, checkpoints: Checkpoints, state: TrainState) -> None:
    """After a spike: load the weights of the last checkpoint with a score, and continue with the next text.

    Checkpoints without a score are not used: the result must not depend on when a signal or the clock caused one. The
    count of steps, and so the learning rate, does not go back. Every process of a group must call it. Raises: MtError:
    when the run has gone back too often.
    """
    name = updater.group.from_main(lambda: next((str(path) for path in checkpoints.scored()), None))
    if name is None:
        logger.warning("there is no checkpoint with a score to go back to; training goes on.")
        return
    state.went_back += 1
    if state.went_back > MAX_RETURNS:
        raise MtError(
            f"the loss has spiked more than {MAX_RETURNS} times (the last at step {state.step:,}).",
            hint="look at the text in bad_batches/, and begin a new run (`run.name=...`) with a lower `optim.lr`.",
        )
    checkpoint = Checkpoint.open(Path(name))
    updater.load_tensors(checkpoint)
    updater.load_state_dict(checkpoint.state()["updater"])
    logger.warning(
        f"step {state.step:,}: back to the weights of step {checkpoint.step:,}, going on with the next text."
    )
