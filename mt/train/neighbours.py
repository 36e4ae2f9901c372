"""Other programs on the machine: a run logs when it gets much less processor time than its threads could use."""

import logging

from mt.compute.host import ProcessorMeter
from mt.errors import counted

logger = logging.getLogger("mt")
CHECK_EVERY = 20.0  # seconds of training


class Neighbours:
    """Measures how much processor time this process gets, and logs once if it is little."""

    def __init__(self, threads: int, meter: ProcessorMeter | None = None) -> None:
        """Args: threads: that share the work of a layer; meter: started now; None: one of this process."""
        self.threads = threads
        self.meter = meter or ProcessorMeter()
        self.updates = 0
        self.logged = False
        self._since_check = 0.0  # seconds of training

    def add(self, seconds: float) -> None:
        """Count an update that took `seconds`; log one line if other programs take much of the processor."""
        self.updates += 1
        self._since_check += seconds
        if self.logged or self._since_check < CHECK_EVERY:
            return
        self._since_check = 0.0
        time = self.meter.read()
        if time is not None and time.contended:
            self.logged = True
            logger.info(
                f"this process gets {time.used / time.wall:.1f} of {counted(self.threads, 'core')}; other programs are "
                "busy, and training takes longer"
            )

    def report(self) -> str | None:
        """How many updates a run limited by minutes lost, in a sentence; None: few, or not known."""
        time = self.meter.read()
        if time is None or not time.contended or not self.updates:
            return None
        factor = time.wall / time.quiet(self.threads)
        quiet = int(float(f"{self.updates * factor:.2g}"))  # two digits: it is an estimate
        return (
            f"Other programs took part of the processor: a quiet machine makes about {quiet:,} updates in this time "
            f"instead of {self.updates:,}; a limit {factor:.1f} times as long (`train.minutes`) makes up for it."
        )
