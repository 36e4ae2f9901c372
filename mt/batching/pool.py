"""A pool: some thousands of pairs made into batches at once, a pure function of (seed, epoch, pool, corpus, settings).

It is a few flat arrays, and a batch is a slice of each. So the work is vectorised, batches cost next to nothing, and a
pool that another process made travels as a handful of tensors in shared memory.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from mt.batching.batch import Batch, Flat, cut_sorted, shifted
from mt.batching.corpus import TokenizedCorpus
from mt.config import BatchConfig
from mt.nn.ragged import Ragged

Where = tuple[int, int]  # epoch, pool


def mix(*numbers: int) -> int:
    """A 63-bit seed from some numbers: neighbours give unrelated streams."""
    digest = hashlib.sha256(b"|".join(str(n).encode() for n in numbers)).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Pool:
    """The batches of one pool, end to end: `P` sentences of `S` source and `T` target rows in all."""

    where: Where
    source: Int[Tensor, " S"]
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    source_lengths: Int[Tensor, " P"]
    target_lengths: Int[Tensor, " P"]
    members: Int[Tensor, " P"]  # indices in the corpus
    # For each batch: where its sentences and its rows end, after a 0; its longest sentence on either side.
    sentences: list[int]
    source_rows: list[int]
    target_rows: list[int]
    source_longest: list[int]
    target_longest: list[int]

    @property
    def num_batches(self) -> int:
        return len(self.source_longest)

    def indices(self, n: int) -> tuple[int, ...]:
        """Which pairs of the corpus batch `n` holds."""
        return tuple(self.members[slice(*self.sentences[n : n + 2])].tolist())

    def batch(self, n: int) -> Batch:
        whose = slice(*self.sentences[n : n + 2])
        (s0, s1), (t0, t1) = self.source_rows[n : n + 2], self.target_rows[n : n + 2]
        return Batch(
            self.source[s0:s1],
            Ragged(self.source_lengths[whose], num_rows=s1 - s0, max_length=self.source_longest[n]),
            self.target_in[t0:t1],
            self.target_out[t0:t1],
            Ragged(self.target_lengths[whose], num_rows=t1 - t0, max_length=self.target_longest[n]),
            self.indices(n),
        )

    def pin_memory(self) -> "Pool":
        """The same in memory from which a GPU copies by itself; torch's DataLoader knows this method by its name."""
        pinned = {name: value.pin_memory() for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Pool(**{**vars(self), **pinned})


class Pools:
    """Every pool of every epoch, made when it is asked for: `pools[epoch, pool]`."""

    def __init__(self, corpus: TokenizedCorpus, section: BatchConfig, *, seed: int, sampling: bool) -> None:
        self.corpus = corpus
        self.section = section
        self.seed = seed
        self.sampling = sampling
        self.per_epoch = -(-len(corpus) // section.pool)
        self._permutation: tuple[int, NDArray[np.int64]] | None = None

    def after(self, where: Where) -> Where:
        epoch, pool = where
        return (epoch, pool + 1) if pool + 1 < self.per_epoch else (epoch + 1, 0)

    def __getitem__(self, where: Where) -> Pool:
        epoch, pool = where
        size, tokenizer = self.section.pool, self.corpus.tokenizer
        members = self._order(epoch)[pool * size : (pool + 1) * size]
        source, target = self._drawn(members, where) if self.sampling else self._best(members)
        src, tgt = source.lengths, target.lengths + 1
        order = np.lexsort((src, tgt))  # by target, and source where targets are alike
        cuts = cut_sorted(src[order], tgt[order], self.section.budget)
        shuffle = torch.Generator().manual_seed(mix(self.seed, epoch, pool))
        turns = torch.randperm(len(cuts) - 1, generator=shuffle).tolist()
        batches = [order[cuts[n] : cuts[n + 1]] for n in turns]
        order = np.concatenate(batches)
        src, tgt = src[order], tgt[order]
        sentences = np.cumsum([0, *map(len, batches)])
        target_in, target_out = shifted(target.packed(order), tgt - 1, bos=tokenizer.bos, eos=tokenizer.eos)
        return Pool(
            where,
            source=torch.from_numpy(source.packed(order)),
            target_in=torch.from_numpy(target_in),
            target_out=torch.from_numpy(target_out),
            source_lengths=torch.from_numpy(src),
            target_lengths=torch.from_numpy(tgt),
            members=torch.from_numpy(members[order]),
            sentences=sentences.tolist(),
            source_rows=np.append(0, src.cumsum())[sentences].tolist(),
            target_rows=np.append(0, tgt.cumsum())[sentences].tolist(),
            source_longest=np.maximum.reduceat(src, sentences[:-1]).tolist(),
            target_longest=np.maximum.reduceat(tgt, sentences[:-1]).tolist(),
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The permutation of an epoch; the last one asked for is kept, for every pool of the epoch asks."""
        if self._permutation is None or self._permutation[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            self._permutation = epoch, torch.randperm(len(self.corpus), generator=generator).numpy()
        return self._permutation[1]

    def _best(self, members: NDArray[np.int64]) -> tuple[Flat, Flat]:
        return self.corpus.source.flat(members), self.corpus.target.flat(members)

    def _drawn(self, members: NDArray[np.int64], where: Where) -> tuple[Flat, Flat]:
        """A segmentation drawn for every sentence; one over the budget gives way to the best, which fits."""
        corpus, limit = self.corpus, self.section.max_length
        source = corpus.tokenizer.sample_source(corpus.table.texts("src", members), mix(self.seed, *where, 1))
        target = corpus.tokenizer.sample_target(corpus.table.texts("tgt", members), mix(self.seed, *where, 2))
        indices = members.tolist()
        source = [s if len(s) <= limit else corpus.source[i] for s, i in zip(source, indices, strict=True)]
        target = [t if len(t) < limit else corpus.target[i] for t, i in zip(target, indices, strict=True)]
        return Flat.of(source), Flat.of(target)
