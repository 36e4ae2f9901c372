"""Pools made ahead in other processes, so that training finds the next one ready.

Workers are *spawned*: a fork would copy torch's thread pools and CUDA's state as they stand, locks held by threads that
the child does not have. A new interpreter takes some seconds, once a run; it is told where the table is, and maps it.
A pool is a pure function of where it is, so it does not matter who makes it, and no worker has anything to save.
"""

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch.utils.data import DataLoader

from mt.compute.host import processors
from mt.data.batching.pool import Pool, Pools, Where
from mt.errors import MtError

AHEAD = 2  # pools that each worker makes ahead
MOST = 8  # workers that are chosen unasked
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def choose_workers(asked: int | None, device: torch.device, *, sampling: bool, processes: int = 1) -> int:
    """The number of workers of a process; what `data.workers` asks for, if it does.

    Sampling is the only dear part: a GPU uses up text faster than several cores draw segmentations for it. Without it
    one worker keeps up with any device, and a second covers the permutation of a new epoch. A CPU that trains is slow
    enough for the process itself, and with sampling for one worker, so that no step waits seconds for a pool.

    Args: processes: those that train on this machine and share its cores.
    """
    if asked is not None:
        return asked
    if device.type == "cpu":
        return int(sampling)
    return max(2, min(MOST, processors() // processes - 1)) if sampling else 2


class Ahead:
    """Pools in turn, made by worker processes. Asked for another pool than the next one, it starts anew from there."""

    def __init__(self, pools: Pools, *, workers: int, pin: bool) -> None:
        """Args: pin: put pools where a GPU copies them from without the CPU."""
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
        self._next = None  # should Ctrl-C come while we wait, it is not known what comes next
        try:
            pool = next(self._coming)
        except (RuntimeError, OSError, EOFError) as error:
            if death := self._death():
                self.close()
                raise MtError(
                    f"a data worker died ({death}); there may be too little memory, or too little in /dev/shm (docker: "
                    "--shm-size=1g); the same command goes on from the last checkpoint, without workers if you set "
                    "`data.workers=0`."
                ) from error
            raise
        self._next = self._pools.after(where)
        return pool

    def close(self) -> None:
        """End the workers; no process is left behind. Waits for a pool that one of them is at, but not for long."""
        if self._finalizer is not None:
            self._finalizer()
        self._finalizer = self._coming = self._next = None

    def _start(self, where: Where) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores, as asked for
            loader = self._loader(where)
            with _own_signals():
                self._coming = iter(loader)
        # At the end of the process, too: multiprocessing would ask workers to end that are deaf to it, and wait.
        self._finalizer = Finalize(self, _end, (self._coming,), exitpriority=10)

    def _loader(self, where: Where) -> DataLoader[Pool]:
        return DataLoader(
            self._pools,  # pyright: ignore[reportArgumentType]
            batch_size=None,
            sampler=_Onwards(self._pools, where),  # pyright: ignore[reportArgumentType]
            num_workers=self._workers,
            prefetch_factor=AHEAD,
            pin_memory=self._pin,
            collate_fn=_as_it_is,
            worker_init_fn=_begin_worker,
            multiprocessing_context="spawn",
            generator=torch.Generator(),  # else it draws a number from the one that dropout uses
        )

    def _death(self) -> str | None:
        """How the first dead worker died, in words."""
        for worker in self._coming._workers:
            worker.join(1)  # a broken connection is seen sooner than the death that broke it
            if not worker.is_alive():
                code = worker.exitcode or 0
                return signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return None


class _Onwards:
    """The pools from one on, without end."""

    def __init__(self, pools: Pools, where: Where) -> None:
        self._pools, self._where = pools, where

    def __iter__(self) -> Iterator[Where]:
        where = self._where
        while True:
            yield where
            where = self._pools.after(where)


def _as_it_is(pool: Any) -> Any:
    return pool


def _begin_worker(number: int) -> None:
    """Ctrl-C, or a scheduler that ends a job, signals every process of it; it is for the main one to save and close.

    torch has set the number of threads to one by now.
    """
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Inside, processes are started that hear no signal until they have chosen to, and torch takes none over.

    torch would raise an error wherever the main process is when a worker dies; it is told by `__getitem__` instead.
    """
    resource_tracker.ensure_running()  # starting it later would unblock the signals
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
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
