"""The thread that translates: it alone uses the models, and puts parts of all waiting requests into one batch.

A request is a `Job`. Its work is a generator that yields parts (sentences, or less) and is sent their translations
(`Translator.answering`), so a long text never holds the models for longer than one batch. A batch takes one part of
each job in turn until it is full: who sends a sentence does not wait behind a book.
"""

import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
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


class Engine:
    """Translates the jobs of all clients. `start` before the first `submit`; `stop` ends it when all jobs are done."""

    def __init__(self, translators: Sequence[Translator], *, batching: Batching, queue: int) -> None:
        """Args: queue: the most jobs that are not done."""
        self.translators = list(translators)
        self.batching = batching
        self.queue = queue
        self.counts = Counts()
        self._incoming: list[Job] = []
        self._active: list[Job] = []  # of the thread; who was served last stands last
        self._changed = threading.Condition()
        self._stopping = False
        self._crowd, self._back_by = 0, 0.0  # jobs during the last batch, and when those that it ended have successors
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
                stack.enter_context(translator.prepared())
            while self._take_jobs():
                batch = self._next_batch()
                if batch:
                    self._search(batch)

    def _take_jobs(self) -> bool:
        """Wait for jobs, and shortly for more of them, and start them. Returns False at the end."""
        while True:
            with self._changed:
                while not self._incoming and not self._active and not self._stopping:
                    self._changed.wait()
                if not self._incoming and not self._active:
                    return False
                new, self._incoming = self._incoming, []
                self._active += new
            for job in new:
                if job.cancelled:
                    job.end(None, None)
                else:
                    job.go_on(None)
            self._drop_ended()
            if not self._active:
                continue
            until = min(job.arrived for job in self._active) + self.batching.wait
            if len(self._active) < self._crowd:
                until = max(until, self._back_by)
            spare = until - time.monotonic()
            if spare <= 0 or self._stopping or self._full():
                return True
            with self._changed:
                if not self._incoming:
                    self._changed.wait(spare)

    def _drop_ended(self) -> None:
        for job in self._active:
            if job.cancelled:
                job.end(None, None)
        with self._changed:
            self._active = [job for job in self._active if not job.ended]

    def _full(self) -> bool:
        tokens = sum(len(job.parts[n].source) for job in self._active for n in job.waiting)
        return tokens >= self.batching.tokens

    def _next_batch(self) -> list[tuple[Job, int]]:
        """One part of each job in turn, of the kind of the job that has waited longest."""
        kind = self._active[0].kind
        jobs = [job for job in self._active if job.kind == kind and job.waiting]
        batch: list[tuple[Job, int]] = []
        tokens, turn = 0, jobs
        while turn:
            for job in turn:
                size = len(job.parts[job.waiting[-1]].source)
                if batch and (tokens + size > self.batching.tokens or len(batch) >= MOST_PARTS):
                    break
                batch.append((job, job.waiting.pop()))
                tokens += size
            else:
                turn = [job for job in turn if job.waiting]
                continue
            break
        served = {id(job) for job, _ in batch}
        with self._changed:
            self._active.sort(key=lambda job: id(job) in served)  # stable
        return batch

    def _search(self, batch: list[tuple[Job, int]]) -> None:
        began, crowd = time.monotonic(), len(self._active)
        parts = [job.parts[number] for job, number in batch]
        first = batch[0][0]
        found, fault = list[list[Translation]](), None
        try:
            found = first.translator.find(parts, first.options)
        except Exception as error:
            fault = error
        now = time.monotonic()
        # Counted before anyone has an answer, and may ask for the counts.
        self.counts.batches += 1
        self.counts.parts += len(parts)
        self.counts.tokens += sum(len(part.source) for part in parts)
        self.counts.seconds += now - began
        if fault is not None:
            self._search_apart(batch, fault)
        else:
            for (job, number), some in zip(batch, found, strict=True):
                if not job.ended:
                    job.take(number, some)
        self._crowd = crowd + len(self._incoming)
        self._back_by = now + min(RETURN * (now - began), MOST_RETURN)
        self._drop_ended()

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
