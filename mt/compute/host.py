"""How OpenMP's threads wait, how many processors this process may use, and how much processor time it gets.

Does not import torch, since OpenMP reads its environment when torch is imported.
"""

import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# How long OpenMP's threads spin while they wait for each other, before they sleep: a third of GNU's default, as fast on
# an idle machine. `mt.compute.waiting` shortens it while other programs are busy.
WAITING = {
    "GOMP_SPINCOUNT": "100000",  # GNU's OpenMP, in torch's builds for Linux; the default is 300,000
    "KMP_BLOCKTIME": "1",  # LLVM's and Intel's, in milliseconds; the default is 200
}
CHOSEN_BY_USER = {"OMP_WAIT_POLICY", *WAITING}

# How many kernels for products of other shapes oneDNN and ideep, torch's layer over it, keep. Almost every step of a
# search has another number of rows, and a thousand kernels of each, the default, take 0.9 GB. A new one takes 0.1 ms.
KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "128"}

# What asks a process to stop: `kill` and schedulers, Ctrl-C, and the end of its terminal, which Windows does not have.
STOPPING = [number for number in signal.Signals if number.name in {"SIGTERM", "SIGINT", "SIGHUP"}]


def before_torch() -> None:
    """Set the environment variables that torch's libraries read when they are loaded, or first used."""
    choose_waiting()
    for name, most in KERNELS.items():
        os.environ.setdefault(name, most)


def user_chose_waiting() -> bool:
    """Whether the user has set how OpenMP's threads wait."""
    return any(name in os.environ and os.environ[name] != WAITING.get(name) for name in CHOSEN_BY_USER)


def choose_waiting() -> None:
    """Shorten the time that OpenMP's threads spin before they sleep, by environment variables.

    Does nothing after the import of torch, or if the user has set one of the variables.
    """
    if "torch" not in sys.modules and not user_chose_waiting():
        os.environ.update(WAITING)


def processors(root: Path = Path("/")) -> int:
    """The number of processors that this process may use, by its affinity and the quota of its container, rounded up.

    Args: root: of the system's files, for tests.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_quotas(root)])))


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a new process can use, by the system and the limits of this process's container; None where the system
    does not say. Args: root: as `processors`."""
    told = re.search(r"^MemAvailable: *(\d+) kB", text_of(root / "proc/meminfo"), re.M)
    return min([int(told[1]) * 1024, *_rests_of_memory(root)]) if told else None


def _quotas(root: Path) -> Iterator[float]:
    """The limits of this process's control group and its parents, in processors."""
    for folder in _control_groups(root, "cpu"):
        words = (text_of(folder / "cpu.max") or text_of(folder / "cpu.cfs_quota_us")).split()
        words += text_of(folder / "cpu.cfs_period_us").split()
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
            yield int(words[0]) / int(words[1])


def _rests_of_memory(root: Path) -> Iterator[int]:
    """What the limits of the same control groups leave, in bytes. Files that were read once give way to a process."""
    for folder in _control_groups(root, "memory"):
        limit, used = (
            text_of(folder / new).strip() or text_of(folder / old).strip()
            for new, old in (("memory.max", "memory.limit_in_bytes"), ("memory.current", "memory.usage_in_bytes"))
        )
        if limit.isdecimal() and used.isdecimal():
            files = re.search(r"^inactive_file (\d+)$", text_of(folder / "memory.stat"), re.M)
            yield max(0, int(limit) - int(used) + (int(files[1]) if files else 0))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and its parents (cgroup v2 and v1)."""
    for line in text_of(root / "proc/self/cgroup").split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":  # version 2
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        group = top / path.strip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def text_of(file: Path) -> str:
    """The content of a file of the system; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Processor time of a process over an interval, in seconds."""

    wall: float
    used: float  # by all threads together
    waited: float  # for a processor, by all threads together

    @property
    def contended(self) -> bool:
        """Whether other programs took more than a quarter of the time that the threads could have used."""
        return self.waited > 0.25 * (self.used + self.waited)

    @property
    def quiet_again(self) -> bool:
        """Whether other programs took at most a tenth of it."""
        return self.waited <= 0.1 * (self.used + self.waited)

    def quiet(self, threads: int) -> float:
        """An estimate of the wall time of the same work on an idle machine, 10 to 30 % too short beside one program.

        It assumes that waits do not overlap, since the other threads wait for the one that waits for a processor.
        """
        return max(self.used / threads, self.wall - self.waited)


class ProcessorMeter:
    """Measures the `ProcessorTime` of this process since the meter was made."""

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        """Args: tasks: the folder of this process's threads on Linux."""
        self._tasks = tasks
        self._waits: dict[str, float] = {}  # by thread, including those that have ended
        self._wall, self._used, self._waited = time.perf_counter(), time.process_time(), self._total_wait()

    def read(self) -> ProcessorTime | None:
        """The time since the meter was made; None on systems other than Linux, which do not measure it."""
        waited = self._total_wait()
        if not self._waits:
            return None
        wall, used = time.perf_counter() - self._wall, time.process_time() - self._used
        return ProcessorTime(wall, used, waited - self._waited)

    def _total_wait(self) -> float:
        for stat in self._tasks.glob("*/schedstat"):
            words = text_of(stat).split()  # nanoseconds on a processor, nanoseconds waiting for one, turns
            if len(words) == 3:
                self._waits[stat.parent.name] = int(words[1]) / 1e9
        return sum(self._waits.values())
