"""What a process leaves behind that is killed at a file-system event of its work, for every event; work in a child."""

import os
import shutil
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


def all_crashes(folder: Path, work: Callable[[], object], copies: Path) -> list[Path]:
    """A copy of `folder` as it is at each file-system event of `work`, in their order.

    That is what a process killed there leaves behind, made by one process in place of one for each event. An fsync
    counts twice, before and after; the file of the first has reached the disk by half.
    """

    def watched() -> None:
        seen, turn, sync = 0, threading.RLock(), os.fsync
        copying = False

        def keep(half: int | None = None) -> None:
            nonlocal seen, copying
            with turn:  # other threads of the work stop at their next event
                if copying:
                    return
                copying = True
                copy = copies / f"{seen:04d}"
                shutil.copytree(folder, copy)
                if half is not None and stat.S_ISREG((found := os.fstat(half)).st_mode):
                    (file,) = (path for path in folder.rglob("*") if os.path.samestat(path.stat(), found))
                    os.truncate(copy / file.relative_to(folder), found.st_size // 2)
                seen, copying = seen + 1, False

        def counted_sync(handle: int) -> None:
            keep(half=handle)
            sync(handle)
            keep()

        os.fsync = counted_sync
        sys.addaudithook(lambda name, _: keep() if name in EVENTS else None)  # which cannot be taken away again
        work()

    copies.mkdir()
    assert in_child(watched)
    return sorted(copies.iterdir())
