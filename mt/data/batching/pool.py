"""A pool: some thousands of pairs made into batches at once, a pure function of (seed, epoch, pool, corpus, settings).

It is a few flat arrays, and a batch is a slice of each. So the work is vectorised, a batch costs next to nothing, and
another process passes a pool as a few tensors in shared memory.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from mt.config import BatchConfig
from mt.data.batching.batch import Batch, Flat, cut_sorted, layout_of, shifted
from mt.data.batching.corpus import TokenizedCorpus
from mt.data.batching.input_rows import InputItems, InputRows, choose_left_out
from mt.inputs.spec_augment import draw_masks
from mt.nn.ragged import Ragged
from mt.nn.source import Source
from mt.text.augmentation import Augmentation

Where = tuple[int, int]  # epoch, pool


def mix(*numbers: int) -> int:
    """A 63-bit seed from some numbers; neighbouring numbers give unrelated seeds."""
    digest = hashlib.sha256(b"|".join(str(n).encode() for n in numbers)).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Pool:
    """The batches of one pool, end to end: `P` pairs with `T` target rows in all."""

    where: Where
    source: Source | InputItems
    target_in: Int[Tensor, " T"]
    target_out: Int[Tensor, " T"]
    target_layout: Ragged
    members: Int[Tensor, " P"]  # indices in the corpus
    ends: list[int]  # 0, and where the pairs of each batch end

    @property
    def num_batches(self) -> int:
        return len(self.ends) - 1

    def indices(self, n: int) -> tuple[int, ...]:
        """Which pairs of the corpus batch `n` holds."""
        return tuple(self.members[slice(*self.ends[n : n + 2])].tolist())

    def batch(self, n: int) -> Batch:
        first, last = self.ends[n : n + 2]
        layout, rows = self.target_layout.part(first, last)
        return Batch(
            self.source.part(first, last), self.target_in[rows], self.target_out[rows], layout, self.indices(n)
        )

    def pin_memory(self) -> "Pool":
        """The pool in pinned memory. torch's DataLoader calls this method by its name."""
        pinned = {name: part.pin_memory() for name, part in vars(self).items() if hasattr(part, "pin_memory")}
        return replace(self, **pinned)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How a pair differs from epoch to epoch.

    Args: sampling: a new segmentation each time; augmentation: another writing of some pairs of text; source_dropout:
    how probably each of several inputs is left out; spec_augment: the widest mask over a recording.
    """

    sampling: bool = False
    augmentation: Augmentation | None = None
    source_dropout: float = 0.0
    spec_augment: float = 0.0


@dataclass(kw_only=True)
class Pools:
    """Every pool of every epoch, made on access: `pools[epoch, pool]`."""

    corpus: TokenizedCorpus
    section: BatchConfig
    seed: int
    variation: Variation
    _permutation: tuple[int, NDArray[np.int64]] | None = None

    @property
    def per_epoch(self) -> int:
        return -(-len(self.corpus) // self.section.pool)

    def after(self, where: Where) -> Where:
        epoch, pool = where
        return (epoch, pool + 1) if pool + 1 < self.per_epoch else (epoch + 1, 0)

    def onwards(self, where: Where) -> Iterator[Where]:
        """The places of all pools from `where` on, without end."""
        while True:
            yield where
            where = self.after(where)

    def __getitem__(self, where: Where) -> Pool:
        epoch, pool = where
        size, corpus, variation = self.section.pool, self.corpus, self.variation
        members = self._order(epoch)[pool * size : (pool + 1) * size]
        if variation.sampling:
            source, target = self._drawn(members, where)
        else:
            source, target = corpus.source.flat(members), corpus.target.flat(members)
        if variation.augmentation is not None and isinstance(source, Flat):
            source, target = self._augmented(variation.augmentation, members, where, source, target)
        if variation.source_dropout and isinstance(source, InputItems):
            left_out = choose_left_out(source.counts, variation.source_dropout, mix(self.seed, epoch, pool, 3))
            source = replace(source, left_out=left_out)
        if variation.spec_augment and isinstance(source, InputItems):
            masks = draw_masks(len(members), variation.spec_augment, mix(self.seed, epoch, pool, 4))
            source = replace(source, masks=masks)
        src, tgt = source.lengths, target.lengths + 1
        order = np.lexsort((src, tgt))  # by target length, then by source length
        cuts = cut_sorted(src[order], tgt[order], self.section.budget)
        shuffle = torch.Generator().manual_seed(mix(self.seed, epoch, pool))
        turns = torch.randperm(len(cuts) - 1, generator=shuffle).tolist()
        batches = [order[cuts[n] : cuts[n + 1]] for n in turns]
        order = np.concatenate(batches)
        target_in, target_out = shifted(
            target.packed(order), target.lengths[order], bos=corpus.tokenizer.bos, eos=corpus.tokenizer.eos
        )
        return Pool(
            where,
            source=source.source(order) if isinstance(source, Flat) else source.ordered(order),
            target_in=torch.from_numpy(target_in),
            target_out=torch.from_numpy(target_out),
            target_layout=layout_of(tgt[order]),
            members=torch.from_numpy(members[order]),
            ends=np.cumsum([0, *map(len, batches)]).tolist(),
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The permutation of an epoch. The last one is cached, because all pools of an epoch need it."""
        if self._permutation is None or self._permutation[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            self._permutation = epoch, torch.randperm(len(self.corpus), generator=generator).numpy()
        return self._permutation[1]

    def _drawn(self, members: NDArray[np.int64], where: Where) -> tuple[Flat | InputItems, Flat]:
        """A random segmentation of every sentence; one that is too long is replaced by the best, which fits."""
        corpus, limit = self.corpus, self.section.max_length
        target = corpus.tokenizer.sample_target(corpus.table.texts("tgt", members), mix(self.seed, *where, 2))
        indices = members.tolist()
        target = [t if len(t) < limit else corpus.target[i] for t, i in zip(target, indices, strict=True)]
        if isinstance(corpus.source, InputRows):
            return corpus.source.flat(members), Flat.of(target)
        source = corpus.tokenizer.sample_source(corpus.table.texts("src", members), mix(self.seed, *where, 1))
        source = [s if len(s) <= limit else corpus.source[i] for s, i in zip(source, indices, strict=True)]
        return Flat.of(source), Flat.of(target)

    def _augmented(
        self, augmentation: Augmentation, members: NDArray[np.int64], where: Where, source: Flat, target: Flat
    ) -> tuple[Flat, Flat]:
        """Some pairs in another writing; one that becomes too long stays as it is."""
        rng = random.Random(mix(self.seed, *where, 5))
        chosen = [place for place in range(len(members)) if rng.random() < augmentation.share]
        table, tokenizer, limit = self.corpus.table, self.corpus.tokenizer, self.section.max_length
        texts = (table.texts(side, members[chosen]) for side in ("src", "tgt"))
        changed = [augmentation(src, tgt, rng) for src, tgt in zip(*texts, strict=True)]
        sources = tokenizer.sample_source([src for src, _ in changed], mix(self.seed, *where, 6))
        targets = tokenizer.sample_target([tgt for _, tgt in changed], mix(self.seed, *where, 7))
        fits = [n for n in range(len(chosen)) if len(sources[n]) <= limit and len(targets[n]) < limit]
        places = [chosen[n] for n in fits]
        return source.replaced(places, [sources[n] for n in fits]), target.replaced(places, [targets[n] for n in fits])
