"""Learning rate schedules: pure functions that return a fraction of the peak rate.

`step` counts updates from 1; `done` is the fraction of the run that is over, in [0, 1], of the limit that is reached
first.
"""

import math

from mt.config import ScheduleConfig, ScheduleKind


def warmup(step: int, warmup_steps: int) -> float:
    """Linear from 1 / warmup_steps to 1."""
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0


def inverse_sqrt(step: int, warmup_steps: int) -> float:
    """Linear up, then sqrt(warmup / step) (Vaswani et al. 2017, section 5.3, scaled to a peak of 1)."""
    return min(warmup(step, warmup_steps), math.sqrt(max(1, warmup_steps) / step))


def cosine(done: float, final_ratio: float) -> float:
    """Half a cosine from 1 to `final_ratio` (Loshchilov & Hutter 2017, arXiv 1608.03983)."""
    return final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def linear(done: float, final_ratio: float) -> float:
    """A straight line from 1 to `final_ratio`."""
    return 1 - (1 - final_ratio) * min(1.0, done)


def warmup_stable_decay(done: float, decay_share: float, final_ratio: float) -> float:
    """1, then over the last `decay_share` of the run down to `final_ratio` as 1 - sqrt (Hägele et al. 2024)."""
    into = (min(1.0, done) - (1 - decay_share)) / decay_share if decay_share else 0.0
    return 1.0 if into <= 0 else 1 - (1 - final_ratio) * math.sqrt(into)


def rate(section: ScheduleConfig, step: int, done: float) -> float:
    """The fraction of the peak learning rate at update `step`."""
    up = warmup(step, section.warmup_steps)
    match section.name:
        case ScheduleKind.constant:
            return up
        case ScheduleKind.inverse_sqrt:
            return inverse_sqrt(step, section.warmup_steps)
        case ScheduleKind.cosine:
            return min(up, cosine(done, section.final_ratio))
        case ScheduleKind.linear:
            return min(up, linear(done, section.final_ratio))
        case ScheduleKind.wsd:
            return min(up, warmup_stable_decay(done, section.decay_share, section.final_ratio))


def needs_end(section: ScheduleConfig) -> bool:
    """Whether the schedule must know where the run ends."""
    return section.name in (ScheduleKind.cosine, ScheduleKind.linear, ScheduleKind.wsd)
