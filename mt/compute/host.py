"""The machine as this process finds it: how its threads wait, how many processors it may use, how many it gets.

Without torch: OpenMP reads its environment once, when torch loads it.
"""

import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# How long OpenMP's threads spin while they wait for each other, before they sleep: a third of what GNU's library does
# by itself, which loses nothing on an idle machine. `mt.compute.waiting` shortens it while other programs are busy.
WAITING = {
    "GOMP_SPINCOUNT": "100000",  # GNU's OpenMP, in torch's builds for Linux; its own default is 300,000
    "KMP_BLOCKTIME": "1",  # LLVM's and Intel's, elsewhere: milliseconds; their own default is 200
}
CHOSEN_BY_USER = {"OMP_WAIT_POLICY", *WAITING}


def user_chose_waiting() -> bool:
    """Whether the user has told OpenMP how its threads wait."""
    return any(name in os.environ and os.environ[name] != WAITING.get(name) for name in CHOSEN_BY_USER)


def choose_waiting() -> None:
    """Have OpenMP's threads spin for a shorter time while they wait for each other, and sleep then.

    Sets environment variables, so it must be called before torch is imported; after that it does nothing. Does nothing
    either where the user has set one of these variables.
    """
    if "torch" not in sys.modules and not user_chose_waiting():
        os.environ.update(WAITING)


def processors(root: Path = Path("/")) -> int:
    """The processors that this process may use: its affinity, or the quota of its container, rounded up, if smaller.

    Args: root: where the system's own files are looked for.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The limits of this process's control group and of those around it, in processors (cgroup v2 and v1)."""
    for line in _read(root / "proc/self/cgroup").split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":  # version 2
            top, name = root / "sys/fs/cgroup", "cpu.max"
        elif "cpu" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/cpu", "cpu.cfs_quota_us"
        else:
            continue
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            words = _read(folder / name).split() + _read(folder / "cpu.cfs_period_us").split()
            if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
                yield int(words[0]) / int(words[1])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """What a process got of the processors in some time, all in seconds."""

    wall: float
    used: float  # by all its threads together
    waited: float  # threads that could have run waited for a processor, added up

    @property
    def contended(self) -> bool:
        """Whether other programs took a quarter or more of what the threads asked for."""
        return self.waited > 0.25 * (self.used + self.waited)

    @property
    def quiet_again(self) -> bool:
        """Whether other programs took a tenth or less, or there was no work."""
        return self.waited <= 0.1 * (self.used + self.waited)

    def quiet(self, threads: int) -> float:
        """About how long the same work takes on a machine with nothing else to do.

        While a thread waits for a processor the others wait for it, so that the waits do not overlap; and a processor
        does a second's work in a second. An estimate: 10 to 30 % too short beside one busy program.
        """
        return max(self.used / threads, self.wall - self.waited)


class ProcessorMeter:
    """Measures the `ProcessorTime` of this process since it was made."""

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        """Args: tasks: Linux's folder of this process's threads."""
        self._tasks = tasks
        self._waits: dict[str, float] = {}  # of each thread, also of those that have ended
        self._wall, self._used, self._waited = time.perf_counter(), time.process_time(), self._total_wait()

    def read(self) -> ProcessorTime | None:
        """None: where the system does not tell how long threads wait for a processor (all but Linux)."""
        waited = self._total_wait()
        if not self._waits:
            return None
        return ProcessorTime(
            wall=time.perf_counter() - self._wall,
            used=time.process_time() - self._used,
            waited=waited - self._waited,
        )

    def _total_wait(self) -> float:
        for stat in self._tasks.glob("*/schedstat"):
            words = _read(stat).split()  # nanoseconds on a processor, nanoseconds waiting for one, turns
            if len(words) == 3:
                self._waits[stat.parent.name] = int(words[1]) / 1e9
        return sum(self._waits.values())
