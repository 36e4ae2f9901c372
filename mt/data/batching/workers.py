"""Pools made ahead in other processes, so that training does not wait for the next one.

Workers are forks of a *fork server*: a fork of the training process would copy torch's thread pools and CUDA's state,
with locks of threads that the child does not have. The server is a new interpreter that has imported what workers need
and computed nothing. It takes some seconds, once per run and however many workers there are, and they share its memory.
A worker gets the path of the table and maps it. A pool is a pure function of its place, so it does not matter which
process makes it, and a worker has no state to save.
"""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch.utils.data import DataLoader

from mt.compute.host import STOPPING, processors
from mt.data.batching.pool import Pool, Pools, Where
from mt.errors import MtError

AHEAD = 2  # pools that each worker makes ahead
MOST = 8  # workers chosen without a setting


def choose_workers(setting: int | None, device: torch.device, *, sampling: bool, processes: int = 1) -> int:
    """The number of workers of a process: `data.workers`, or a choice for the device if that is None.

    Only sampling is expensive: a GPU consumes text faster than several cores sample segmentations. Without sampling one
    worker keeps up with any device, and a second one covers the permutation of a new epoch. Training on a CPU is slow
    enough to need no worker, and with sampling one, so that no step waits seconds for a pool.

    Args: processes: training processes that share the cores of this machine.
    """
    if setting is not None:
        return setting
    if device.type == "cpu":
        return int(sampling)
    return max(2, min(MOST, processors() // processes - 1)) if sampling else 2


class Ahead:
    """Pools in order, made by worker processes. Access to another pool than the next restarts the workers there."""

    def __init__(self, pools: Pools, *, workers: int, pin: bool) -> None:
        """Args: pin: use pinned memory."""
        self._pools = pools
        self._workers = workers
        self._pin = pin
        self._next: Where | None = None
        self._coming: Any = None  # the DataLoader's iterator
        self._finalizer: Finalize | None = None

    def __getitem__(self, where: Where) -> Pool:
        """Raises: MtError: when a worker died."""
        if self._next != where:
            self.close()
            self._start(where)
        self._next = None  # after an interrupt during the wait the next pool is unknown
        try:
            pool = next(self._coming)
        except (RuntimeError, OSError, EOFError) as error:
            if death := self._death():
                self.close()
                raise MtError(
                    f"a data worker died ({death}), perhaps for lack of memory, or of space in /dev/shm.",
                    hint="run the same command again: it goes on from the last checkpoint, and with `data.workers=0` "
                    "it needs no workers. In docker, `--shm-size=1g` gives more space.",
                ) from error
            raise
        self._next = self._pools.after(where)
        return pool

    def close(self) -> None:
        """End the workers. Waits a short time for a worker that is making a pool, then kills it."""
        if self._finalizer is not None:
            self._finalizer()
        self._finalizer = self._coming = self._next = None

    def _start(self, where: Where) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
            loader = DataLoader(
                self._pools,  # pyright: ignore[reportArgumentType]
                batch_size=None,
                sampler=self._pools.onwards(where),  # pyright: ignore[reportArgumentType]
                num_workers=self._workers,
                prefetch_factor=AHEAD,
                pin_memory=self._pin,
                worker_init_fn=_begin_worker,
                multiprocessing_context=_start_method(),
                generator=torch.Generator(),  # the default would draw from the generator that dropout uses
            )
            with _own_signals():
                self._coming = iter(loader)
        # Also runs at exit, where multiprocessing would send SIGTERM, which the workers ignore, and wait for them.
        self._finalizer = Finalize(self, _end, (self._coming,), exitpriority=10)

    def _death(self) -> str | None:
        """How the first dead worker died, in words."""
        for worker in self._coming._workers:
            worker.join(1)  # the connection breaks before the process is reported dead
            if not worker.is_alive():
                code = worker.exitcode or 0
                return signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return None


def _start_method() -> str:
    if sys.platform != "linux":
        return "spawn"  # a new interpreter for each worker: on macOS a fork is not safe, Windows has none
    multiprocessing.set_forkserver_preload(["mt.data.batching.fork_server"])
    return "forkserver"


def _begin_worker(number: int) -> None:
    """Ignore the signals to stop: terminals and job schedulers send them to every process, but only the main one must
    react. End with the main process, however that ends: torch ends a worker with its parent, but that is the fork
    server, which ends with its last worker."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(main: Any) -> None:
    main.join()
    os._exit(1)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Start processes inside this block with the signals to stop blocked; restore the handler of SIGCHLD afterwards.

    torch's handler would raise an error anywhere in the main process when a worker dies; `__getitem__` raises instead.
    """
    resource_tracker.ensure_running()  # starting it later would unblock the signals
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if main:
            signal.signal(signal.SIGCHLD, handler if handler is not None else signal.SIG_DFL)


def _end(coming: Any) -> None:
    """End the workers of a DataLoader's iterator, which has no public way to do so."""
    coming._shutdown_workers()
    for worker in coming._workers:
        if worker.is_alive():
            worker.kill()
            worker.join()
