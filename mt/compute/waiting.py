"""OpenMP's threads wait by sleeping while other programs are busy, and by spinning while the machine is idle.

Two threads that share a layer wait for each other some thousand times a second. Spinning answers at once, but a thread
that spins keeps a processor from the one it waits for as soon as another program wants one too; sleeping costs a sixth
of the rate on an idle machine (docs/BENCHMARKS.md). GNU's OpenMP, which torch's builds for Linux carry, has both: it
spins for `GOMP_SPINCOUNT` turns, but for 100 only while its threads outnumber the processors. A second team of threads,
which does nothing, makes them so. How work is divided among threads stays as it is, and so does every result.
"""

import threading
from dataclasses import dataclass, field

import torch

from mt.compute.host import ProcessorMeter, ProcessorTime, processors, user_chose_waiting

EVERY = 1.0  # seconds between two looks
PARALLEL = 1 << 20  # elements, which torch divides among threads


@dataclass
class Waiting:
    """Which way OpenMP waits; `look` chooses."""

    idle_team: "IdleTeam | None" = field(default=None, init=False)

    def look(self, time: ProcessorTime | None) -> None:
        """Sleep where other programs took much of the processor in some `time`, spin again where they took little."""
        if time is None:
            return
        if self.idle_team is None and time.contended:
            self.idle_team = IdleTeam()
        elif self.idle_team is not None and time.quiet_again:
            self.idle_team.dismiss()
            self.idle_team = None


class IdleTeam:
    """Threads of OpenMP's that do nothing, as many as work: they are there so that all outnumber the processors."""

    def __init__(self) -> None:
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._be_there, name="mt-idle-team", daemon=True)
        self._thread.start()

    def _be_there(self) -> None:
        torch.ones(PARALLEL).sum()  # OpenMP makes a team for every thread that has parallel work, and keeps it
        self._leave.wait()

    def dismiss(self) -> None:
        """Let them go, and wait until they have."""
        self._leave.set()
        self._thread.join()


def watch_processors() -> None:
    """Choose the way of waiting once a second from now on, in a thread of its own.

    Does nothing where the user has chosen one; where fewer threads than processors work, since those that spin then
    take nothing from anyone; and where the system does not tell how long threads wait for a processor.
    """
    if user_chose_waiting() or ProcessorMeter().read() is None or _watched():
        return
    if 1 < torch.get_num_threads() >= processors():
        threading.Thread(target=_watch, name=WATCH, daemon=True).start()


WATCH = "mt-watch-processors"


def _watched() -> bool:
    return any(thread.name == WATCH for thread in threading.enumerate())


def _watch() -> None:
    waiting, pause = Waiting(), threading.Event()
    meter = ProcessorMeter()
    while not pause.wait(EVERY):
        waiting.look(meter.read())
        meter = ProcessorMeter()
