"""Comparison of values with a tolerance for rounding, so that a choice does not depend on the machine.

The last digits of a sum depend on the order of its terms, and so on the processor, on the number of threads and on the
other items of a batch. Values that differ by less than `rounding` times the largest value count as equal, and so do two
that a chain of such neighbours connects. The bounds below are far above the rounding errors of sums of some thousand
terms.
"""

from collections.abc import Sequence
from itertools import pairwise

FLOAT64 = 1e-9  # the rounding of sums in 64 bits
FLOAT32 = 1e-5  # and in 32


def levelled(values: Sequence[float], rounding: float) -> list[float]:
    """The values, where equal ones are replaced by the largest of them, so that a stable sort keeps their order."""
    order = sorted(range(len(values)), key=lambda place: -values[place])
    near = rounding * max((abs(value) for value in values if abs(value) < float("inf")), default=0.0)
    level = list(values)
    for above, below in pairwise(order):
        if values[above] - values[below] <= near:
            level[below] = level[above]
    return level


def ranked(values: Sequence[float], rounding: float) -> list[tuple[int, float]]:
    """(place, value) of every value, the largest first, earlier ones first among equals, which get the same value."""
    return sorted(enumerate(levelled(values, rounding)), key=lambda one: -one[1])


def first_best(values: Sequence[float], rounding: float) -> int:
    """The index of the largest value, the first of equal ones. Raises: ValueError: without any value."""
    level = levelled(values, rounding)
    return level.index(max(level))
