"""Sources that are read when a batch needs them: in the order and the batches that text would have."""

import numpy as np
import pytest
import torch
from toy import number_tokenizer

from mt.config import BatchConfig, Input, InputKind
from mt.data.batching import BatchStream, TokenizedCorpus, in_budget
from mt.data.corpus.pair import Origin, Pair
from mt.errors import DataError
from mt.inputs.reader import InputReader
from mt.nn.source import FrameSource


@pytest.fixture
def corpus(tmp_path) -> TokenizedCorpus:
    """Ten pairs; pair `i` has `i + 1` rows, all of the number `i`."""
    rows = np.repeat(np.arange(10.0), np.arange(1, 11))[:, None]
    np.save(tmp_path / "rows.npy", rows)
    ends = np.arange(1, 11).cumsum()
    pairs = [
        Pair(f"{tmp_path}/rows.npy:{end - size}:{end}", "eins zwei", Origin("t.tsv", int(size)))
        for size, end in zip(range(1, 11), ends.tolist(), strict=True)
    ]
    tokenizer = number_tokenizer()
    one = Input(column="rows", kind=InputKind.features, size=1, scale=2.0)
    return TokenizedCorpus(pairs, tokenizer, max_length=9, reader=InputReader([one], tokenizer.encode_source))


def test_rows_are_counted_and_long_pairs_left_out(corpus):
    assert corpus.source.lengths().tolist() == list(range(1, 10))
    assert (len(corpus), corpus.num_too_long, corpus.num_source_rows) == (9, 1, 45)


def test_every_batch_of_an_epoch_has_the_rows_of_its_pairs(corpus):
    seen = []
    stream = BatchStream(corpus, BatchConfig(tokens=12, max_length=9, pool=4), seed=3)
    while stream.place.epoch == 0:
        batch = next(stream)
        assert isinstance(batch.source, FrameSource) and batch.source.layout.num_rows <= 12
        assert batch.source.layout.lengths.tolist() == [index + 1 for index in batch.indices]
        expected = [index / 2 for index in batch.indices for _ in range(index + 1)]
        assert batch.source.rows.flatten().tolist() == expected
        seen += batch.indices
    assert sorted(seen) == list(range(9))


def test_validation_sees_every_pair_once(corpus):
    batches = list(in_budget(corpus, 12))
    assert sorted(index for batch in batches for index in batch.indices) == list(range(9))
    assert torch.equal(corpus.batch([2, 0]).source.rows.flatten(), torch.tensor([1.0, 1, 1, 0]))


def test_the_fingerprint_follows_sizes_and_scale(corpus, tmp_path):
    def again(scale: float) -> str:
        one = Input(column="rows", kind=InputKind.features, size=1, scale=scale)
        reader = InputReader([one], corpus.tokenizer.encode_source)
        return TokenizedCorpus(list(corpus.pairs), corpus.tokenizer, max_length=9, reader=reader).fingerprint()

    assert again(2.0) == again(2.0) != again(1.0)


def test_only_pairs_that_are_too_long_are_an_error(corpus):
    with pytest.raises(DataError, match=r"^none of the 1 training pairs has at most 2 rows \(`batch\."):
        TokenizedCorpus([corpus.pairs[8]], corpus.tokenizer, max_length=2, reader=corpus.reader)
