"""The coverage penalty: by hand, against exhaustive search, and against the attention of a forced pass."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table import EOS, TableStepper, drawn, exhaustive_search
from table import settings as search_of

from mt.config import DecodeConfig
from mt.decode.search.beam import beam_search
from mt.decode.search.coverage import LEAST, Coverage
from mt.decode.search.ensemble import Ensemble
from mt.decode.search.settings import Search
from mt.decode.search.transformer_stepper import CachedStepper
from mt.errors import ConfigError
from mt.nn.forced import force


class AskingTable(TableStepper):
    """The weights of a row are drawn from its prefix."""

    def keep_weights(self) -> None:
        self.listening = True

    def weights(self) -> torch.Tensor:
        width, longest = len(self.prefixes) // len(self.sources), max(map(len, self.sources))
        rows = [weights(self.sources[row // width], prefix) for row, prefix in enumerate(self.prefixes)]
        return torch.tensor([[*row, *[0.0] * (longest - len(row))] for row in rows])


def weights(source: tuple[int, ...], prefix: tuple[int, ...]) -> list[float]:
    rng = random.Random(repr((source, prefix)))
    return [rng.random() for _ in source]


def cost(source: list[int], tokens: list[int], rows: int) -> float:
    """The coverage cost of the first rows of a hypothesis, without eos."""
    attended = [weights(tuple(source), tuple(tokens[:n])) for n in range(rows)]
    return sum(math.log(min(1.0, sum(column))) for column in list(zip(*attended, strict=True))[:-1])


def test_a_token_of_weight_one_half_costs_its_logarithm_and_one_of_weight_two_nothing():
    state = Coverage.first(0.5, [[7, 8, EOS], [9, EOS]], 1, torch.device("cpu"))
    state = state.add(torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.5, 0.0]])).follow(torch.tensor([[0, 0], [0, 0]]))
    state = state.add(torch.tensor([[0.25, 0.75, 0.0], [0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]))
    expected = [[0.5 * math.log(0.5), 0.0], [0.5 * math.log(0.5), 0.0]]
    torch.testing.assert_close(state.cost(), torch.tensor(expected))
    torch.testing.assert_close(state.select(torch.tensor([1])).cost(), torch.tensor(expected[1:]))


def test_what_was_never_asked_costs_much_but_not_everything():
    state = Coverage.first(1.0, [[7, EOS]], 1, torch.device("cpu")).add(torch.tensor([[0.0, 1.0]]))
    assert state.cost().item() == pytest.approx(math.log(LEAST))


@given(
    seed=st.integers(0, 10**6), penalty=st.sampled_from([0.0, 1.0]), weight=st.sampled_from([0.1, 1.0, 5.0]),
    sources=st.lists(st.lists(st.integers(5, 9), max_size=3), min_size=1, max_size=3),
)  # fmt: skip
@settings(max_examples=30)
def test_a_beam_as_wide_as_the_tree_finds_what_exhaustive_search_finds(seed, penalty, weight, sources):
    table, sources = drawn(seed), [[*source, EOS] for source in sources]
    search = search_of(beam=32, nbest=5, length_penalty=penalty, coverage_penalty=weight, max_length=3)
    found = beam_search(AskingTable(table), sources, search=search)
    for source, best in zip(sources, found, strict=True):
        everything = [
            (score + weight * cost(source, tokens, len(tokens) + 1) / (len(tokens) + 1) ** penalty, tokens)
            for score, tokens, done in exhaustive_search(table, source, search)
            if done
        ]
        for ours, (score, tokens) in zip(best, sorted(everything, reverse=True), strict=False):
            assert (ours.tokens, ours.score) == (tokens, pytest.approx(score, abs=1e-4))


def test_groups_begin_alike_and_pay_alike():
    table, source = drawn(3), [[7, 8, 9, EOS], [5, EOS]]
    search = search_of(beam=8, groups=4, nbest=2, diversity=0.5, coverage_penalty=2.0, max_length=3, length_penalty=0.0)
    for one, best in zip(source, beam_search(AskingTable(table), source, search=search), strict=True):
        for found in best:
            rows = len(found.tokens) + found.finished
            assert found.score - found.log_prob == pytest.approx(2 * cost(one, found.tokens, rows), abs=1e-4)


@pytest.mark.parametrize("members", [1, 2])
def test_what_a_model_asks_is_its_cross_attention(small_model, members):
    models = [small_model(src_size=13, tgt_size=13, dim=8, decoder_layers=2, seed=seed) for seed in range(members)]
    steppers = [CachedStepper(model) for model in models]
    stepper = Ensemble(steppers) if members > 1 else steppers[0]
    source = [[4, 5, 6, 7, 2], [8, 9, 2]]
    search = Search(bos=1, eos=2, pad=3, beam=4, nbest=4, length_penalty=0.0, coverage_penalty=0.3)
    for sentence, best in zip(source, beam_search(stepper, source, search=search), strict=True):
        for found in best:
            rows = len(found.tokens) + found.finished
            passes = [next(force(m, [sentence], [found.tokens], bos=1, eos=2, uses=("cross",))) for m in models]
            attended = torch.stack([one.maps.cross[:, :, :rows].mean((0, 1)) for one in passes]).mean(0)
            owed = 0.3 * attended.sum(0)[:-1].clamp(max=1).log().sum()
            assert found.score - found.log_prob == pytest.approx(float(owed), abs=1e-4)


def test_models_without_attention_weights_are_refused():
    search = search_of(beam=2, coverage_penalty=0.2)
    with pytest.raises(
        ConfigError,
        match=r"`decode.coverage_penalty` needs models that give their attention weights. hint: leave it at 0",
    ):
        beam_search(TableStepper(drawn(1)), [[7, EOS]], search=search)
    with pytest.raises(ConfigError, match="all models of an ensemble must give their attention weights"):
        beam_search(Ensemble([TableStepper(drawn(1))]), [[7, EOS]], search=search)


@pytest.mark.parametrize("make", [search_of, DecodeConfig])
def test_leaving_out_is_never_rewarded(make):
    with pytest.raises(ConfigError, match=r"`decode.coverage_penalty` must not be negative, but is -1"):
        make(coverage_penalty=-1.0)
