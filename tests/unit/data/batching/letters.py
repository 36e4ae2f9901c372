"""A tokenizer and corpora whose pieces can be told by looking at them."""

import hashlib
import itertools
import random

import torch

from mt.config import BatchConfig
from mt.data.batching import BatchStream, TokenizedCorpus, Variation
from mt.data.corpus.pair import Origin, Pair

BOS, EOS = 1, 2
LONGEST = 12


class LetterTokenizer:
    """One piece for every two letters; sampling may split each in two."""

    bos, eos = BOS, EOS
    fingerprint = "letters"

    def encode_target(self, texts):
        return [[100 + ord(letter) for letter in text[::2]] for text in texts]

    def encode_source(self, texts):
        return [[*ids, EOS] for ids in self.encode_target(texts)]

    def sample_target(self, texts, seed):
        rng = random.Random(seed)
        return [[piece for i in ids for piece in rng.choice([[i], [i, 99]])] for ids in self.encode_target(texts)]

    def sample_source(self, texts, seed):
        return [[*ids, EOS] for ids in self.sample_target(texts, seed)]


def letter_pairs(sizes):
    """Pairs of so many pieces a side, end mark included; no two texts are alike in their letters."""
    letters = itertools.cycle("abcdefghijklmnopqrstuvwxyz")
    text = ["".join(next(letters) for _ in range(2 * size - 2)) for pair in sizes for size in pair]
    return [Pair(src, tgt, Origin("f", n)) for n, (src, tgt) in enumerate(zip(text[::2], text[1::2], strict=True), 1)]


def corpus_of(sizes, max_length=LONGEST, cache=None):
    return TokenizedCorpus(letter_pairs(sizes), LetterTokenizer(), max_length=max_length, cache=cache)


def stream_of(sizes, pool, tokens, seed, sampling, **options):
    section = BatchConfig(tokens=tokens, max_length=LONGEST, pool=pool)
    return BatchStream(corpus_of(sizes), section, seed=seed, variation=Variation(sampling=sampling), **options)


def plain(batch):
    """A batch in values that can be compared."""
    tensors = (
        batch.source.rows,
        batch.target_in,
        batch.target_out,
        batch.source.layout.lengths,
        batch.target_layout.lengths,
    )
    assert all(tensor.dtype == torch.int64 for tensor in tensors)
    for rows in (batch.source.layout, batch.target_layout):
        assert (rows.num_rows, rows.max_length) == (int(rows.lengths.sum()), int(rows.lengths.max()))
    return batch.indices, *(tensor.tolist() for tensor in tensors)


def take(stream, count):
    return [plain(next(stream)) for _ in range(count)]


def one_epoch(stream):
    epoch, batches = stream.place.epoch, []
    while stream.place.epoch == epoch:
        batches.append(next(stream))
    return batches


def digest(batches):
    return hashlib.sha256(repr([plain(batch) for batch in batches]).encode()).hexdigest()
