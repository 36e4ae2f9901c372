"""The one place where strings become tensors: token budgets, order, batches.

The order of training data is a pure function of (seed, epoch, corpus, settings). An epoch is a permutation of the
corpus, taken a *pool* at a time; the pairs of a pool are sorted by length, cut into batches of at most
`batch.tokens` rows a side, and the batches shuffled. So a place in the data is three numbers, and going on from it
needs no memory of how one got there.

`store.py` keeps tokenised pairs in one file that is mapped, not read; `corpus.py` is the text of a run; `pool.py` says
what a pool is and makes it; `workers.py` has pools made ahead in other processes; `stream.py` walks through them.
`blocks.py` gives batches shapes that come again, where that pays.
"""

from mt.data.batching.batch import Batch, make_batch
from mt.data.batching.blocks import Shape, common_shape, fill_to, fill_up
from mt.data.batching.corpus import TokenizedCorpus, in_budget
from mt.data.batching.pool import mix
from mt.data.batching.stream import BatchStream, Place
from mt.data.batching.workers import choose_workers

__all__ = [
    "Batch",
    "BatchStream",
    "Place",
    "Shape",
    "TokenizedCorpus",
    "choose_workers",
    "common_shape",
    "fill_to",
    "fill_up",
    "in_budget",
    "make_batch",
    "mix",
]
