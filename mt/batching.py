"""The one place where strings become tensors: token budgets, order, batches.

The order of training data is a pure function of (seed, epoch, corpus, settings). An epoch is a permutation of the
corpus, taken a *pool* at a time; the pairs of a pool are sorted by length, cut into batches of at most
`batch.tokens` rows a side, and the batches shuffled. So a place in the data is three numbers, and going on from it
needs no memory of how one got there.
"""

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from mt.config import BatchConfig
from mt.corpus.pair import Pair
from mt.errors import DataError
from mt.nn.ragged import Ragged, cut, pack
from mt.tokenizer import Tokenizer

Ids = Sequence[Sequence[int]]  # pieces of some sentences


@dataclass(frozen=True)
class Batch:
    """Packed rows of some sentence pairs. The target goes in shifted right by one and comes out ended by `eos`."""

    source: Int[Tensor, " S"]
    source_rows: Ragged
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    target_rows: Ragged
    indices: tuple[int, ...]  # of the pairs in their corpus

    def to(self, device: torch.device) -> "Batch":
        if self.source.device == device:
            return self
        return replace(
            self,
            source=self.source.to(device),
            source_rows=self.source_rows.to(device),
            target_in=self.target_in.to(device),
            target_out=self.target_out.to(device),
            target_rows=self.target_rows.to(device),
        )


def make_batch(source: Ids, target: Ids, indices: Sequence[int], *, bos: int, eos: int) -> Batch:
    """Args: source: pieces ended by `eos`; target: bare pieces."""
    packed, source_rows = pack(source)
    target_in, target_rows = pack([[bos, *sentence] for sentence in target])
    target_out, _ = pack([[*sentence, eos] for sentence in target])
    return Batch(packed, source_rows, target_in, target_out, target_rows, tuple(indices))


class TokenizedCorpus:
    """Pairs as pieces. Pairs with more than `max_length` rows on a side are left out and counted in `num_too_long`."""

    def __init__(self, pairs: Sequence[Pair], tokenizer: Tokenizer, *, max_length: int | None = None) -> None:
        """Raises: DataError: when no pair is left."""
        source = tokenizer.encode_source([pair.src for pair in pairs])
        target = tokenizer.encode_target([pair.tgt for pair in pairs])
        fits = [
            max_length is None or (len(s) <= max_length and len(t) + 1 <= max_length)
            for s, t in zip(source, target, strict=True)
        ]
        self.tokenizer = tokenizer
        self.pairs = [pair for pair, ok in zip(pairs, fits, strict=True) if ok]
        # Arrays, for a list of Python integers takes eight times the room.
        self.source = [array("i", s) for s, ok in zip(source, fits, strict=True) if ok]
        self.target = [array("i", t) for t, ok in zip(target, fits, strict=True) if ok]
        self.num_too_long = len(fits) - len(self.pairs)
        if not self.pairs:
            raise DataError(
                f"none of the {len(fits):,} training pairs has at most `batch.max_length` ({max_length}) pieces a "
                "side; raise that setting, or split the text into sentences."
            )

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def num_source_rows(self) -> int:
        return sum(map(len, self.source))

    @property
    def num_target_rows(self) -> int:
        return sum(map(len, self.target)) + len(self)

    def fingerprint(self) -> str:
        """sha256 over all text, in order."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            digest.update(f"{pair.src}\0{pair.tgt}\n".encode())
        return digest.hexdigest()

    def batch(self, indices: Sequence[int]) -> Batch:
        source, target = [self.source[i] for i in indices], [self.target[i] for i in indices]
        return make_batch(source, target, indices, bos=self.tokenizer.bos, eos=self.tokenizer.eos)


def in_budget(corpus: TokenizedCorpus, budget: int) -> Iterator[Batch]:
    """The whole corpus once, sorted by length: for validation."""
    target = [len(t) + 1 for t in corpus.target]
    source = [len(s) for s in corpus.source]
    order = sorted(range(len(corpus)), key=lambda i: (target[i], source[i]))
    largest = max(budget, *source, *target)
    for indices in cut(order, largest, source, target):
        yield corpus.batch(indices)


def mix(*numbers: int) -> int:
    """A 63-bit seed from some numbers: neighbours give unrelated streams."""
    digest = hashlib.sha256(b"|".join(str(n).encode() for n in numbers)).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass
class Place:
    """Where the next batch comes from: all the state that a data stream has."""

    epoch: int = 0
    pool: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Plan:
    """The batches of one pool, in order: places in the pool's own lists."""

    pool: tuple[int, int]  # epoch, pool
    batches: list[list[int]]
    source: Ids
    target: Ids
    members: list[int]  # indices in the corpus


class BatchStream:
    """Training batches without end. `place` says which comes next; setting it goes there."""

    def __init__(self, corpus: TokenizedCorpus, section: BatchConfig, *, seed: int, sampling: bool = False) -> None:
        """Args: sampling: draw a new segmentation of every sentence in every epoch."""
        self.corpus = corpus
        self.section = section
        self.seed = seed
        self.sampling = sampling
        self.place = Place()
        self.num_pools = -(-len(corpus) // section.pool)
        self._plan: Plan | None = None
        self._permutation: tuple[int, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.place)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place = Place(**state)

    @property
    def epoch(self) -> float:
        """Epochs done, with the fraction of the one under way."""
        size, here = self.section.pool, self.place
        pairs = float(here.pool * size)
        if here.batch:
            in_pool = min(size, len(self.corpus) - here.pool * size)  # the last pool of an epoch may be small
            pairs += in_pool * here.batch / len(self._plan_here().batches)
        return here.epoch + pairs / len(self.corpus)

    def _pool_pieces(self, members: list[int], epoch: int, pool: int) -> tuple[Ids, Ids]:
        if not self.sampling:
            return [self.corpus.source[i] for i in members], [self.corpus.target[i] for i in members]
        tokenizer, limit = self.corpus.tokenizer, self.section.max_length
        source = tokenizer.sample_source([self.corpus.pairs[i].src for i in members], mix(self.seed, epoch, pool, 1))
        target = tokenizer.sample_target([self.corpus.pairs[i].tgt for i in members], mix(self.seed, epoch, pool, 2))
        # A drawn segmentation may be longer than the budget; the best one, which fits, then stands in.
        source = [s if len(s) <= limit else self.corpus.source[i] for s, i in zip(source, members, strict=True)]
        target = [t if len(t) < limit else self.corpus.target[i] for t, i in zip(target, members, strict=True)]
        return source, target

    def _order(self, epoch: int) -> Tensor:
        """The permutation of an epoch; the last one asked for is kept, for every pool of the epoch asks."""
        if self._permutation is None or self._permutation[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            self._permutation = epoch, torch.randperm(len(self.corpus), generator=generator)
        return self._permutation[1]

    def _make_plan(self, epoch: int, pool: int) -> Plan:
        size = self.section.pool
        members = self._order(epoch)[pool * size : (pool + 1) * size].tolist()
        source, target = self._pool_pieces(members, epoch, pool)
        src, tgt = [len(s) for s in source], [len(t) + 1 for t in target]
        order = sorted(range(len(members)), key=lambda i: (tgt[i], src[i]))
        batches = cut(order, self.section.tokens, src, tgt)
        shuffle = torch.Generator().manual_seed(mix(self.seed, epoch, pool))
        batches = [batches[i] for i in torch.randperm(len(batches), generator=shuffle).tolist()]
        return Plan((epoch, pool), batches, source, target, members)

    def _plan_here(self) -> Plan:
        """The plan of the pool that `place` is in, made when it is first asked for."""
        where = (self.place.epoch, self.place.pool)
        if self._plan is None or self._plan.pool != where:
            self._plan = self._make_plan(*where)
        return self._plan

    def __next__(self) -> Batch:
        plan, tokenizer = self._plan_here(), self.corpus.tokenizer
        chosen = plan.batches[self.place.batch]
        batch = make_batch(
            [plan.source[i] for i in chosen],
            [plan.target[i] for i in chosen],
            [plan.members[i] for i in chosen],
            bos=tokenizer.bos,
            eos=tokenizer.eos,
        )
        self.place = self._after(self.place, len(plan.batches))
        return batch

    def _after(self, here: Place, batches_in_pool: int) -> Place:
        if here.batch + 1 < batches_in_pool:
            return replace(here, batch=here.batch + 1)
        if here.pool + 1 < self.num_pools:
            return Place(here.epoch, here.pool + 1)
        return Place(here.epoch + 1)

    def __iter__(self) -> "BatchStream":
        return self
