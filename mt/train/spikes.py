"""Is this loss a spike? A pure function of the losses before it, so that a run that is resumed decides the same."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from mt.checkpoint import Checkpoint, Checkpoints
from mt.errors import MtError
from mt.log import logger
from mt.train.state import TrainState
from mt.train.update import Updater

WINDOW = 128  # accepted losses that are looked back on
LEAST = 32  # without so many nothing is a spike
MOST = 10  # times that a run goes back
FLOOR = 0.01  # of the mean: the least deviation, for losses that hardly move


def is_spike(accepted: Sequence[float], loss: float, sigmas: float) -> bool:
    """Whether `loss` lies more than `sigmas` standard deviations above the mean of the losses that were accepted.

    A spike is not accepted, so it does not widen the window by which the next one is judged; with it in, one
    infinite loss would make every later one look normal, or none. `sigmas` 0: never.
    """
    if not sigmas or len(accepted) < LEAST:
        return False
    mean = statistics.fmean(accepted)
    return loss > mean + sigmas * max(statistics.pstdev(accepted, mean), FLOOR * abs(mean))


def find_spike(state: TrainState, loss: float, sigmas: float) -> str | None:
    """What is wrong with the loss of an update, in words; one that is accepted is remembered in `state`."""
    if is_spike(state.losses, loss, sigmas):
        return f"the loss {loss:.3f} is more than {sigmas:g} deviations above the {len(state.losses)} before it"
    if sigmas and math.isfinite(loss):  # one that is not would make a mean of nothing
        state.losses = [*state.losses, loss][-WINDOW:]
    return None


def go_back(updater: Updater, checkpoints: Checkpoints, state: TrainState) -> None:
    """After a spike: the weights of the last checkpoint with a score, and on with the text that comes next.

    Only such a one: where signals had others written must not change what is learnt. Steps count on, so the rate
    moves as it would have. Every process of a group must call it. Raises `MtError` when it comes to nothing.
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
