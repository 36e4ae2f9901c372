"""Other programs on the machine: a run that gets much less processor time than its threads ask for says so."""

from mt.compute.host import ProcessorMeter
from mt.errors import counted
from mt.log import logger

LOOK_EVERY = 20.0  # seconds of training


class Neighbours:
    """Watches how much processor time this process gets, and tells once."""

    def __init__(self, threads: int, meter: ProcessorMeter | None = None) -> None:
        """Args: threads: that share the work of a layer; meter: begins now. None: one of this process."""
        self.threads = threads
        self.meter = meter or ProcessorMeter()
        self.updates = 0
        self.told = False
        self._unseen = 0.0  # seconds of training since the last look

    def add(self, seconds: float) -> None:
        """Count an update that took `seconds`; log one line when other programs take much of the processor."""
        self.updates += 1
        self._unseen += seconds
        if self.told or self._unseen < LOOK_EVERY:
            return
        self._unseen = 0.0
        time = self.meter.read()
        if time is not None and time.contended:
            self.told = True
            logger.info(
                f"this process gets {time.used / time.wall:.1f} of {counted(self.threads, 'core')}; other programs are "
                "busy, and training takes longer"
            )

    def report(self) -> str | None:
        """What a run limited by minutes missed, in a sentence; None: little or nothing, or it is not known."""
        time = self.meter.read()
        if time is None or not time.contended:
            return None
        factor = time.wall / time.quiet(self.threads)
        quiet = _rounded(self.updates * factor)
        return (
            f"Other programs took part of the processor: a quiet machine makes about {quiet:,} updates in this time "
            f"instead of {self.updates:,}; a limit {factor:.1f} times as long (`train.minutes`) makes up for it."
        )


def _rounded(number: float) -> int:
    """To two digits that count: it is an estimate."""
    return int(float(f"{number:.2g}"))
