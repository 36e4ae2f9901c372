"""Samples come as often as they should, and depend on nothing but seed, sentence, sample and position."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from table import BOS, EOS, PAD, A, B, TableStepper, drawn, found, settings, written

from mt.decode.search import sampling
from mt.decode.search.rules import ForcedPrefix, MinLength
from mt.decode.search.sampling import Rows, Sampling, draw, kept, mixed, sample_search
from mt.decode.search.transformer_stepper import CachedStepper
from mt.errors import ConfigError

sources = st.lists(st.lists(st.integers(3, 9), min_size=1, max_size=4), min_size=1, max_size=9)


def log(*probabilities):
    return torch.tensor([[math.log(p) if p else -math.inf for p in probabilities]])


def left(probabilities, **cuts):
    """What the cut-offs leave of one distribution, as numbers of thousandths."""
    return [round(1000 * p) for p in kept(log(*probabilities), Sampling(**cuts))[0].tolist()]


# ---------------------------------------------------------------- random numbers


def test_the_hash_is_splitmix64():
    first = [n % 2**64 for n in mixed(torch.tensor(0), torch.arange(3)).tolist()]
    assert first == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # as Java's SplittableRandom(0)
    assert mixed(torch.tensor([0, 7]), torch.tensor(1))[0] == mixed(torch.tensor(0), torch.tensor(1))


def test_neighbouring_seeds_and_sentences_give_unrelated_numbers():
    """Means and correlations of 2,500 uniform numbers: within four standard deviations of those of true ones."""
    drawn_tokens = []
    coin = written({prefix: [0.0, 0.5, 0.5] for prefix in prefixes_of_coins(6)})
    search = settings(max_length=6)
    for seed in range(2):
        results = sample_search(
            TableStepper(coin), [[EOS]] * 20, search=search, sampling=Sampling(samples=20, seed=seed)
        )
        drawn_tokens.append([token == A for sentence in found(results) for tokens in sentence for token in tokens])
    assert len(drawn_tokens[0]) == 20 * 20 * 6
    for tosses in drawn_tokens:
        assert abs(sum(tosses) - 1200) < 4 * math.sqrt(2400 / 4)
    one, other = drawn_tokens
    shifts = {"seed": (one, other), "sentence": (one[120:], one[:-120]), "sample": (one[6:], one[:-6])}
    shifts["position"] = (one[1:], one[:-1])
    for name, (x, y) in shifts.items():
        equal = sum(a == b for a, b in zip(x, y, strict=True))
        assert abs(equal - len(x) / 2) < 4 * math.sqrt(len(x) / 4), name


def test_the_numbers_of_mps_are_made_on_the_host(monkeypatch, unchecked_shapes):
    """It has no 64-bit floats, so `double` raises there. A stand-in for its integers."""

    class OnMps:
        device = torch.device("mps")

        def __rshift__(self, places):
            return self

        __and__ = __rshift__

        def cpu(self):
            return torch.tensor([0, 1 << 47])

    rows = Rows([0, 1], [9, 9], Sampling(), torch.device("cpu"))
    monkeypatch.setattr(sampling, "mixed", lambda key, number: OnMps())
    assert rows.uniform(0).tolist() == [0, 0.5]


def prefixes_of_coins(length):
    prefixes = [()]
    for _ in range(length):
        prefixes += [(*prefix, side) for prefix in prefixes for side in (A, B) if (*prefix, side) not in prefixes]
    return [prefix for prefix in dict.fromkeys(prefixes) if len(prefix) <= length]


def test_pieces_come_as_often_as_they_should():
    """Pearson's statistic of 4,000 draws among four pieces; above 16.27 once in a thousand (three degrees of freedom).
    The seed is fixed, so this either always holds or never."""
    chances = {A: 0.4, B: 0.3, B + 1: 0.2, B + 2: 0.1}

    def table(_source, prefix):
        ends = bool(prefix)
        return [-math.inf, -math.inf, 0.0 if ends else -math.inf, *(-math.inf if ends else math.log(p)
                for p in chances.values())]  # fmt: skip

    results = sample_search(TableStepper(table), [[EOS]] * 40, search=settings(), sampling=Sampling(samples=100))
    counts = Counter(tokens[0] for sentence in found(results) for tokens in sentence)
    assert sum(counts.values()) == 4000
    assert sum((counts[piece] - 4000 * p) ** 2 / (4000 * p) for piece, p in chances.items()) < 16.27
    by_sample = Counter(sentence[0][0] for sentence in found(results))
    assert len(by_sample) == 4  # the first samples of forty sentences differ among themselves


# ---------------------------------------------------------------- draws


def test_the_draw_is_the_inverse_of_the_cumulative_sum():
    p = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]])
    uniform = [0.0, 0.24, 0.25, 0.7499, 0.75, 1 - 2**-48]
    assert draw(p.expand(6, -1), torch.tensor(uniform, dtype=torch.float64)).tolist() == [1, 1, 3, 3, 4, 4]
    assert draw(2 * p, torch.tensor([0.25], dtype=torch.float64)).tolist() == [3]  # rows need not sum to one


def test_a_piece_behind_all_others_is_still_drawn_when_its_turn_comes():
    rare = torch.full((1, 10_001), 1e-4)
    rare[0, -1] = 1e-8
    uniform = torch.tensor([1 - 2**-48, 1 - 2e-8], dtype=torch.float64)
    assert draw(rare.expand(2, -1), uniform).tolist() == [10_000, 9_999]


def test_cut_offs_by_hand():
    p = (0.1, 0.4, 0.05, 0.25, 0.2)
    assert left(p) == [100, 400, 50, 250, 200]
    assert left(p, top_k=1) == [0, 400, 0, 0, 0]
    assert left(p, top_k=3) == [0, 400, 0, 250, 200]
    assert left(p, top_k=9) == left(p)
    assert left(p, top_p=0.3) == [0, 400, 0, 0, 0]
    assert left(p, top_p=0.64) == [0, 400, 0, 250, 0]
    assert left(p, top_p=0.66) == [0, 400, 0, 250, 200]
    assert left(p, top_p=0.99) == left(p)
    assert left(p, epsilon=0.15) == [0, 400, 0, 250, 200]
    assert left(p, epsilon=0.9) == [0, 400, 0, 0, 0]  # the likeliest always stays
    assert left(p, top_k=4, top_p=0.84, epsilon=0.22) == [0, 400, 0, 250, 0]


def test_equally_likely_pieces_are_cut_by_their_number():
    assert left((0.2,) * 5, top_k=2) == left((0.2,) * 5, top_p=0.35) == [200, 200, 0, 0, 0]
    assert left((0.2,) * 5, epsilon=0.3) == [200] * 5  # all are the likeliest


def test_what_is_at_a_bound_but_for_rounding_is_within_it():
    p = (0.1, 0.4, 0.05, 0.25, 0.2)
    for nudge in (-1e-7, 0.0, 1e-7):
        assert left(p, top_p=0.65 + nudge) == [0, 400, 0, 250, 0]
        assert left(p, top_p=0.85 + nudge) == [0, 400, 0, 250, 200]
        assert left(p, epsilon=0.2 + nudge) == [0, 400, 0, 250, 200]


def test_the_temperature_comes_before_the_cut_offs():
    assert left((0.8, 0.2), temperature=2.0) == [667, 333]
    assert left((0.8, 0.2), temperature=0.5) == [941, 59]
    assert left((0.8, 0.2), temperature=2.0, epsilon=0.3) == [667, 333]
    assert left((0.8, 0.2), temperature=0.5, top_p=0.9) == [941, 0]
    assert left((0.0, 0.8, 0.2, 0.0), temperature=2.0) == [0, 667, 333, 0]


def test_a_row_without_pieces_keeps_none():
    assert kept(torch.full((1, 3), -torch.inf), Sampling(top_p=0.5)).tolist() == [[0.0] * 3]


# ---------------------------------------------------------------- samples of sentences


@given(st.integers(0, 10**6), sources, st.integers(1, 4), st.sampled_from([{}, {"top_p": 0.8}, {"temperature": 1.7}]))
def test_samples_have_the_model_s_own_log_probabilities(seed, source, samples, cuts):
    table = drawn(seed, num_words=3)
    search = settings(length_penalty=0.5, max_ratio=1.5, max_extra=1, max_length=None)
    sampling = Sampling(samples=samples, seed=seed, **cuts)
    results = sample_search(TableStepper(table), source, search=search, sampling=sampling)
    for sentence, limit, hypotheses in zip(source, search.max_lengths(source), results, strict=True):
        assert len(hypotheses) == samples
        for sample in hypotheses:
            path = [*sample.tokens, EOS] if sample.finished else sample.tokens
            assert not {PAD, BOS} & set(path) and EOS not in sample.tokens
            assert len(path) <= limit and (sample.finished or len(path) == limit)
            pieces = [table(tuple(sentence), tuple(path[:n]))[token] for n, token in enumerate(path)]
            assert sample.token_log_probs == pytest.approx(pieces)
            assert sample.log_prob == pytest.approx(sum(pieces), rel=1e-5)
            assert sample.score == pytest.approx(sum(pieces) / len(path) ** 0.5, rel=1e-5)


@given(st.integers(0, 10**6), sources, st.integers(1, 5))
def test_a_sample_does_not_depend_on_the_batch_nor_on_the_other_samples(seed, source, samples):
    table, search = drawn(seed), settings(max_length=7)
    together = sample_search(TableStepper(table), source, search=search, sampling=Sampling(samples=samples, seed=seed))
    alone = [
        sample_search(
            TableStepper(table), [sentence], search=search, sampling=Sampling(samples=5, seed=seed), numbers=[number]
        )[0][:samples]
        for number, sentence in enumerate(source)
    ]
    assert together == alone


@pytest.mark.parametrize("cuts", [{}, {"top_k": 5, "top_p": 0.9, "temperature": 1.3}, {"epsilon": 0.02}])
def test_a_transformer_draws_the_same_in_batches_of_any_size(small_model, cuts):
    model = small_model(seed=3)
    draw_from = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 9, (24,), generator=draw_from).tolist()
    source = [[*torch.randint(4, 19, (length,), generator=draw_from).tolist(), EOS] for length in lengths]
    search = settings(max_length=None, max_extra=3)

    def batches_of(size):
        results = []
        for first in range(0, len(source), size):
            numbers = list(range(first, min(first + size, len(source))))
            results += sample_search(
                CachedStepper(model), [source[n] for n in numbers], search=search,
                sampling=Sampling(samples=3, seed=5, **cuts), numbers=numbers,
            )  # fmt: skip
        return found(results)

    one = batches_of(1)
    assert one == batches_of(7) == batches_of(24)
    assert len({tuple(tokens) for sentence in one for tokens in sentence}) > 56  # of 72


def test_rows_leave_when_a_quarter_can():
    def as_long_as_the_source(source, prefix):
        ended = len(prefix) + 1 >= len(source)
        return [-math.inf, -math.inf, 0.0 if ended else -math.inf, -math.inf if ended else 0.0, -math.inf]

    stepper = TableStepper(as_long_as_the_source)
    source = [[3] * length + [EOS] for length in (3, 1, 4, 2, 5, 5, 5, 5)]
    results = sample_search(stepper, source, search=settings(max_length=9), sampling=Sampling(samples=2))
    assert found(results) == [[[A] * length] * 2 for length in (3, 1, 4, 2, 5, 5, 5, 5)]
    assert stepper.num_rows == [8, 16, 16, 12, 12, 8]


def test_samples_that_ended_idle_beside_the_longest_of_any_sentence():
    coins = written({(A,) * n: [0.5, 0.5, 0.0] for n in range(12)})
    stepper = TableStepper(coins)
    results = sample_search(stepper, [[EOS]] * 4, search=settings(max_length=12), sampling=Sampling(samples=8))
    lengths = [[len(h.tokens) + h.finished for h in sentence] for sentence in results]
    needed = [4] + [
        sum(1 for sentence in lengths if max(sentence) > n) * max(sum(m > n for m in sentence) for sentence in lengths)
        for n in range(1, max(map(max, lengths)))
    ]
    assert len(stepper.num_rows) == len(needed) > 3
    for rows, least in zip(stepper.num_rows, needed, strict=True):
        assert least <= rows <= max(4, least / 0.75)


def test_rules_hold_and_a_sample_that_they_leave_nothing_ends_unfinished():
    table = written({(): [0.5, 0.5, 0.0], (A,): [1.0, 0.0, 0.0]})
    forced = sample_search(
        TableStepper(table), [[EOS], [3, EOS]], search=settings(), sampling=Sampling(samples=4),
        rules=[ForcedPrefix([[A], []]), MinLength(1, eos=EOS)],
    )  # fmt: skip
    assert found(forced) == [[[A]] * 4] * 2
    [[nothing]] = sample_search(
        TableStepper(table), [[EOS]], search=settings(), sampling=Sampling(), rules=[MinLength(2, eos=EOS)]
    )
    assert (nothing.tokens, nothing.finished) == ([A], False)
    assert nothing.log_prob == pytest.approx(math.log(0.5))


def test_no_sentences_have_no_samples():
    assert sample_search(TableStepper(drawn(0)), [], search=settings(), sampling=Sampling()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 0}, r"^`sampling\.samples` must be positive, but is 0\.$"),
        ({"temperature": 0.0}, r"^`sampling\.temperature` must be positive and finite, but is 0\.0\.$"),
        ({"temperature": math.inf}, r"^`sampling\.temperature` must be positive and finite, but is inf\.$"),
        ({"top_k": -1}, r"^`sampling\.top_k` must not be negative, but is -1\.$"),
        ({"top_p": 0.0}, r"^`sampling\.top_p` must be above 0 and at most 1, but is 0\.0\.$"),
        ({"top_p": 1.1}, r"^`sampling\.top_p` must be above 0 and at most 1, but is 1\.1\.$"),
        ({"epsilon": 1.0}, r"^`sampling\.epsilon` must be at least 0 and below 1, but is 1\.0\.$"),
        ({"seed": -1}, r"^`sampling\.seed` must be at least 0 and below 2 \*\* 63, but is -1\.$"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**given)
