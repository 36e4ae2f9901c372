"""Training batches without end."""

from dataclasses import asdict, dataclass
from typing import Any

from mt.config import BatchConfig
from mt.data.batching.batch import Batch
from mt.data.batching.corpus import TokenizedCorpus
from mt.data.batching.pool import Pool, Pools, Variation
from mt.data.batching.workers import Ahead

SAME = Variation()  # every epoch reads the pairs alike


@dataclass
class Place:
    """The place of the next batch in the data: the whole state of a stream."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


class BatchStream:
    """Training batches without end. `place` is the next one; set it to move.

    With sampling and without workers, the first batch of a pool takes as long as sampling the whole pool.
    """

    def __init__(
        self,
        corpus: TokenizedCorpus,
        section: BatchConfig,
        *,
        seed: int,
        variation: Variation = SAME,
        workers: int = 0,
        pin: bool = False,
    ) -> None:
        """Args: workers: processes that make pools ahead, 0: this process makes them; pin: use pinned memory. Neither
        changes the batches."""
        self.corpus = corpus
        self.section = section
        self.place = Place()
        self._pools = Pools(corpus=corpus, section=section, seed=seed, variation=variation)
        self._ahead = Ahead(self._pools, workers=workers, pin=pin) if workers else None
        self._pin = pin
        self._pool: Pool | None = None

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.place)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place = Place(**state)

    @property
    def epoch(self) -> float:
        """Epochs done, with the fraction of the current one."""
        size, here = self.section.pool, self.place
        pairs = float(here.pool * size)
        if here.batch:
            in_pool = min(size, len(self.corpus) - here.pool * size)  # the last pool of an epoch may be small
            pairs += in_pool * here.batch / self._pool_here().num_batches
        return here.epoch + pairs / len(self.corpus)

    def indices(self) -> tuple[int, ...]:
        """The pairs of the next batch, by their indices in the corpus; does not make the batch."""
        return self._pool_here().indices(self.place.batch)

    def __next__(self) -> Batch:
        """Raises: MtError: when a worker died."""
        batch = self._pool_here().batch(self.place.batch)
        self.skip(1)
        return batch

    def __iter__(self) -> "BatchStream":
        return self

    def skip(self, n: int) -> None:
        """Skip `n` batches without making them, for processes that share the batches of one stream."""
        while n:
            here, pool = self.place, self._pool_here()
            step = min(n, pool.num_batches - here.batch)
            n -= step
            if here.batch + step < pool.num_batches:
                self.place = Place(here.epoch, here.pool, here.batch + step)
            else:
                self.place = Place(*self._pools.after(pool.where))

    def close(self) -> None:
        """End the workers, if there are any. The next batch starts new ones."""
        if self._ahead is not None:
            self._ahead.close()

    def _pool_here(self) -> Pool:
        """The pool of `place`, made on first use."""
        where = (self.place.epoch, self.place.pool)
        if self._pool is None or self._pool.where != where:
            if self._ahead is not None:
                self._pool = self._ahead[where]
            else:
                pool = self._pools[where]
                self._pool = pool.pin_memory() if self._pin else pool
        return self._pool
