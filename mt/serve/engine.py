"""The thread that has the models: it puts parts of all waiting requests into batches and gives back what was found.

A request is a `Job`. Its work is a generator that yields parts (sentences, or less) and is sent their translations
(`Translator.answering`), so a long text never holds the models for longer than one batch. A batch takes one part of
each job in turn until it is full: who sends a sentence does not wait behind a book. Where another engine can search in
several threads, as many batches are searched at the same time (`Translator.at_once`), so that none waits for Python's
work for the others.
"""

import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from mt.decode.request import Options
from mt.decode.translation import Translation
from mt.decode.translator import Part, Translator
from mt.errors import MtError
from mt.serve.limits import Batching
from mt.serve.refusal import RefusedError

Work = Generator[list[Part], list[list[Translation]], Any]
Done = Callable[[Any, Exception | None], None]
# Clients that got their answers send their next requests at once, and Python takes about a millisecond for each.
# Without a pause for these, two halves of the clients would take turns, in batches half as large, each of which takes
# more than half the time (docs/BENCHMARKS.md). As a share of the last batch's time, and seconds:
RETURN, MOST_RETURN = 0.4, 0.2
MOST_PARTS = 128  # of a batch: short sentences have few tokens, but each takes a beam of rows


@dataclass(eq=False)
class Job:
    """Work for one model. `done` is called once, in the engine's thread, with a result or an error."""

    translator: Translator
    options: Options
    work: Work
    done: Done
    cancelled: bool = False  # set by any thread: nobody waits for the result
    arrived: float = field(default_factory=time.monotonic)
    waiting: list[int] = field(default_factory=list)  # numbers of parts that are not searched yet, the last one first
    parts: list[Part] = field(default_factory=list)
    found: list[list[Translation] | None] = field(default_factory=list)
    ended: bool = False

    @property
    def kind(self) -> Hashable:
        """Parts of jobs of one kind may be searched together."""
        return id(self.translator), self.options.section, self.options.nbest, self.options.details

    def go_on(self, found: list[list[Translation]] | None) -> None:
        """Run the work up to its next parts, or to its end."""
        try:
            parts = next(self.work) if found is None else self.work.send(found)
            while not parts:  # nothing to search, as in an empty text
                parts = self.work.send([])
        except StopIteration as end:
            self.end(end.value, None)
        except Exception as error:
            self.end(None, error)
        else:
            self.parts, self.found = parts, [None] * len(parts)
            self.waiting = list(range(len(parts)))[::-1]

    def end(self, result: Any, error: Exception | None) -> None:
        if not self.ended:
            self.ended = True
            self.waiting = []
            self.work.close()
            self.done(result, error)

    def take(self, number: int, found: list[Translation]) -> None:
        """Store the translations of a part; after the last one the work goes on."""
        self.found[number] = found
        if not self.waiting and all(some is not None for some in self.found):
            self.go_on([some for some in self.found if some is not None])


@dataclass
class Counts:
    """What the engine has done. Read by other threads."""

    batches: int = 0
    parts: int = 0
    tokens: int = 0  # of sources
    seconds: float = 0.0  # in searches


@dataclass(frozen=True)
class Searched:
    """A batch, and its translations or the error that ended its search."""

    batch: list[tuple[Job, int]]
    found: list[list[Translation]]
    fault: Exception | None
    seconds: float
    ended: float = field(default_factory=time.monotonic)


class Engine:
    """Translates the jobs of all clients. `start` before the first `submit`; `stop` ends it when all jobs are done."""

    def __init__(self, translators: Sequence[Translator], *, batching: Batching, queue: int) -> None:
        """Args: queue: the most jobs that are not done."""
        self.translators = list(translators)
        self.batching = batching
        self.queue = queue
        self.counts = Counts()
        self.at_once = min((translator.at_once for translator in translators), default=1)
        self._incoming: list[Job] = []
        self._searched: list[Searched] = []
        self._active: list[Job] = []  # of the thread; who was served last stands last
        self._running: list[int] = []  # of the thread: parts of the batches that are searched
        self._changed = threading.Condition()
        self._stopping = False
        self._crowd, self._back_by = 0, 0.0  # jobs when a batch last ended, and when those that ended have successors
        self._thread = threading.Thread(target=self._run, name="mt-serve", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Take no more jobs, finish those that were taken, and end. Returns: whether it ended in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Jobs that are not done."""
        return len(self._incoming) + len(self._active)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, job: Job) -> None:
        """Raises: RefusedError: when the queue is full, or the engine stops."""
        with self._changed:
            if self._stopping:
                raise RefusedError(503, "The server is stopping.", retry_after=5)
            if self.waiting >= self.queue:
                wait = max(1, round(self.counts.seconds / max(1, self.counts.batches) * self.waiting / 8))
                raise RefusedError(
                    503, f"The server is busy: {self.waiting} requests are waiting already.", retry_after=min(wait, 60)
                )
            self._incoming.append(job)
            self._changed.notify()

    # ---- in the thread

    def _run(self) -> None:
        with torch.inference_mode(), ExitStack() as stack:
            for translator in self.translators:  # their weights are prepared once, not for every batch
                stack.enter_context(translator.prepared(side_by_side=self.at_once > 1))
            pool = stack.enter_context(ThreadPoolExecutor(self.at_once)) if self.at_once > 1 else None
            while self._take_jobs():
                batch = self._next_batch()
                self._running.append(len(batch))
                translator = batch[0][0].translator
                if pool is not None and translator.engine_honours([job.parts[number] for job, number in batch]):
                    pool.submit(self._search, batch)
                else:
                    self._search(batch)

    def _take_jobs(self) -> bool:
        """Wait until a batch should begin; meanwhile start jobs and give them what was found. Returns False at the
        end."""
        while True:
            with self._changed:
                new, self._incoming = self._incoming, []
                self._active += new
                searched, self._searched = self._searched, []
            for some in searched:
                self._give(some)
            for job in new:
                if not job.cancelled:
                    job.go_on(None)
            self._drop_ended()
            spare = self._spare()
            if spare is not None and spare <= 0:
                return True
            with self._changed:
                if self._stopping and not self._active and not self._incoming:
                    return False
                if not self._incoming and not self._searched:
                    self._changed.wait(spare)

    def _spare(self) -> float | None:
        """Seconds that the next batch may wait for more parts; None: nothing can be searched now."""
        ready = [job for job in self._active if job.waiting]
        if not ready or len(self._running) >= self.at_once:
            return None
        tokens = sum(len(job.parts[n].source) for job in ready for n in job.waiting)
        if self._stopping or tokens >= self.batching.tokens:
            return 0.0
        until = min(job.arrived for job in ready) + self.batching.wait
        if len(ready) < -(-self._crowd // self.at_once):
            until = max(until, self._back_by)
        return until - time.monotonic()

    def _drop_ended(self) -> None:
        for job in self._active:
            if job.cancelled:
                job.end(None, None)
        with self._changed:
            self._active = [job for job in self._active if not job.ended]

    def _next_batch(self) -> list[tuple[Job, int]]:
        """One part of each job in turn, of the kind of the job that has waited longest."""
        ready = [job for job in self._active if job.waiting]
        parts = sum(len(job.waiting) for job in ready) + sum(self._running)
        most = min(MOST_PARTS, -(-parts // self.at_once))  # searches at the same time share what there is
        turn = [job for job in ready if job.kind == ready[0].kind]
        batch: list[tuple[Job, int]] = []
        tokens = 0
        while turn:
            for job in turn:
                size = len(job.parts[job.waiting[-1]].source)
                if batch and (tokens + size > self.batching.tokens or len(batch) >= most):
                    turn = []  # the batch is full
                    break
                batch.append((job, job.waiting.pop()))
                tokens += size
            turn = [job for job in turn if job.waiting]
        served = {id(job) for job, _ in batch}
        with self._changed:
            self._active.sort(key=lambda job: id(job) in served)  # stable
        return batch

    def _search(self, batch: list[tuple[Job, int]]) -> None:
        """In this thread or, where several batches are searched at the same time, in another one."""
        began = time.monotonic()
        first = batch[0][0]
        found, fault = list[list[Translation]](), None
        try:
            found = first.translator.find([job.parts[number] for job, number in batch], first.options)
        except Exception as error:
            fault = error
        with self._changed:
            self._searched.append(Searched(batch, found, fault, time.monotonic() - began))
            self._changed.notify()

    def _give(self, searched: Searched) -> None:
        batch = searched.batch
        self._running.remove(len(batch))
        # Counted before anyone has an answer, and may ask for the counts.
        self.counts.batches += 1
        self.counts.parts += len(batch)
        self.counts.tokens += sum(len(job.parts[number].source) for job, number in batch)
        self.counts.seconds += searched.seconds
        if searched.fault is not None:
            self._search_apart(batch, searched.fault)
        else:
            for (job, number), some in zip(batch, searched.found, strict=True):
                if not job.ended:
                    job.take(number, some)
        self._crowd = len(self._active)
        self._back_by = searched.ended + min(RETURN * searched.seconds, MOST_RETURN)

    def _search_apart(self, batch: list[tuple[Job, int]], error: Exception) -> None:
        """After an error in a batch, search the parts of each job alone: others must not suffer from one."""
        jobs = list(dict.fromkeys(job for job, _ in batch))
        for job in jobs:
            numbers = [number for one, number in batch if one is job]
            try:
                if len(jobs) == 1 or job.ended:
                    raise error
                found = job.translator.find([job.parts[n] for n in numbers], job.options)
            except Exception as reason:
                job.end(None, reason)
            else:
                for number, some in zip(numbers, found, strict=True):
                    job.take(number, some)


def told(error: Exception) -> RefusedError:
    """What a client is told about an error of its job."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, MtError):
        return RefusedError(400, error.message)  # a hint is about commands
    return RefusedError(500, "Cannot translate text: the server has an internal error; its log has more.")
