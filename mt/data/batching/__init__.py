"""Strings become tensors here: token budgets, order, batches.

The order of training data is a pure function of (seed, epoch, corpus, settings). An epoch is a permutation of the
corpus, taken a *pool* at a time. The pairs of a pool are sorted by length and cut into batches of at most
`batch.tokens` rows a side, and the batches are shuffled. So a place in the data is three numbers, and training resumes
from it without replaying what came before.

`store.py` keeps tokenised pairs in one memory-mapped file; `corpus.py` is the text of a run; `pool.py` makes pools;
`workers.py` makes pools ahead in other processes; `stream.py` iterates over their batches; `blocks.py` pads batches to
shapes that recur, where that pays.
"""

from mt.data.batching.batch import Batch, make_batch
from mt.data.batching.blocks import Shape, common_shape, fill_to, fill_up
from mt.data.batching.corpus import TokenizedCorpus, in_budget
from mt.data.batching.pool import Variation, mix
from mt.data.batching.stream import BatchStream, Place
from mt.data.batching.workers import choose_workers

__all__ = [
    "Batch", "BatchStream", "Place", "Shape", "TokenizedCorpus", "Variation", "choose_workers", "common_shape",
    "fill_to", "fill_up", "in_budget", "make_batch", "mix",
]  # fmt: skip
