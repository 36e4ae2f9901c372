"""Every pair once an epoch, no batch over its budget, and an order that is a pure function."""

import hashlib
import itertools
import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.batching import BatchStream, TokenizedCorpus, in_budget, make_batch, mix
from mt.config import BatchConfig, TokenizerConfig
from mt.corpus.pair import Origin, Pair
from mt.errors import DataError
from mt.tokenizer import train_tokenizer

BOS, EOS = 1, 2
LONGEST = 12


class LetterTokenizer:
    """One piece for every two letters; sampling may split each in two."""

    bos, eos = BOS, EOS

    def encode_target(self, texts):
        return [[100 + ord(letter) for letter in text[::2]] for text in texts]

    def encode_source(self, texts):
        return [[*ids, EOS] for ids in self.encode_target(texts)]

    def sample_target(self, texts, seed):
        rng = random.Random(seed)
        return [[piece for i in ids for piece in rng.choice([[i], [i, 99]])] for ids in self.encode_target(texts)]

    def sample_source(self, texts, seed):
        return [[*ids, EOS] for ids in self.sample_target(texts, seed)]


def corpus_of(sizes, max_length=LONGEST):
    """Pairs of so many pieces a side, end mark included; no two texts are alike in their letters."""
    letters = itertools.cycle("abcdefghijklmnopqrstuvwxyz")
    text = ["".join(next(letters) for _ in range(2 * size - 2)) for pair in sizes for size in pair]
    pairs = [Pair(src, tgt, Origin("f", n)) for n, (src, tgt) in enumerate(zip(text[::2], text[1::2], strict=True), 1)]
    return TokenizedCorpus(pairs, LetterTokenizer(), max_length=max_length)


def plain(batch):
    """A batch in values that can be compared."""
    rows = batch.source_rows.lengths.tolist(), batch.target_rows.lengths.tolist()
    return batch.indices, batch.source.tolist(), batch.target_in.tolist(), batch.target_out.tolist(), *rows


def take(stream, count):
    return [plain(next(stream)) for _ in range(count)]


def one_epoch(stream):
    epoch, batches = stream.place.epoch, []
    while stream.place.epoch == epoch:
        batches.append(next(stream))
    return batches


sizes = st.lists(st.tuples(st.integers(2, LONGEST), st.integers(2, LONGEST)), min_size=1, max_size=25)
streams = given(
    sizes=sizes,
    pool=st.integers(1, 30),
    tokens=st.integers(LONGEST, 40),
    seed=st.integers(0, 99),
    sampling=st.booleans(),
)


def stream_of(sizes, pool, tokens, seed, sampling):
    section = BatchConfig(tokens=tokens, max_length=LONGEST, pool=pool)
    return BatchStream(corpus_of(sizes), section, seed=seed, sampling=sampling)


@streams
def test_every_pair_is_in_one_batch_of_every_epoch_and_no_batch_passes_its_budget(**options):
    stream = stream_of(**options)
    for _ in range(2):
        batches = one_epoch(stream)
        assert sorted(i for batch in batches for i in batch.indices) == list(range(len(options["sizes"])))
        for batch in batches:
            assert 0 < batch.source_rows.num_rows == len(batch.source) <= options["tokens"]
            assert 0 < batch.target_rows.num_rows == len(batch.target_in) == len(batch.target_out) <= options["tokens"]


@streams
def test_the_order_is_a_function_of_its_inputs(**options):
    count = len(options["sizes"]) + 3
    assert take(stream_of(**options), count) == take(stream_of(**options), count)


@streams
def test_a_stream_goes_on_from_its_state(**options):
    """At every cut, across pools and the ends of epochs; the state is plain JSON."""
    unbroken = stream_of(**options)
    states, epochs, batches = [], [], []
    for _ in range(2 * len(options["sizes"]) + 1):
        states.append(json.dumps(unbroken.state_dict()))
        epochs.append(unbroken.epoch)
        batches += take(unbroken, 1)
    for cut in range(0, len(states), 3):
        resumed = stream_of(**options)
        resumed.load_state_dict(json.loads(states[cut]))
        assert resumed.epoch == epochs[cut]
        wanted = batches[cut : cut + 4]
        assert take(resumed, len(wanted)) == wanted
    assert epochs == sorted(epochs)


@streams
def test_sentences_are_what_the_tokenizer_says_shifted_by_one(**options):
    stream = stream_of(**{**options, "sampling": False})
    for batch in one_epoch(stream):
        sources = batch.source.split(batch.source_rows.lengths.tolist())
        shifted_in = batch.target_in.split(batch.target_rows.lengths.tolist())
        shifted_out = batch.target_out.split(batch.target_rows.lengths.tolist())
        for i, source, target_in, target_out in zip(batch.indices, sources, shifted_in, shifted_out, strict=True):
            assert source.tolist() == list(stream.corpus.source[i])
            assert target_in.tolist() == [BOS, *stream.corpus.target[i]]
            assert target_out.tolist() == [*stream.corpus.target[i], EOS]


MANY = [(2 + i % 7, 2 + i % 5) for i in range(60)]
PLAIN = {"sizes": MANY, "pool": 25, "tokens": 30, "seed": 1, "sampling": False}


def test_another_seed_and_another_epoch_have_another_order():
    stream = stream_of(**PLAIN)
    first, second = ([batch.indices for batch in one_epoch(stream)] for _ in range(2))
    other = [batch.indices for batch in one_epoch(stream_of(**{**PLAIN, "seed": 2}))]
    assert first != second
    assert first != other
    lengths = [len(indices) for indices in first]
    assert lengths != sorted(lengths)  # short and long batches are mixed
    assert lengths != sorted(lengths, reverse=True)


def test_sentences_of_a_batch_are_of_like_length():
    for batch in one_epoch(stream_of(**{**PLAIN, "pool": 60})):
        lengths = batch.target_rows.lengths
        assert int(lengths.max() - lengths.min()) <= 1


def test_every_epoch_draws_its_own_segmentations_that_fit_the_longest_sentence():
    stream = stream_of(**{**PLAIN, "sizes": [(7, 7)] * 40, "sampling": True})
    seen = []
    for _ in range(2):
        drawn = {}
        for batch in one_epoch(stream):
            parts = batch.source.split(batch.source_rows.lengths.tolist())
            drawn |= {i: part.tolist() for i, part in zip(batch.indices, parts, strict=True)}
        seen.append(drawn)
    assert seen[0] != seen[1]
    for i, best in enumerate(stream.corpus.source):
        for drawn in seen:
            assert [piece for piece in drawn[i] if piece != 99] == list(best)
    lengths = {len(ids) for drawn in seen for ids in drawn.values()}
    assert max(lengths) <= LONGEST
    assert len(lengths) > 2


def test_a_draw_over_the_limit_gives_way_to_the_best_segmentation():
    """Two pieces and a mark is all that fits; a draw that splits even one of them does not."""
    section = BatchConfig(tokens=3, max_length=3, pool=20)
    for batch in one_epoch(BatchStream(corpus_of([(3, 3)] * 20, max_length=3), section, seed=1, sampling=True)):
        assert (len(batch.source), len(batch.target_in)) == (3, 3)
        assert 99 not in [*batch.source.tolist(), *batch.target_in.tolist()]


def test_a_pair_that_stays_in_its_place_is_drawn_anew_every_epoch():
    stream = stream_of(**{**PLAIN, "sizes": [(5, 5)], "sampling": True})
    batches = [next(stream) for _ in range(6)]
    assert len({str(batch.source) for batch in batches}) > 2
    assert len({str(batch.target_in) for batch in batches}) > 2


def test_the_epoch_counts_pools_and_batches():
    stream = stream_of(sizes=[(4, 4)] * 8, pool=4, tokens=12, seed=1, sampling=False)  # two pools of two batches
    seen = [stream.epoch]
    for _ in range(5):
        next(stream)
        seen.append(stream.epoch)
    assert seen == [0, 0.25, 0.5, 0.75, 1, 1.25]
    fresh = stream_of(sizes=[(4, 4)] * 8, pool=4, tokens=12, seed=1, sampling=False)
    fresh.load_state_dict({"epoch": 3, "pool": 1, "batch": 1})
    assert fresh.epoch == 3.75
    assert iter(fresh) is fresh


# ---- the corpus ---------------------------------------------------------------------------------------------------


def test_pairs_too_long_on_either_side_are_left_out_and_counted():
    corpus = corpus_of([(4, 4), (5, 4), (4, 5), (2, 2)], max_length=4)
    assert len(corpus) == len(corpus.pairs) == 2
    assert corpus.num_too_long == 2
    assert [pair.origin.line for pair in corpus.pairs] == [1, 4]
    assert (corpus.num_source_rows, corpus.num_target_rows) == (6, 6)
    assert corpus_of([(40, 40)], max_length=None).num_too_long == 0


def test_a_corpus_of_nothing_but_long_pairs_is_refused():
    text = r"^none of the 2 training pairs has at most `batch\.max_length` \(3\) pieces a side; raise that setting, or"
    with pytest.raises(DataError, match=text):
        corpus_of([(4, 2), (2, 4)], max_length=3)


def test_the_fingerprint_is_a_hash_of_the_text_in_its_order():
    def of(*pairs):
        made = [Pair(src, tgt, Origin("f", 1)) for src, tgt in pairs]
        return TokenizedCorpus(made, LetterTokenizer()).fingerprint()

    assert of(("a", "b")) == hashlib.sha256(b"a\0b\n").hexdigest()
    alike = [
        (("a", "b"), ("c", "d")),
        (("c", "d"), ("a", "b")),
        (("a", "b"),),
        (("ab", ""), ("c", "d")),
        (("a", "d"), ("c", "b")),
    ]
    assert len({of(*pairs) for pairs in alike}) == len(alike)


@given(sizes, st.integers(1, 40))
def test_validation_reads_everything_once_within_its_budget(sizes, budget):
    corpus = corpus_of(sizes)
    batches = list(in_budget(corpus, budget))
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(sizes)))
    longest = max(itertools.chain(*sizes))
    assert all(max(batch.source_rows.num_rows, batch.target_rows.num_rows) <= max(budget, longest) for batch in batches)
    order = [corpus.target[i] for batch in batches for i in batch.indices]
    assert [len(t) for t in order] == sorted(len(t) for t in order)


def test_a_batch_by_hand():
    batch = make_batch([[5, 6, EOS], [EOS]], [[7], []], [4, 9], bos=BOS, eos=EOS)
    assert plain(batch) == ((4, 9), [5, 6, EOS, EOS], [BOS, 7, BOS], [7, EOS, EOS], [3, 1], [2, 1])
    assert batch.to(torch.device("cpu")) is batch


def test_mixed_seeds_differ_in_every_number_and_in_how_they_are_split():
    seeds = [mix(), mix(1), mix(2), mix(1, 2), mix(2, 1), mix(12), mix(1, 0), mix(0, 1)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix(1, 2) == mix(1, 2)


def test_text_survives_the_real_tokenizer(tmp_path):
    rng = random.Random(0)
    words = ["".join(rng.choices(["ta", "mo", "ly", "er"], k=rng.randint(1, 4))) for _ in range(50)]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(80)]
    pairs = [Pair(a, b, Origin("f", n)) for n, (a, b) in enumerate(zip(texts[::2], texts[1::2], strict=True), 1)]
    section = TokenizerConfig(vocab_size=300, sampling=0.5)
    tokenizer = train_tokenizer([p.src for p in pairs], [p.tgt for p in pairs], section, tmp_path)
    corpus = TokenizedCorpus(pairs, tokenizer, max_length=60)
    options = {"seed": 1, "sampling": True}
    stream = BatchStream(corpus, BatchConfig(tokens=100, max_length=60, pool=16), **options)
    state = stream.state_dict()
    batches = one_epoch(stream)
    for batch in batches:
        sources = batch.source.split(batch.source_rows.lengths.tolist())
        targets = batch.target_out.split(batch.target_rows.lengths.tolist())
        for i, source, target in zip(batch.indices, sources, targets, strict=True):
            assert tokenizer.decode_source(source.tolist()) == pairs[i].src
            assert tokenizer.decode_target(target.tolist()) == pairs[i].tgt
            assert (source[-1], target[-1]) == (tokenizer.eos, tokenizer.eos)
    stream.load_state_dict(state)
    assert take(stream, len(batches)) == [plain(batch) for batch in batches]
    assert {*map(repr, map(plain, one_epoch(stream)))}.isdisjoint(map(repr, map(plain, batches)))  # the next epoch
