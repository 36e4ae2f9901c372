"""Runs that are alike but for their seed: the mean of their scores, and how far these scatter.

A difference between two settings means little unless it is larger than that between two seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any, NamedTuple

from mt.train.overview import NONE, Overview, aligned, lowest_bits

SEED = "train.seed"
BITS = "dev bits per char"
LOSSES = {BITS, "dev loss"}  # small numbers, whose differences are smaller
OVER_SEEDS = "runs that differ in nothing but the seed: mean ± standard deviation"  # above the table


class Spread(NamedTuple):
    """Of one score over some runs."""

    mean: float
    stdev: float  # the sample's, which divides by one less than their number

    def shown(self, digits: int) -> str:
        return f"{self.mean:.{digits}f} ± {self.stdev:.{digits}f}"


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Finished runs that have other seeds, and all else that decides a result in common."""

    runs: Sequence[Overview]  # at least two
    scores: dict[str, Spread] = field(default_factory=dict)  # those that all of them have

    def cells(self) -> dict[str, str]:
        """For a column of a table."""
        return {
            "runs": ", ".join(run.folder.name for run in self.runs),
            SEED: ", ".join(str(run.config[SEED]) for run in self.runs),
            **{name: each.shown(3 if name in LOSSES else 2) for name, each in self.scores.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "runs": [str(run.folder) for run in self.runs],
            "seeds": [run.config[SEED] for run in self.runs],
            "scores": {name: each._asdict() for name, each in self.scores.items()},
        }


def over_seeds(runs: Sequence[Overview]) -> list[Seeds]:
    """Args: runs: of two with the same seed, the first counts."""
    alike: dict[str, dict[str, Overview]] = {}
    for run in runs:
        if run.state == "finished" and SEED in run.config:
            others = {key: value for key, value in run.config.items() if key != SEED and not key.startswith("run.")}
            alike.setdefault(repr((others, run.basis)), {}).setdefault(repr(run.config[SEED]), run)
    groups = [list(group.values()) for group in alike.values() if len(group) > 1]
    return [Seeds(runs=group, scores=_spreads([_scores(run) for run in group])) for group in groups]


def told(groups: Sequence[Seeds]) -> str:
    """The table with its heading, for a terminal."""
    return f"{OVER_SEEDS}\n{aligned(seed_table(groups))}"


def seed_table(groups: Sequence[Seeds]) -> list[list[str]]:
    """The groups side by side, one column each."""
    cells = [group.cells() for group in groups]
    names = dict.fromkeys(name for each in cells for name in each)
    return [[name, *(each.get(name, NONE) for each in cells)] for name in names]


def _scores(run: Overview) -> dict[str, float | None]:
    dev = {f"dev {run.watch}": run.dev, BITS: lowest_bits(run.folder)}
    return dev | {f"test {name}": value for name, value in run.test.items()}


def _spreads(scores: Sequence[dict[str, float | None]]) -> dict[str, Spread]:
    spreads = {}
    for name in scores[0]:
        values = [value for each in scores if (value := each.get(name)) is not None]
        if len(values) == len(scores):
            spreads[name] = Spread(mean(values), stdev(values))
    return spreads
