"""Other programs on the machine: a run that gets much less processor time than its threads ask for says so."""

from mt.errors import counted
from mt.host import ProcessorMeter
from mt.log import logger

FIRST_LOOK = 20.0  # seconds of training before anything is said, and between two looks


class Neighbours:
    """Watches how much processor time this process gets, and tells once."""

    def __init__(self, threads: int, meter: ProcessorMeter | None = None) -> None:
        """Args: threads: that share the work of a layer; meter: begins now. None: one of this process."""
        self.threads = threads
        self.meter = meter or ProcessorMeter()
        self.told = False
        self._next_look = FIRST_LOOK

    def look(self, seconds: float) -> None:
        """Log one line when other programs take much of the processor. Args: seconds: of this attempt so far."""
        if self.told or seconds < self._next_look:
            return
        self._next_look = seconds + FIRST_LOOK
        time = self.meter.read()
        if time is not None and time.contended:
            self.told = True
            logger.info(
                f"this process gets {time.used / time.wall:.1f} of {counted(self.threads, 'core')}; other programs are "
                "busy, and training takes longer"
            )

    def report(self, updates: int) -> str | None:
        """What a run limited by minutes missed, in a sentence; None: nothing to speak of.

        Args: updates: made since this object was.
        """
        time = self.meter.read()
        if time is None or not time.contended:
            return None
        factor = time.wall / time.quiet(self.threads)
        return (
            f"Other programs took part of the processor: a quiet machine makes about {_rounded(updates * factor):,} "
            f"updates in this time instead of {updates:,}; a limit {factor:.1f} times as long (`train.minutes`) makes "
            "up for it."
        )


def _rounded(number: float) -> int:
    """To two digits that count: it is an estimate."""
    return int(float(f"{number:.2g}"))
