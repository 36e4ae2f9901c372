"""Lets OpenMP's threads sleep while they wait if other programs are busy, and spin if the machine is idle.

Threads that share a layer wait for each other some thousand times a second. A spinning thread continues at once, but it
may occupy the processor that another thread needs, once another program wants one too; sleeping costs a sixth of the
speed on an idle machine (docs/BENCHMARKS.md). GNU's OpenMP, in torch's builds for Linux, spins for `GOMP_SPINCOUNT`
turns, but for 100 only while it has more threads than processors. A second team of idle threads brings that about. The
division of work among threads, and so every result, stays the same.
"""

import atexit
import threading

import torch

from mt.compute.host import ProcessorMeter, ProcessorTime, processors, user_chose_waiting

INTERVAL = 1.0  # seconds between two measurements
PARALLEL = 1 << 20  # elements, enough for torch to use all threads
WATCH = "mt-watch-processors"  # name of the thread


class IdleTeam:
    """Idle OpenMP threads, as many as the working ones, so that there are more threads than processors."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mt-idle-team", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        torch.ones(PARALLEL).sum()  # OpenMP makes a team for every thread with parallel work, and keeps it
        self._end.wait()

    def dismiss(self) -> None:
        """End the threads, and wait for their end."""
        self._end.set()
        self._thread.join()


def adjusted(team: IdleTeam | None, time: ProcessorTime | None) -> IdleTeam | None:
    """The team to have after an interval: one if other programs took much processor time, none if they took little."""
    if team is None and time is not None and time.contended:
        return IdleTeam()
    if team is not None and time is not None and time.quiet_again:
        team.dismiss()
        return None
    return team


def watch_processors() -> None:
    """From now on, measure once per interval and adjust, in a thread.

    Does nothing if the user has set how threads wait, if there are fewer threads than processors, since spinning then
    takes nothing from other threads, or if the system does not measure how long threads wait for a processor.
    """
    watched = any(thread.name == WATCH for thread in threading.enumerate())
    if watched or user_chose_waiting() or ProcessorMeter().read() is None:
        return
    if 1 < torch.get_num_threads() >= processors():
        ended = threading.Event()
        thread = threading.Thread(target=_watch, args=(ended,), name=WATCH, daemon=True)
        thread.start()
        atexit.register(_end, ended, thread)


def _watch(ended: threading.Event) -> None:
    team = None
    meter = ProcessorMeter()
    while not ended.wait(INTERVAL):
        team = adjusted(team, meter.read())
        meter = ProcessorMeter()
    if team is not None:
        team.dismiss()


def _end(ended: threading.Event, thread: threading.Thread) -> None:
    """End the thread before Python ends, which kills a thread that wakes later: inside torch that aborts the process
    ("terminate called without an active exception"), after the work is done and with exit code 134."""
    ended.set()
    thread.join()
