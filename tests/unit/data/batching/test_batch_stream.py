"""Every pair once an epoch, no batch over its budget, and an order that is a pure function and stays what it was."""

import json
import random
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from letters import (
    BOS,
    EOS,
    LONGEST,
    LetterTokenizer,
    corpus_of,
    digest,
    letter_pairs,
    one_epoch,
    plain,
    stream_of,
    take,
)

from mt.config import BatchConfig, TokenizerConfig
from mt.data.batching import BatchStream, TokenizedCorpus, Variation, make_batch, mix
from mt.data.corpus.pair import Origin, Pair
from mt.nn.ragged import cut
from mt.text.tokenizer_training import train_tokenizer

sizes = st.lists(st.tuples(st.integers(2, LONGEST), st.integers(2, LONGEST)), min_size=1, max_size=25)
streams = given(
    sizes=sizes,
    pool=st.integers(1, 30),
    tokens=st.integers(LONGEST, 40),
    seed=st.integers(0, 99),
    sampling=st.booleans(),
)


def by_definition(sizes, pool, tokens, seed, sampling):
    """The batches of a stream as they have been defined from the start: slow, in lists, without end."""
    pairs, tokenizer = letter_pairs(sizes), LetterTokenizer()
    epoch = 0
    while True:
        permutation = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(mix(seed, epoch))).tolist()
        for number in range(-(-len(pairs) // pool)):
            members = permutation[number * pool : (number + 1) * pool]
            source = best_source = tokenizer.encode_source([pairs[i].src for i in members])
            target = best_target = tokenizer.encode_target([pairs[i].tgt for i in members])
            if sampling:
                drawn = tokenizer.sample_source([pairs[i].src for i in members], mix(seed, epoch, number, 1))
                source = [s if len(s) <= LONGEST else best for s, best in zip(drawn, best_source, strict=True)]
                drawn = tokenizer.sample_target([pairs[i].tgt for i in members], mix(seed, epoch, number, 2))
                target = [t if len(t) < LONGEST else best for t, best in zip(drawn, best_target, strict=True)]
            src, tgt = [len(s) for s in source], [len(t) + 1 for t in target]
            order = sorted(range(len(members)), key=lambda i, tgt=tgt, src=src: (tgt[i], src[i]))
            batches = cut(order, tokens, src, tgt)
            shuffle = torch.Generator().manual_seed(mix(seed, epoch, number))
            for turn in torch.randperm(len(batches), generator=shuffle).tolist():
                chosen = batches[turn]
                yield (
                    tuple(members[i] for i in chosen),
                    [piece for i in chosen for piece in source[i]],
                    [piece for i in chosen for piece in (BOS, *target[i])],
                    [piece for i in chosen for piece in (*target[i], EOS)],
                    [src[i] for i in chosen],
                    [tgt[i] for i in chosen],
                )
        epoch += 1


@streams
def test_batches_are_what_they_were_defined_to_be(**options):
    count = 2 * len(options["sizes"]) + 1
    assert take(stream_of(**options), count) == list(islice(by_definition(**options), count))


def test_the_order_is_that_of_the_first_release():
    """A run that began with an older version goes on with the same batches: a hash that must never change."""
    options = {"sizes": [(2 + i % 7, 2 + i % 5) for i in range(60)], "pool": 25, "tokens": 30, "seed": 1}
    found = [digest(one_epoch(stream_of(**options, sampling=sampling))) for sampling in (False, True)]
    assert found == [
        "48efeaca8aa7955f1fb5b6f26f1d8e562cfd420c16192b988cb000b56b970754",
        "de9ceb8932354096e0bce73c6ff5df6ae99a4a49712f83fbe15c6ef5314504ba",
    ]


@streams
def test_every_pair_is_in_one_batch_of_every_epoch_and_no_batch_passes_its_budget(**options):
    stream = stream_of(**options)
    for _ in range(2):
        batches = one_epoch(stream)
        assert sorted(i for batch in batches for i in batch.indices) == list(range(len(options["sizes"])))
        for batch in batches:
            assert 0 < batch.source.layout.num_rows == len(batch.source.rows) <= options["tokens"]
            assert (
                0 < batch.target_layout.num_rows == len(batch.target_in) == len(batch.target_out) <= options["tokens"]
            )


@streams
def test_a_stream_goes_on_from_its_state(**options):
    """At every cut, across pools and the ends of epochs; the state is plain JSON."""
    unbroken = stream_of(**options)
    states, epochs, batches = [], [], []
    for _ in range(2 * len(options["sizes"]) + 1):
        states.append(json.dumps(unbroken.state_dict()))
        epochs.append(unbroken.epoch)
        batches += take(unbroken, 1)
    for cut_at in range(0, len(states), 3):
        resumed = stream_of(**options)
        resumed.load_state_dict(json.loads(states[cut_at]))
        assert resumed.epoch == epochs[cut_at]
        wanted = batches[cut_at : cut_at + 4]
        assert take(resumed, len(wanted)) == wanted
    assert epochs == sorted(epochs)


@given(options=st.data(), world=st.integers(1, 4))
def test_processes_that_skip_what_is_not_theirs_have_all_batches_between_them(options, world):
    count = options.draw(st.integers(1, 12))
    made = {"sizes": options.draw(sizes), "pool": options.draw(st.integers(1, 30)), "tokens": 20, "seed": 3}
    whole = take(stream_of(**made, sampling=False), count * world)
    ends = set()
    for rank in range(world):
        stream, own = stream_of(**made, sampling=False), []
        for _ in range(count):
            stream.skip(rank)
            own += take(stream, 1)
            stream.skip(world - rank - 1)
        assert own == whole[rank::world]
        ends.add(str(stream.state_dict()))
    assert len(ends) == 1
    ahead = stream_of(**made, sampling=False)
    ahead.skip(count * world)  # at once
    assert str(ahead.state_dict()) in ends
    ahead.skip(0)
    assert str(ahead.state_dict()) in ends


@streams
def test_sentences_are_what_the_tokenizer_says_shifted_by_one(**options):
    stream = stream_of(**{**options, "sampling": False})
    for batch in one_epoch(stream):
        sources = batch.source.rows.split(batch.source.layout.lengths.tolist())
        shifted_in = batch.target_in.split(batch.target_layout.lengths.tolist())
        shifted_out = batch.target_out.split(batch.target_layout.lengths.tolist())
        for i, source, target_in, target_out in zip(batch.indices, sources, shifted_in, shifted_out, strict=True):
            assert source.tolist() == stream.corpus.source[i]
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
        lengths = batch.target_layout.lengths
        assert int(lengths.max() - lengths.min()) <= 1


def test_every_epoch_draws_its_own_segmentations_that_fit_the_longest_sentence():
    stream = stream_of(**{**PLAIN, "sizes": [(7, 7)] * 40, "sampling": True})
    seen = []
    for _ in range(2):
        drawn = {}
        for batch in one_epoch(stream):
            parts = batch.source.rows.split(batch.source.layout.lengths.tolist())
            drawn |= {i: part.tolist() for i, part in zip(batch.indices, parts, strict=True)}
        seen.append(drawn)
    assert seen[0] != seen[1]
    for i, best in enumerate(stream.corpus.source):
        for drawn in seen:
            assert [piece for piece in drawn[i] if piece != 99] == best
    lengths = {len(ids) for drawn in seen for ids in drawn.values()}
    assert max(lengths) <= LONGEST
    assert len(lengths) > 2


def test_a_draw_over_the_limit_gives_way_to_the_best_segmentation():
    """Two pieces and a mark is all that fits; a draw that splits even one of them does not."""
    section = BatchConfig(tokens=3, max_length=3, pool=20)
    for batch in one_epoch(
        BatchStream(corpus_of([(3, 3)] * 20, max_length=3), section, seed=1, variation=Variation(sampling=True))
    ):
        assert (len(batch.source.rows), len(batch.target_in)) == (3, 3)
        assert 99 not in [*batch.source.rows.tolist(), *batch.target_in.tolist()]


def test_a_pair_that_stays_in_its_place_is_drawn_anew_every_epoch():
    stream = stream_of(**{**PLAIN, "sizes": [(5, 5)], "sampling": True})
    batches = [next(stream) for _ in range(6)]
    assert len({str(batch.source.rows.tolist()) for batch in batches}) > 2
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
    fresh.close()  # nothing to end, and it goes on
    assert take(fresh, 1)


def test_pools_are_pinned_where_a_gpu_copies_them(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    batches = one_epoch(stream_of(**PLAIN, pin=True))
    assert [plain(batch) for batch in batches] == [plain(batch) for batch in one_epoch(stream_of(**PLAIN))]
    assert len(pinned) == 3 * 6  # pools, tensors of each
    memory = {tensor.untyped_storage().data_ptr() for tensor in pinned}
    for batch in batches:
        assert batch.source.rows.untyped_storage().data_ptr() in memory
        assert batch.target_layout.lengths.untyped_storage().data_ptr() in memory


@pytest.mark.gpu
def test_batches_of_a_pinned_pool_are_copied_without_waiting():
    batch = next(stream_of(**PLAIN, pin=True))
    assert batch.source.rows.is_pinned() and batch.target_layout.lengths.is_pinned()
    assert plain(batch.to(torch.device("cuda"))) == plain(next(stream_of(**PLAIN)))


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
    options = {"seed": 1, "variation": Variation(sampling=True)}
    stream = BatchStream(corpus, BatchConfig(tokens=100, max_length=60, pool=16), **options)
    state = stream.state_dict()
    batches = one_epoch(stream)
    for batch in batches:
        sources = batch.source.rows.split(batch.source.layout.lengths.tolist())
        targets = batch.target_out.split(batch.target_layout.lengths.tolist())
        for i, source, target in zip(batch.indices, sources, targets, strict=True):
            assert tokenizer.decode_source(source.tolist()) == pairs[i].src
            assert tokenizer.decode_target(target.tolist()) == pairs[i].tgt
            assert (source[-1], target[-1]) == (tokenizer.eos, tokenizer.eos)
    stream.load_state_dict(state)
    assert take(stream, len(batches)) == [plain(batch) for batch in batches]
    assert {*map(repr, map(plain, one_epoch(stream)))}.isdisjoint(map(repr, map(plain, batches)))  # the next epoch


def test_a_batch_of_the_corpus_is_that_of_its_pieces():
    corpus = corpus_of(MANY)
    chosen = [3, 59, 3, 0]
    made = make_batch([corpus.source[i] for i in chosen], [corpus.target[i] for i in chosen], chosen, bos=BOS, eos=EOS)
    assert plain(corpus.batch(chosen)) == plain(made)
