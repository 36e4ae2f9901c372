"""What a process leaves behind that is killed at a file-system event of its work, for every event; work in a child."""

import os
import shutil
import signal
import stat
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree"}


def in_child(work: Callable[[], object]) -> bool:
    """Do `work` in a forked process. Returns: whether it came to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: fork in a process that has threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)  # a forked process lacks its parent's threads, and would wait for them
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def at_events(watch: Callable[[int | None], object]) -> None:
    """From now on in this process: call `watch` at each file-system event; an fsync counts twice, before and after.

    `watch` gets the handle of the file before its fsync, when the disk may have half of it, and None else.
    """
    sync = os.fsync

    def counted_sync(handle: int) -> None:
        watch(handle)
        sync(handle)
        watch(None)

    os.fsync = counted_sync
    sys.addaudithook(lambda name, _: watch(None) if name in EVENTS else None)  # which cannot be taken away again


def half_of(handle: int) -> int | None:
    """Half of the bytes of a file; None: the handle is that of a folder."""
    found = os.fstat(handle)
    return found.st_size // 2 if stat.S_ISREG(found.st_mode) else None


def killed_at(event: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed at its n-th event, from 0. Returns: whether it came to its end."""
    seen = 0

    def kill(handle: int | None) -> None:
        nonlocal seen
        if seen == event:
            if handle is not None and (half := half_of(handle)) is not None:
                os.truncate(handle, half)
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    return in_child(lambda: (at_events(kill), work()))


def all_crashes(folder: Path, work: Callable[[], object], copies: Path) -> list[Path]:
    """A copy of `folder` as it is at each event of `work`, in their order: what a process killed there leaves behind,
    as `killed_at` does, but made by one process in place of one for each event."""
    seen, turn, copying = 0, threading.RLock(), False

    def keep(handle: int | None) -> None:
        nonlocal seen, copying
        with turn:  # other threads of the work stop at their next event
            if copying:
                return
            copying = True
            copy = copies / f"{seen:04d}"
            shutil.copytree(folder, copy)
            if handle is not None and (half := half_of(handle)) is not None:
                (file,) = (one for one in folder.rglob("*") if os.path.samestat(one.stat(), os.fstat(handle)))
                os.truncate(copy / file.relative_to(folder), half)
            seen, copying = seen + 1, False

    copies.mkdir()
    assert in_child(lambda: (at_events(keep), work()))
    return sorted(copies.iterdir())
