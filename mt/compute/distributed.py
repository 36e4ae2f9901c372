"""A group of processes that train one model: started by torchrun, connected by torch.distributed.

All have the same model and do the same updates, each on its part of the batches. They wait for each other in two ways.
A *collective*, such as a sum over all processes, is short, and has a timeout after which another process is considered
hung. For longer work, such as reading text, validation or saving, they wait at torchrun's key-value store for as long
as the others send heartbeats. Objects are sent as JSON.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store, rendezvous  # pyright: ignore[reportPrivateImportUsage]

from mt.errors import ConfigError, MtError, StoppedError

BUCKET_BYTES = 64 << 20  # of gradients in one call: enough to use the full bandwidth, little beside a model
POLL_SECONDS = 0.1  # between two requests of a process that waits at the store
BEAT_SECONDS = 1.0  # between two heartbeats
PARTING_SECONDS = 5.0  # that a failed process waits for the others, at most
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # numbers on the host never wait for a GPU


class LostError(MtError):
    """Another process of the run failed or hung. Exit code 1."""


class Group:
    """The processes of a run. Without arguments, a single process, for which every call returns at once."""

    def __init__(self, *, rank: int = 0, world: int = 1, store: Store | None = None, patience: float = 60.0) -> None:
        """Args: patience: seconds without a heartbeat after which another process is considered hung."""
        self.rank = rank
        self.world = world
        self.patience = patience
        self._store = store
        self._num_keys = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which logs, writes and validates."""
        return self.rank == 0

    def owns(self, place: int) -> bool:
        """Whether this process computes the batch at this place of an update; batches are distributed round robin."""
        return place % self.world == self.rank

    # ---- collectives ----------------------------------------------------------------------------------------

    def all_reduce(self, *numbers: float) -> list[float]:
        """Each number summed over all processes, exact up to 2**53; does not touch an accelerator."""
        if self.world == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        with self._explained():
            dist.all_reduce(sums)
        return sums.tolist()

    @torch.no_grad()
    def all_reduce_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over all processes, in place; all of one type and device, in the same order everywhere."""
        if self.world == 1:
            return
        for bucket in buckets(tensors, BUCKET_BYTES):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with self._explained():
                dist.all_reduce(flat)
            for tensor, values in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(values.view_as(tensor))

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the values of every tensor from the main process, in place."""
        if self.world == 1:
            return
        for tensor in tensors:
            with self._explained():
                dist.broadcast(tensor, src=0)

    # ---- longer work, at the store --------------------------------------------------------------------------

    def from_main(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, which only the main process calls, as plain JSON values. The others wait."""
        if self._store is None:
            return work()
        key = self._next_key()
        if self.is_main:
            value = work()
            self._store.set(key, json.dumps(value))
            return value
        self._wait_for(key)
        return json.loads(self._store.get(key))

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """A block that the main process runs before all others. It ends for all at the same time."""
        if self._store is None:
            yield
            return
        main_done, all_done = self._next_key(), self._next_key()
        if not self.is_main:
            self._wait_for(main_done)
        yield
        if self.is_main:
            self._store.set(main_done, "")
        if self._store.add(f"{all_done} count", 1) == self.world:
            self._store.set(all_done, "")
        self._wait_for(all_done)

    def _next_key(self) -> str:
        self._num_keys += 1
        return f"turn {self._num_keys}"

    def _wait_for(self, key: str) -> None:
        """Wait until `key` is in the store. Raises: LostError: when another process failed, or sends no heartbeats."""
        assert self._store is not None
        beats: dict[str, tuple[bytes, float]] = {}  # the last heartbeat of each process, and when it was new
        with self._explained():
            while not self._store.check([key]):  # the store's own `wait` writes to stderr when it times out
                if self._store.check(["failed"]):
                    raise self._lost()
                for name in (f"pulse {rank}" for rank in range(self.world)):
                    beat = self._store.get(name)
                    if name not in beats or beats[name][0] != beat:
                        beats[name] = beat, time.monotonic()
                    elif time.monotonic() - beats[name][1] > self.patience:
                        raise self._lost()
                time.sleep(POLL_SECONDS)

    def _beat(self, store: Store, end: threading.Event) -> None:
        beats = 0
        with suppress(RuntimeError):  # the store is gone, and the run with it
            while not end.wait(min(BEAT_SECONDS, self.patience / 4)):
                beats += 1
                store.set(f"pulse {self.rank}", str(beats))

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Inside the block, this process sends heartbeats; an error that leaves the block is reported to the others.

        Without an error, all leave together: outside of torchrun, the store ends with the main process, possibly before
        the others have read their last message.
        """
        assert self._store is not None
        end = threading.Event()
        # A connection of its own: a waiting process blocks its connection.
        pulse = threading.Thread(target=self._beat, args=(self._store.clone(), end), daemon=True, name="pulse")  # pyright: ignore
        self._store.set(f"pulse {self.rank}", "0")
        self.all_reduce(0)  # now each has sent its first heartbeat
        pulse.start()
        try:
            yield
            self.all_reduce(0)
        except StoppedError:  # in all processes, since they agree to stop
            self.all_reduce(0)
            raise
        except LostError:
            raise
        except Exception as error:
            self._report(error)
            if isinstance(error, RuntimeError) and (lost := self._lost(or_else=None)) is not None:
                raise lost from error  # a collective inside torch
            raise
        finally:
            end.set()
            pulse.join()

    def _report(self, error: Exception) -> None:
        text = str(error) if isinstance(error, MtError) else f"{type(error).__name__}: {error}"
        with suppress(RuntimeError):
            assert self._store is not None
            self._store.compare_set("failed", "", json.dumps([self.rank, text]))  # the first failure is the cause

    def part(self) -> None:
        """After an error: the process that failed ends last, as torchrun stops all processes when the first one ends.

        The others have read by then why the run ends. Those that hang, or were killed, are waited for briefly.
        """
        with suppress(RuntimeError):  # the store is gone, and with it whoever could read
            assert self._store is not None
            gone, end = self._store.add("gone", 1), time.monotonic() + PARTING_SECONDS
            if not self._store.check(["failed"]) or json.loads(self._store.get("failed"))[0] != self.rank:
                return
            while gone < self.world and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
                gone = self._store.add("gone", 0)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of torch.distributed and its backends, which are all `RuntimeError`, into `LostError`."""
        try:
            yield
        except RuntimeError as error:
            raise self._lost() from error

    def _lost(self, or_else: str | None = "another process of the run failed or hung; see its messages.") -> Any:
        """The error to raise, with the message of the process that failed; without one, with `or_else`."""
        with suppress(RuntimeError):
            assert self._store is not None
            if self._store.check(["failed"]):
                rank, text = json.loads(self._store.get("failed"))
                or_else = or_else if rank == self.rank else f"process {rank} of the run failed: {text}"
        return LostError(or_else) if or_else else None


def buckets(tensors: Sequence[Tensor], most: int) -> Iterator[list[Tensor]]:
    """The tensors in order, in lists of at most `most` bytes; a larger tensor is alone in its list."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.nbytes > most:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


class Place(NamedTuple):
    """Of a process among all of the run, and among those on its machine, which share its processor."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


def place_in_group() -> Place:
    """The place of this process, from the environment that torchrun sets.

    Raises: ConfigError: for values that torchrun would not set.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    found = [os.environ.get(name, "") for name in names]
    if not found[0] or not found[1]:
        return Place()
    found[2:] = found[2] or found[0], found[3] or found[1]
    wrong = [f"{name}={value}" for name, value in zip(names, found, strict=True) if not value.isdecimal()]
    if wrong or int(found[0]) >= int(found[1]):
        value = wrong[0] if wrong else f"RANK={found[0]} with WORLD_SIZE={found[1]}"
        raise ConfigError(
            f"the environment has {value}, which no launcher sets.", hint="use torchrun, or unset both variables."
        )
    return Place(*map(int, found))


@contextmanager
def joined(name: str, *, device: torch.device, minutes: float) -> Iterator[Group]:
    """The group of all processes that torchrun started; a single process without torchrun.

    Args: name: of the run; a sweep joins once for each of its jobs. minutes: how long to wait for a collective, or for
    a process without heartbeats.
    Raises: ConfigError: for a device that groups cannot use; LostError: when other processes are missing, fail or hang.
    """
    rank, world, *_ = place_in_group()
    if world == 1:
        yield Group()
        return
    if device.type not in BACKENDS:
        raise ConfigError(f"several processes can train on cpu or cuda, but the device is {device.type}.")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    timeout = timedelta(minutes=minutes)
    try:
        store, _, _ = next(rendezvous("env://", timeout=timeout))
        store.set_timeout(timeout)
        # The store outlives a restart of the processes, and must not mix messages of different attempts.
        store = PrefixStore(f"{name} {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)} {world}", store)
        backend, inner = BACKENDS[device.type], PrefixStore("torch", store)
        dist.init_process_group(backend, store=inner, rank=rank, world_size=world, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise LostError(f"the {world} processes of the run did not find each other: {reason}") from error
    group = Group(rank=rank, world=world, store=PrefixStore("mt", store), patience=60 * minutes)
    try:
        with group.alive():
            yield group
    except Exception:
        if device.type == "cpu":  # on a GPU, this would wait for running kernels; they end with the process
            dist.destroy_process_group()
        group.part()
        raise
    dist.destroy_process_group()
