"""The warnings of `mt translate --flags`, and their sum."""

import logging
from collections import Counter

from mt.errors import counted
from mt.postprocess.quality_flags import Flag, Measures, warning

logger = logging.getLogger("mt")
SHOWN = 20  # flagged lines are named


class Tally:
    """Warns of flagged lines, of the first ones by name, and sums them up at the end."""

    def __init__(self) -> None:
        self.lines = self.flagged = 0
        self.counts: Counter[Flag] = Counter()

    def add(self, number: int, measures: Measures) -> None:
        """Args: number: of the line, from 1."""
        self.lines += 1
        if not measures.flags:
            return
        self.flagged += 1
        self.counts.update(measures.flags)
        if self.flagged <= SHOWN:
            logger.warning(f"input {number:,}: {warning(measures)}")
        elif self.flagged == SHOWN + 1:
            logger.warning("more lines are flagged; only the first are shown. --jsonl has the flags of every line.")

    def close(self) -> None:
        """Say how many lines were flagged, and why."""
        counts = ", ".join(f"{flag} {self.counts[flag]:,}" for flag in Flag if self.counts[flag])
        say = logger.warning if self.flagged else logger.info
        say(f"{self.flagged:,} of {counted(self.lines, 'line')} flagged{': ' if counts else ''}{counts}")
