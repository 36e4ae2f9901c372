"""Loss spikes: a pure function of the losses before, so that a resumed run decides the same; and going back."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from mt.checkpoint import Checkpoint, Checkpoints
from mt.errors import MtError
from mt.log import logger
from mt.train.state import TrainState
from mt.train.step import Updater

WINDOW = 128  # accepted losses that a loss is compared with
LEAST = 32  # with fewer, nothing is a spike
MOST = 10  # times that a run may go back
FLOOR = 0.01  # of the mean: the smallest deviation, for losses that hardly vary


def is_spike(accepted: Sequence[float], loss: float, sigmas: float) -> bool:
    """Whether `loss` is more than `sigmas` standard deviations above the mean of the accepted losses.

    A spike is not accepted, so it does not change the decision about the next loss: one infinite loss would spoil every
    later one. `sigmas` 0: never.
    """
    if not sigmas or len(accepted) < LEAST:
        return False
    mean = statistics.fmean(accepted)
    return loss > mean + sigmas * max(statistics.pstdev(accepted, mean), FLOOR * abs(mean))


def find_spike(state: TrainState, loss: float, sigmas: float) -> str | None:
    """What is wrong with the loss of an update, in words; an accepted loss is added to `state`."""
    if is_spike(state.losses, loss, sigmas):
        return f"the loss {loss:.3f} is more than {sigmas:g} deviations above the {len(state.losses)} before it"
    if sigmas and math.isfinite(loss):  # a mean with NaN or infinity would be useless
        state.losses = [*state.losses, loss][-WINDOW:]
    return None


def go_back(updater: Updater, checkpoints: Checkpoints, state: TrainState) -> None:
    """After a spike: load the weights of the last checkpoint with a score, and continue with the next text.

    Checkpoints without a score are passed over: when a signal or the clock had one written must not change the result.
    Steps count on, so the learning rate is not affected. Every process of a group must call it. Raises: MtError: when
    the run has gone back too often.
    """
    name = updater.group.from_main(lambda: next((str(path) for path in checkpoints.scored()), None))
    if name is None:
        logger.warning("there is no checkpoint with a score to go back to; training goes on.")
        return
    state.went_back += 1
    if state.went_back > MOST:
        raise MtError(
            f"the loss has spiked more than {MOST} times (the last at step {state.step:,}); look at the text in "
            "bad_batches/, and begin a new run (run.name=...) with a lower `optim.lr`."
        )
    checkpoint = Checkpoint.open(Path(name))
    updater.load_tensors(checkpoint)
    updater.load_state_dict(checkpoint.state()["updater"])
    logger.warning(f"step {state.step:,}: back to the weights of step {checkpoint.step:,}, and on with the next text.")
