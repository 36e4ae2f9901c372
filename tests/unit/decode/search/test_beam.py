"""Beam search against hand-worked tables, exhaustive search and a search that never stops early."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from table import (
    BOS,
    EOS,
    PAD,
    A,
    B,
    TableStepper,
    drawn,
    exhaustive_search,
    found,
    patient_search,
    settings,
    written,
)

from mt.config import LengthNorm
from mt.decode.search.beam import beam_search, search_beams
from mt.decode.search.candidates import BLOCK, best_token, best_tokens, expand
from mt.decode.search.greedy import staying
from mt.decode.search.rules import BanTokens, ForcedPrefix, MinLength
from mt.decode.search.settings import Search
from mt.errors import ConfigError

seeds = st.integers(0, 10**6)
penalties = st.sampled_from([0.0, 0.5, 1.0, 2.0])
norms = st.sampled_from(list(LengthNorm))
sources = st.lists(st.lists(st.integers(3, 9), min_size=1, max_size=4), min_size=1, max_size=5)

# After A all is open, after B nearly all is decided:
# greedy takes A (0.6) and the best that begins with A has 0.6 * 0.4 = 0.24; B eos has 0.4 * 0.9 = 0.36.
TRAP = written(
    {
        (): [0.0, 0.6, 0.4],
        (A,): [0.4, 0.3, 0.3],
        (B,): [0.9, 0.1, 0.0],
        (A, A): [1.0, 0.0, 0.0],
        (A, B): [1.0, 0.0, 0.0],
        (B, A): [1.0, 0.0, 0.0],
    }
)

# The end comes cheaply at once (0.5), but A A A eos is sure after its first step (0.5): mean log-probability
# log(0.5) / 1 against log(0.5) / 4.
LATE = written(
    {
        (): [0.5, 0.5, 0.0],
        (A,): [0.0, 1.0, 0.0],
        (A, A): [0.0, 1.0, 0.0],
        (A, A, A): [1.0, 0.0, 0.0],
    }
)


def search_one(table, source=(3, EOS), rules=(), **changes):
    return beam_search(TableStepper(table), [list(source)], search=settings(**changes), rules=rules)[0]


def test_two_beams_escape_the_trap_that_greedy_falls_into():
    greedy = search_one(TRAP, beam=1, length_penalty=0.0)[0]
    wide = search_one(TRAP, beam=2, length_penalty=0.0)[0]
    assert (greedy.tokens, greedy.log_prob) == ([A], pytest.approx(math.log(0.24)))
    assert (wide.tokens, wide.log_prob) == ([B], pytest.approx(math.log(0.36)))
    assert wide.token_log_probs == pytest.approx([math.log(0.4), math.log(0.9)])
    assert wide.finished


def test_scores_are_log_probabilities_over_length_to_the_penalty():
    # B eos 0.36 in two pieces, A A eos 0.6 * 0.3 in three
    for penalty, best in ((0.0, [B]), (1.0, [B]), (2.0, [A, A])):
        scores = {tuple(h.tokens): h.score for h in search_one(TRAP, beam=4, nbest=4, length_penalty=penalty)}
        assert scores[(B,)] == pytest.approx(math.log(0.36) / 2**penalty)
        assert scores[(A, A)] == pytest.approx(math.log(0.18) / 3**penalty)
        assert search_one(TRAP, beam=2, length_penalty=penalty)[0].tokens == best


def test_the_search_goes_on_while_a_longer_hypothesis_can_still_win():
    stepper = TableStepper(LATE)
    best = beam_search(stepper, [[3, EOS]], search=settings(beam=2, length_penalty=1.0))[0][0]
    assert (best.tokens, best.score) == ([A, A, A], pytest.approx(math.log(0.5) / 4))
    assert stepper.num_steps == 4


# Of two beams, the end and A come first (0.3, 0.5), then A eos and A A (0.25 each), then A A eos (0.2475).
# Means: log(0.3) / 1 = -1.20, log(0.25) / 2 = -0.69, log(0.2475) / 3 = -0.47: each end is better than the last.
WORTH_WAITING = written(
    {
        (): [0.3, 0.5, 0.2],
        (A,): [0.5, 0.5, 0.0],
        (B,): [1.0, 0.0, 0.0],
        (A, A): [0.99, 0.01, 0.0],
        (A, A, A): [1.0, 0.0, 0.0],
    }
)


@pytest.mark.parametrize(
    ("patience", "nbest", "tokens", "steps"),
    [
        (0.5, 1, [A], 2),  # one end is enough, but A is ahead of the first (-0.69)
        (0.5, 2, [A], 2),  # nbest is 2
        (1.0, 1, [A], 2),
        (1.5, 1, [A, A], 3),
        (None, 1, [A, A], 3),
    ],
)
def test_patience_ends_a_sentence_when_so_many_hypotheses_have_ended(patience, nbest, tokens, steps):
    stepper = TableStepper(WORTH_WAITING)
    search = settings(beam=2, nbest=nbest, length_penalty=1.0, patience=patience)
    best = beam_search(stepper, [[3, EOS]], search=search)[0]
    assert best[0].tokens == tokens
    assert stepper.num_steps == steps
    assert all(hypothesis.finished for hypothesis in best) and len(best) == nbest


# A sure model: of a beam of two, one place is left for ends that are in the other's way, log(0.06) / 1 = -2.81 and
# log(0.9 * 0.06) / 2 = -1.46; the text is A A A, 3 * log(0.9) / 4 = -0.08.
SURE = written({(): [0.06, 0.9, 0.04], (A,): [0.06, 0.9, 0.04], (A, A): [0.06, 0.9, 0.04], (A, A, A): [1.0, 0.0, 0.0]})


def test_ends_that_are_worse_than_what_is_open_do_not_end_a_sentence():
    stepper = TableStepper(SURE)
    search = settings(beam=2, length_penalty=1.0, patience=1.0)
    best = beam_search(stepper, [[3, EOS]], search=search)[0][0]
    assert (best.tokens, best.score) == ([A, A, A], pytest.approx(3 * math.log(0.9) / 4))
    assert stepper.num_steps == 4


@given(seeds, st.integers(2, 4), st.integers(1, 5), penalties, st.sampled_from([0.3, 0.5, 1.0, 1.5, 3.0]), sources)
def test_patience_agrees_with_a_slow_search_that_counts_ends(seed, beam, nbest, penalty, patience, texts):
    nbest = min(beam, nbest)
    search = settings(beam=beam, nbest=nbest, length_penalty=penalty, patience=patience, max_length=6)
    table = drawn(seed)
    results = beam_search(TableStepper(table), texts, search=search)
    for source, hypotheses in zip(texts, results, strict=True):
        wanted = patient_search(table, source, search)
        assert [(h.tokens, h.finished) for h in hypotheses] == [(tokens, done) for _, tokens, done in wanted]
        assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in wanted], abs=1e-5)


@pytest.mark.parametrize(("seed", "patience", "groups"), [(1, None, 1), (2, 1.0, 1), (3, 1.0, 2)])
def test_sentences_that_are_done_and_stay_as_idle_rows_change_nothing(seed, patience, groups):
    """Of 40 sentences those that are done leave a few at a time."""
    table = drawn(seed)
    texts = [[3 + i % 7, 3 + i // 7] for i in range(40)]
    search = settings(beam=2, nbest=2, groups=groups, patience=patience, max_ratio=1.5, max_extra=1, max_length=6)
    together = beam_search(TableStepper(table), texts, search=search)
    assert together == [beam_search(TableStepper(table), [text], search=search)[0] for text in texts]


def test_the_last_sentences_take_the_places_of_those_that_leave():
    assert staying(torch.tensor([1, 0, 1, 0, 1, 1]).bool()).tolist() == [0, 4, 2, 5]
    assert staying(torch.tensor([1, 1, 0]).bool()).tolist() == [0, 1]
    assert staying(torch.tensor([0, 0]).bool()).tolist() == []


def test_the_search_stops_when_no_longer_hypothesis_can_win():
    stepper = TableStepper(LATE)
    best = beam_search(stepper, [[3, EOS]], search=settings(beam=2, length_penalty=0.0))[0][0]
    assert best.tokens == []
    assert stepper.num_steps == 1


@given(seeds, st.integers(1, 4), penalties, norms, st.integers(1, 2), st.integers(0, 3), st.data())
def test_a_beam_as_wide_as_the_tree_finds_what_exhaustive_search_finds(
    seed, longest, penalty, norm, groups, shortest, data
):
    table = drawn(seed)
    widest = 3 * 2 ** (longest - 1)  # two words and the end mark after each of the words so far
    nbest = data.draw(st.integers(1, widest))
    search = settings(
        beam=widest * groups, nbest=nbest, groups=groups, length_penalty=penalty, length_norm=norm, max_length=longest
    )
    shortest = min(shortest, longest - 1)
    rules = [MinLength([shortest], eos=EOS)]
    hypotheses = beam_search(TableStepper(table), [[3, EOS]], search=search, rules=rules)[0]
    best = exhaustive_search(table, [3, EOS], search, shortest=shortest)[:nbest]
    assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in best], rel=1e-5)
    assert [(h.tokens, h.finished) for h in hypotheses] == [(tokens, finished) for _, tokens, finished in best]


@given(seeds, st.integers(2, 4), st.integers(1, 7), penalties, norms, st.data())
def test_stopping_early_changes_nothing(seed, beam, longest, penalty, norm, data):
    nbest = data.draw(st.integers(1, beam))
    table = drawn(seed, coarse=True)
    search = settings(beam=beam, nbest=nbest, length_penalty=penalty, length_norm=norm, max_length=longest)
    hypotheses = beam_search(TableStepper(table), [[3, EOS]], search=search)[0]
    patient = patient_search(table, [3, EOS], search)
    assert [(h.tokens, h.finished) for h in hypotheses] == [(tokens, finished) for _, tokens, finished in patient]
    assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in patient])


def test_penalties_of_the_length_by_hand():
    assert settings(length_penalty=1.0).penalties(3) == [1.0, 1.0, 2.0, 3.0]
    assert settings(length_penalty=0.5).penalties(4)[4] == 2.0
    gnmt = settings(length_penalty=2.0, length_norm=LengthNorm.gnmt).penalties(7)
    assert gnmt == pytest.approx([1.0, 1.0, (7 / 6) ** 2, (8 / 6) ** 2, 2.25, (10 / 6) ** 2, (11 / 6) ** 2, 4.0])
    assert settings(length_penalty=2.0, length_norm=LengthNorm.none).penalties(2) == [1.0, 1.0, 1.0]


@given(penalties, norms)
def test_no_penalty_falls_as_the_length_grows(penalty, norm):
    found = settings(length_penalty=penalty, length_norm=norm).penalties(50)
    assert found == sorted(found)


@given(seeds, st.integers(1, 4), penalties, sources, st.booleans(), st.randoms())
def test_a_sentence_does_not_depend_on_its_batch(seed, beam, penalty, source, coarse, rng):
    search = settings(beam=beam, nbest=beam, length_penalty=penalty, max_ratio=1.5, max_extra=1, max_length=None)
    stepper = TableStepper(drawn(seed, coarse=coarse))
    together = beam_search(stepper, source, search=search)
    assert together == [beam_search(stepper, [sentence], search=search)[0] for sentence in source]
    order = list(range(len(source)))
    rng.shuffle(order)
    assert beam_search(stepper, [source[i] for i in order], search=search) == [together[i] for i in order]


@given(seeds, st.integers(1, 4), penalties, sources)
def test_lists_are_sorted_and_well_formed(seed, beam, penalty, source):
    search = settings(beam=beam, nbest=beam, length_penalty=penalty, max_length=5)
    for hypotheses in beam_search(TableStepper(drawn(seed)), source, search=search):
        assert 1 <= len(hypotheses) <= beam
        keys = [(h.finished, h.score) for h in hypotheses]
        assert keys == sorted(keys, reverse=True)
        assert len({tuple(h.tokens) for h in hypotheses}) == len(hypotheses)
        for h in hypotheses:
            assert not {PAD, BOS, EOS} & set(h.tokens)
            assert len(h.token_log_probs) == len(h.tokens) + h.finished <= 5
            assert sum(h.token_log_probs) == pytest.approx(h.log_prob, rel=1e-5)
            assert h.score == pytest.approx(h.log_prob / len(h.token_log_probs) ** penalty, rel=1e-5)


@given(seeds, sources, st.sampled_from([None, 1.0, 1.5]))
def test_the_best_is_the_same_however_many_are_asked_for(seed, source, patience):
    stepper = TableStepper(drawn(seed, num_words=4))
    one = beam_search(stepper, source, search=settings(beam=3, nbest=1, max_length=6, patience=patience))
    three = beam_search(stepper, source, search=settings(beam=3, nbest=3, max_length=6, patience=patience))
    assert [hypotheses[0] for hypotheses in three] == [hypotheses[0] for hypotheses in one]


def test_finished_sentences_leave_the_batch():
    def by_source(source, prefix):
        ended = len(prefix) + 1 >= len(source)  # as long as the source, eos included, with certainty
        return [-math.inf, -math.inf, 0.0 if ended else -math.inf, -math.inf if ended else 0.0, -math.inf]

    stepper = TableStepper(by_source)
    results = beam_search(stepper, [[5, EOS], [5, 5, 5, EOS], [EOS]], search=settings(beam=2))
    assert found(results) == [[[A]], [[A, A, A]], [[]]]
    assert stepper.num_rows == [3, 4, 2, 2]


def test_a_hypothesis_that_never_ends_is_cut_at_its_maximum_length():
    endless = written({(): [0.0, 0.75, 0.25]} | {(A,) * n: [0.0, 0.75, 0.25] for n in range(1, 9)})
    search = settings(beam=1, max_ratio=0.5, max_extra=1, max_length=None)
    results = beam_search(TableStepper(endless), [[5, EOS], [5, 5, 5, EOS]], search=search)
    assert found(results) == [[[A, A]], [[A, A, A]]]
    assert not results[0][0].finished
    assert results[0][0].score == pytest.approx(math.log(0.75))


def test_unfinished_hypotheses_rank_behind_finished_ones():
    table = written({(): [0.1, 0.9, 0.0], (A,): [0.0, 0.5, 0.5]})
    first, second = search_one(table, beam=2, nbest=2, max_length=2)
    assert (first.tokens, first.finished) == ([], True)
    assert (second.tokens, second.finished) == ([A, A], False)
    assert first.score < second.score


@pytest.mark.parametrize("beam", [1, 3])
def test_a_sentence_without_any_allowed_piece_ends_where_it_stands(beam):
    rules = [ForcedPrefix([[A, B]]), BanTokens([B])]
    [best] = search_one(drawn(1), rules=rules, beam=beam)
    assert (best.tokens, best.finished, best.token_log_probs) == ([A], False, [best.log_prob])
    assert best.score == best.log_prob < 0  # over a length of 1
    [best] = search_one(drawn(1), rules=[BanTokens(range(5))], beam=beam)
    assert (best.tokens, best.finished, best.score, best.log_prob) == ([], False, 0.0, 0.0)


def test_a_beam_wider_than_the_vocabulary_has_empty_places():
    table = written({(): [0.5, 0.5, 0.0], (A,): [1.0, 0.0, 0.0]})
    assert found([search_one(table, beam=8, nbest=8)]) == [[[A], []]]  # log(0.5) / 2 above log(0.5) / 1


def test_empty_places_are_not_taken_for_ends_when_the_end_mark_is_piece_0():
    def toss(_source, _prefix):
        return [math.log(0.5), -math.inf, -math.inf, math.log(0.5), -math.inf]

    search = Search(bos=BOS, eos=0, pad=2, beam=8, nbest=8, length_penalty=0.0, max_length=2, patience=None)
    hypotheses = beam_search(TableStepper(toss), [[3, 0]], search=search)[0]
    assert [(h.tokens, h.finished) for h in hypotheses] == [([], True), ([A], True), ([A, A], False)]


def test_pad_and_bos_are_never_produced_unless_they_are_the_end_mark():
    def sure_of_pad(_source, _prefix):
        return [0.0, 0.0, -5.0, -4.0, -9.0]

    assert search_one(sure_of_pad, beam=1, max_length=2)[0].tokens == [A, A]
    assert search_one(sure_of_pad, beam=2, max_length=2, length_penalty=0.0)[0].tokens == []
    search = Search(bos=EOS, eos=EOS, pad=PAD, beam=2, nbest=1)
    assert search.never().tokens.tolist() == [PAD]


def test_no_sentences_give_no_lists():
    assert beam_search(TableStepper(drawn(1)), [], search=settings(beam=2)) == []
    assert beam_search(TableStepper(drawn(1)), [], search=settings(beam=1)) == []


def test_equal_totals_prefer_the_lower_beam_then_the_lower_id():
    log_probs = torch.tensor([[-1.0, -1.0, -2.0], [-0.0 - 1.0, -2.0, -2.0]])
    candidates = expand(torch.tensor([[-1.0, -1.0]]), log_probs, 4)
    assert candidates.total.tolist() == [[-2.0, -2.0, -2.0, -3.0]]
    assert candidates.beam.tolist() == [[0, 0, 1, 0]]
    assert candidates.token.tolist() == [[0, 1, 0, 2]]


@given(st.integers(1, 40 * BLOCK), st.integers(1, 12), seeds, st.booleans())
def test_best_tokens_are_the_first_of_a_stable_sort(width, size, seed, coarse):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((3, width), generator=generator)
    if coarse:
        values = values.round()
        values[values > 1] = -torch.inf
    size = min(size, width)
    expected, ids = (values + 0.0).sort(dim=1, descending=True, stable=True)
    best, chosen = best_tokens(values + 0.0, size)
    assert torch.equal(best, expected[:, :size])
    assert torch.equal(chosen, ids[:, :size])


@given(st.integers(1, 5 * BLOCK), st.integers(1, 4), st.integers(1, 12), seeds, st.booleans())
def test_candidates_are_the_first_of_a_stable_sort_of_all_totals(width, beams, size, seed, coarse):
    generator = torch.Generator().manual_seed(seed)
    log_probs = torch.randn((2 * beams, width), generator=generator)
    log_prob = torch.randn((2, beams), generator=generator)
    if coarse:
        log_probs, log_prob = log_probs.round(), log_prob.round()
    totals = (log_prob.view(-1, 1) + log_probs).view(2, -1)
    size = min(size, totals.shape[1])
    expected, places = totals.sort(dim=1, descending=True, stable=True)
    found = expand(log_prob, log_probs, size)
    assert torch.equal(found.total, expected[:, :size])
    assert torch.equal(found.beam * width + found.token, places[:, :size])
    assert torch.equal(found.token_log_prob, log_probs.view(2, -1).gather(1, places[:, :size]))


@given(st.integers(1, 5 * BLOCK), seeds, st.booleans())
def test_the_best_token_is_the_first_of_the_highest(width, seed, coarse):
    values = torch.randn((3, width), generator=torch.Generator().manual_seed(seed))
    values = values.round() if coarse else values
    log_prob, token = best_token(values + 0.0)
    assert torch.equal(log_prob, values.amax(1))
    assert token.tolist() == [row.tolist().index(max(row.tolist())) for row in values]


@given(seeds, sources)
def test_the_loop_with_one_beam_is_greedy_when_there_is_no_penalty(seed, source):
    stepper = TableStepper(drawn(seed, num_words=3))
    search = settings(beam=1, length_penalty=0.0, max_length=6)
    assert search_beams(stepper, source, search, ()) == beam_search(stepper, source, search=search)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam": 0}, "`decode.beam` must be positive, but is 0."),
        ({"beam": 2, "nbest": 3}, r"`decode.nbest` must lie between 1 and `decode.beam` \(2\), but is 3."),
        ({"nbest": 0}, r"`decode.nbest` must lie between 1 and `decode.beam` \(5\), but is 0."),
        (
            {"beam": 4, "groups": 3},
            r"`decode.groups` must be positive and divide `decode.beam` \(4\), but is 3. hint: take .*",
        ),
        ({"groups": 0}, "`decode.groups` must be positive, but is 0."),
        ({"diversity": -0.5}, "`decode.diversity` must not be negative, but is -0.5."),
        ({"length_penalty": -1.0}, "`decode.length_penalty` must not be negative, but is -1.0."),
        ({"max_ratio": 0.0}, "`decode.max_ratio` must be positive, but is 0.0."),
        ({"max_extra": -1}, "`decode.max_extra` must not be negative, but is -1."),
        ({"max_length": 0}, "`decode.max_length` must be positive or null, but is 0."),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        settings(**changes)


def test_maximum_lengths():
    search = Search(bos=BOS, eos=EOS, pad=PAD, max_ratio=1.5, max_extra=2)
    assert search.max_lengths([[EOS], [3, 3, EOS]]) == [3, 6]
    assert settings(max_ratio=0.1, max_extra=0).max_lengths([[EOS]]) == [1]
    assert settings(max_length=7).max_lengths([[EOS]]) == [7]
