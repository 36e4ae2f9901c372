"""Values that differ by rounding alone are equal, and equals are told apart by place.

The same numbers added up in another order give a sum with other last digits, and the order depends on the processor,
on the number of threads and on what else is in the batch. A choice that looked at those digits would be another choice
on another machine.

What is nearer than `rounding` times the greatest value counts as equal, and so do two that a chain of such neighbours
joins. The bounds below are far above what rounding does to a sum of some thousand terms, and far below what anybody
could see.
"""

from collections.abc import Sequence
from itertools import pairwise

FLOAT64 = 1e-9  # the rounding of sums in 64 bits
FLOAT32 = 1e-5  # and in 32


def levelled(values: Sequence[float], rounding: float) -> list[float]:
    """The values, each of equal ones replaced by the greatest of them: a stable sort leaves them in their order."""
    order = sorted(range(len(values)), key=lambda place: -values[place])
    near = rounding * max((abs(value) for value in values if abs(value) < float("inf")), default=0.0)
    level = list(values)
    for above, below in pairwise(order):
        if values[above] - values[below] <= near:
            level[below] = level[above]
    return level


def first_best(values: Sequence[float], rounding: float) -> int:
    """The place of the greatest value, of equals the first. Raises: ValueError: when there are none."""
    level = levelled(values, rounding)
    return level.index(max(level))
