"""Run work in a child process that is killed at one of its file-system events; every event can be tried in turn."""

import os
import signal
import stat
import sys
import warnings
from collections.abc import Callable

import torch

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree"}


def run_until(event: int, work: Callable[[], object]) -> int | None:
    """Do `work` in a child that is killed at its n-th file-system event.

    An fsync counts twice; a kill at its first event leaves the file half written.

    Returns: None: the child was killed; else the number of its events.
    """
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: fork in a process that has threads
        child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # a forked process lacks its parent's threads, and would wait for them
        seen, sync = 0, os.fsync

        def count(half: int | None = None) -> None:
            nonlocal seen
            seen += 1
            if seen == event:
                if half is not None and stat.S_ISREG(os.fstat(half).st_mode):
                    os.truncate(half, os.fstat(half).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        def counted_sync(handle: int) -> None:
            count(half=handle)
            sync(handle)
            count()

        os.fsync = counted_sync
        sys.addaudithook(lambda name, _: count() if name in EVENTS else None)
        try:
            work()
            os.write(writable, seen.to_bytes(4, "big"))
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        seen = int.from_bytes(pipe.read(), "big")
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else seen
