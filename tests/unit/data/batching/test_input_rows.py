"""Sources that are read when a batch needs them: in the order and the batches that text would have."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import number_tokenizer, tiny_config

from mt.config import BatchConfig, Input, InputKind
from mt.data.batching import BatchStream, TokenizedCorpus, Variation, fill_up, in_budget
from mt.data.batching.input_rows import check_rows, choose_left_out
from mt.data.batching.pool import Pools
from mt.data.corpus.pair import Origin, Pair
from mt.errors import ConfigError, DataError
from mt.inputs.reader import InputReader
from mt.nn.encoders import input_model
from mt.nn.losses import cross_entropy
from mt.nn.source import FrameSource, SeveralSources


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


def test_what_is_written_in_a_table_is_the_same_wherever_its_folder_is(tmp_path):
    made = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        np.save(tmp_path / place / "rows.npy", np.ones((2, 1)))
        pairs = [Pair(f"{tmp_path}/{place}/rows.npy", "eins", Origin(f"{tmp_path}/{place}/t.tsv", 2))]
        tokenizer = number_tokenizer()
        one = Input(column="rows", kind=InputKind.features, size=1, scale=2.0)
        made.append(TokenizedCorpus(pairs, tokenizer, reader=InputReader([one], tokenizer.encode_source)))
    assert made[0].written() == made[1].written() != "" and made[0].fingerprint() != made[1].fingerprint()
    assert TokenizedCorpus(pairs, tokenizer).written() == ""


def test_rows_are_counted_and_long_pairs_left_out(corpus):
    assert corpus.source.lengths().tolist() == list(range(1, 10))
    assert (len(corpus), corpus.num_too_long, corpus.num_source_rows) == (9, 1, 45)


def test_a_cell_of_several_pairs_is_read_once_before_training(corpus, monkeypatch):
    kind, cells = type(corpus.reader.kinds[0]), []
    read = kind.read
    monkeypatch.setattr(kind, "read", lambda self, cell: cells.append(cell) or read(self, cell))
    pairs = [replace(pair, tgt=words) for words in ("eins", "zwei") for pair in corpus.pairs]
    twice = TokenizedCorpus(pairs, corpus.tokenizer, reader=corpus.reader)
    assert twice.source.lengths().tolist() == 2 * corpus.source.lengths().tolist()
    assert sorted(cells) == sorted(pair.src for pair in corpus.pairs)


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


# ---------------------------------------------------------------- several inputs

EN, DE = (Input(column=name, kind=InputKind.text) for name in ("en", "de"))


def two_texts(count: int = 40, **options) -> TokenizedCorpus:
    """Pairs whose source is two texts; every fifth lacks the first, every seventh the second."""
    pairs = [
        Pair(
            f"{'one ' * (1 + i % 4) if i % 5 else ''}\t{'zwei ' * (1 + i % 3) if i % 7 or not i % 5 else ''}",
            "eins zwei",
            Origin("t.tsv", i),
        )
        for i in range(1, count + 1)
    ]
    encode = number_tokenizer().encode_source
    return TokenizedCorpus(pairs, number_tokenizer(), reader=InputReader([EN, DE], encode), **options)


def expected_rows(corpus, index):
    return sum(max(1, rows) for rows in corpus.reader.counts(corpus.pairs[index].src))


def image(side: int, patch: int, column: str = "photo") -> Input:
    return Input(column=column, kind=InputKind.image, side=side, patch=patch)


TEXT = Input(column="en", kind=InputKind.text)
PATCHES = {
    "one": (
        [image(96, 8)],
        "cuts photo:image:96:8 into 144 patches, a row each, but `batch.max_length` leaves out so",
        144,
    ),
    "beside text": ([TEXT, image(64, 8)], "cuts photo:image:64:8 into 64 patches, a row each", 65),
    "two": (
        [image(64, 16), image(56, 8, "other")],
        "cuts photo:image:64:16, other:image:56:8 into 65 patches, a row",
        65,
    ),
}


@pytest.mark.parametrize("case", PATCHES)
def test_more_patches_than_a_source_may_have_are_refused_before_any_is_read(case):
    inputs, message, least = PATCHES[case]
    check_rows(inputs, BatchConfig(max_length=least), least)
    small = BatchConfig(max_length=64, tokens=64)
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        check_rows(inputs, small, longest=64)
    three = f"set `batch.max_length={least}` and `model.max_length={least}` and `batch.tokens={least}` or more, or make"
    assert refused.value.hint.startswith(three)
    with pytest.raises(ConfigError) as refused:
        check_rows(inputs, BatchConfig(max_length=64, tokens="auto"), longest=None)
    assert refused.value.hint.startswith(f"set `batch.max_length={least}` or more, or make patches larger")


def test_the_rows_of_all_inputs_count():
    corpus = two_texts()
    lengths = [expected_rows(corpus, i) for i in range(40)]
    assert corpus.source.lengths().tolist() == lengths and corpus.num_source_rows == sum(lengths)
    few = two_texts(max_length=5)
    assert few.num_too_long == sum(length > 5 for length in lengths) > 0
    for batch in in_budget(corpus, 24):
        assert isinstance(batch.source, SeveralSources) and batch.source.layout.num_rows <= 24
        assert batch.source.layout.lengths.tolist() == [lengths[i] for i in batch.indices]
        for first, last in ((0, 1), (0, len(batch.indices))):
            part = batch.part(first, last)
            assert part.source.layout.lengths.tolist() == [lengths[i] for i in part.indices]


def epoch_of(corpus, probability, seed=3):
    stream = BatchStream(
        corpus,
        BatchConfig(tokens=24, max_length=20, pool=16),
        seed=seed,
        variation=Variation(source_dropout=probability),
    )
    batches = []
    while stream.place.epoch == 0:
        batches.append(next(stream))
    return batches


def test_source_dropout_leaves_out_inputs_but_never_all():
    corpus = two_texts(400)
    there = np.array([corpus.reader.counts(pair.src) for pair in corpus.pairs]) > 0
    left_out = np.zeros_like(there)
    for batch in epoch_of(corpus, 0.5):
        present = batch.source.present.numpy()
        indices = list(batch.indices)
        assert (present <= there[indices]).all() and present.any(1).all()
        assert batch.source.layout.num_rows <= 24  # the budget counts what is left
        left_out[indices] = there[indices] & ~present
        lengths = [part.layout.lengths.numpy() for part in batch.source.parts]
        assert (np.stack(lengths, 1)[~present] == 1).all()
    both = there.all(1)
    # Of two inputs each is left out with 0.5, but for the quarter of cases with both, in which one of them returns.
    assert left_out[both].mean(0) == pytest.approx([0.375, 0.375], abs=0.1)
    assert not left_out[~both].any()


def test_source_dropout_is_a_pure_function_of_seed_and_place():
    corpus = two_texts()

    def draws(probability, seed=3):
        return [(batch.indices, batch.source.present.tolist()) for batch in epoch_of(corpus, probability, seed)]

    assert draws(0.5) == draws(0.5) != draws(0.5, seed=4)
    stream = BatchStream(
        corpus, BatchConfig(tokens=24, max_length=20, pool=16), seed=3, variation=Variation(source_dropout=0.5)
    )
    stream.skip(4)
    batch = next(stream)
    assert (batch.indices, batch.source.present.tolist()) == draws(0.5)[4]
    kept = [present for _, rows in draws(0.0) for present in rows]
    assert sum(map(sum, kept)) == 2 * 40 - 8 - 4  # only what the table lacks is missing


def test_left_out_inputs_by_hand():
    counts = np.array([[3, 4], [3, 0], [0, 2]])
    assert choose_left_out(counts, 0.0, 1).sum() == 0
    always = choose_left_out(counts, 1.0, 1)
    assert always.sum(1).tolist() == [1, 0, 0]  # of two inputs one stays, and one alone always
    three = choose_left_out(np.ones((900, 3), np.int64), 0.2, 5)
    assert three.mean(0) == pytest.approx([0.2, 0.2, 0.2], abs=0.05) and not three.all(1).any()


def test_filled_up_batches_of_several_inputs_have_whole_blocks_in_every_part():
    corpus = two_texts(400)
    batch = corpus.batch(range(400))
    filled = fill_up(batch)
    assert filled is not batch
    for layout in (*filled.source.layouts, filled.target_layout):
        assert (layout.num_rows % 128, layout.num_sentences % 32) == (0, 0)
    size = number_tokenizer().tgt_size
    torch.manual_seed(0)
    model = input_model(tiny_config(), [EN, DE], src_size=size, tgt_size=size)
    losses = [
        cross_entropy(model(one.source, one.target_in, one.target_layout), model.out_weight, one.target_out, 0.1)[0]
        for one in (batch, filled)
    ]
    assert torch.allclose(*losses, rtol=1e-5)


def test_another_process_leaves_out_the_same_inputs():
    section = BatchConfig(tokens=24, max_length=20, pool=16)
    variation = Variation(sampling=True, source_dropout=0.5, spec_augment=0.2)
    pools = Pools(corpus=two_texts(), section=section, seed=3, variation=variation)
    sent = pickle.loads(pickle.dumps(pools))
    for where in ((0, 1), (7, 0)):
        here, there = pools[where], sent[where]
        assert (here.ends, here.source.sources) == (there.ends, there.source.sources)
        for name in ("counts", "left_out", "masks"):
            assert np.array_equal(getattr(here.source, name), getattr(there.source, name))
        assert len(here.source.masks) == len(here.source.sources) and here.source.masks[..., 0].max() < 0.2
        assert here.source.left_out.any()
