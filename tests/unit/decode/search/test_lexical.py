"""Terms that must appear: progress by hand on four words, and searches on random tables, which always have them."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as patience
from hypothesis import strategies as st
from table import EOS, TableStepper, drawn, exhaustive_search, settings, written

from mt.decode.search.beam import beam_search
from mt.decode.search.beam_allocation import in_turn
from mt.decode.search.lexical import LONGEST, Form, LexicalConstraints
from mt.decode.search.rules import BanTokens
from mt.errors import ConfigError

# By hand: 0 is the end, 1 "▁a", 2 "b", 3 "▁c"; 2 goes on with a word, the others begin one.
OPENS = torch.tensor([True, True, False, True])


def one(*terms, opens=OPENS):
    return LexicalConstraints(
        [[[form if isinstance(form, Form) else Form(form) for form in term] for term in terms]], opens_word=opens
    )


def state_after(constraints, tokens):
    """(met, may end, left, wanted) of a hypothesis."""
    progress = constraints.start()
    for token in tokens:
        progress = constraints.follow(progress, torch.tensor([[token]]))
    wanted = [token for token in constraints.wanted(progress)[0, 0].tolist() if token >= 0]
    return (
        progress.met[0, 0].tolist(),
        constraints.may_end(progress).item(),
        constraints.left(progress).item(),
        sorted(wanted),
    )


@pytest.mark.parametrize(
    ("tokens", "met", "may_end", "left", "wanted"),
    [
        ([], False, False, 2, [1]),
        ([1], False, False, 1, [1, 2]),
        ([3], False, False, 2, [1]),
        ([1, 2], False, True, 0, [1]),  # written: it counts if the sentence ends, or if a word begins
        ([1, 2, 3], True, True, 0, []),
        ([1, 2, 2], False, False, 2, [1]),  # "abb" is another word
        ([1, 1], False, False, 1, [1, 2]),
        ([1, 2, 1], True, True, 0, []),
    ],
)
def test_a_word_of_two_pieces(tokens, met, may_end, left, wanted):
    assert state_after(one([(1, 2)]), tokens) == ([met], may_end, left, wanted)


@pytest.mark.parametrize(
    ("tokens", "met", "may_end", "left"),
    [
        ([], [False, False], False, 3),
        ([1], [False, False], False, 2),  # "▁a" is written, and "▁a b" begun: one of the two is credited
        ([1, 2], [False, False], False, 1),
        ([1, 3], [True, False], False, 2),
        ([1, 2, 1], [False, True], True, 0),
        ([1, 3, 1, 2], [True, False], True, 0),
    ],
)
def test_two_words_that_begin_alike(tokens, met, may_end, left):
    assert state_after(one([(1,)], [(1, 2)]), tokens)[:3] == (met, may_end, left)


def test_overlaps_are_followed():
    constraints = one([(1, 1, 3)])
    assert state_after(constraints, [1, 1, 1])[2] == 1
    assert state_after(constraints, [1, 1, 1, 3])[1]
    assert state_after(constraints, [1, 1, 1, 2])[2] == 3


def test_any_form_will_do():
    constraints = one([(1, 2, 2), (3,)])
    assert state_after(constraints, []) == ([False], False, 1, [1, 3])
    assert state_after(constraints, [1, 2]) == ([False], False, 1, [1, 2, 3])
    assert state_after(constraints, [1, 2, 2, 1])[0] == [True]
    assert state_after(constraints, [3])[1:3] == (True, 0)


def test_where_no_space_ends_a_word_it_is_over_when_it_is_written():
    assert state_after(one([Form((1, 2), open_ended=True)]), [1, 2, 2])[0] == [True]


def test_sentences_without_terms_are_done():
    constraints = LexicalConstraints([[], [[Form((1,))]]], opens_word=OPENS)
    start = constraints.start()
    assert constraints.may_end(start).tolist() == [[True], [False]]
    assert constraints.left(start).tolist() == [[0], [1]]
    assert constraints.wanted(start).amax(2).tolist() == [[-1], [1]]
    alone = constraints.select(torch.tensor([0]))
    assert alone.may_end(alone.start()).tolist() == [[True]]
    nothing = LexicalConstraints([[], []], opens_word=OPENS)
    assert nothing.left(nothing.start()).tolist() == [[0], [0]]


@pytest.mark.parametrize("length", [0, LONGEST + 1])
def test_forms_without_pieces_or_with_too_many_are_refused(length):
    with pytest.raises(ConfigError, match=rf"^`glossary` must ask for terms of 1 to 62 tokens, but is {length}\.$"):
        one([(1,) * length])


def test_the_longest_form_is_followed_to_its_end():
    tokens = [1, *[2] * (LONGEST - 1)]
    assert state_after(one([tuple(tokens)]), tokens)[1:3] == (True, 0)
    assert state_after(one([tuple(tokens)]), tokens[:-1])[1:3] == (False, 1)


def test_banks_take_turns():
    total = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0, -torch.inf]])
    left = torch.tensor([[2, 2, 2, 1, 0, 0]])
    assert in_turn(total, left)[0].tolist() == [4, 3, 0, 1, 2, 5]
    assert in_turn(total, torch.zeros_like(left))[0].tolist() == [0, 1, 2, 3, 4, 5]


# In searches: 3 "▁A", 4 "▁B" begin words, 5 "c", 6 "d" go on with them.
OPENS_MORE = torch.tensor([False, False, True, True, True, False, False])
form = st.builds(
    lambda first, rest: Form((first, *rest)), st.sampled_from([3, 4]), st.lists(st.integers(3, 6), max_size=2)
)
term = st.lists(form, min_size=1, max_size=2)
required = st.lists(term, max_size=3)
seeds = st.integers(0, 10**6)


def has(tokens, forms):
    """Whether one of the forms stands among the tokens as whole words."""
    ends = {len(tokens)} | {place for place, token in enumerate(tokens) if OPENS_MORE[token]}
    return any(
        tuple(tokens[i : i + len(form.tokens)]) == form.tokens and i + len(form.tokens) in ends
        for form in forms
        for i in range(len(tokens))
    )


@given(seeds, st.lists(required, min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 12), st.data())
@patience(max_examples=60)
def test_every_term_appears_where_there_is_room(seed, wishes, beam, longest, data):
    nbest = data.draw(st.integers(1, beam))
    search = settings(beam=beam, nbest=nbest, max_length=longest)
    source = [[3 + i, EOS] for i in range(len(wishes))]
    constraints = LexicalConstraints(wishes, opens_word=OPENS_MORE)
    results = beam_search(TableStepper(drawn(seed, num_words=4)), source, search=search, constraints=constraints)
    for found, wish in zip(results, wishes, strict=True):
        needed = sum(min(len(form.tokens) for form in forms) for forms in wish)
        assert found
        for hypothesis in found:
            if hypothesis.finished or needed + 1 <= longest:
                assert all(has(hypothesis.tokens, forms) for forms in wish)
            else:
                assert len(hypothesis.tokens) == longest
        assert len({tuple(hypothesis.tokens) for hypothesis in found}) == len(found)


@given(seeds, st.lists(required, min_size=2, max_size=3), st.integers(2, 4))
@patience(max_examples=15)
def test_a_sentence_does_not_depend_on_its_batch(seed, wishes, beam):
    search = settings(beam=beam, nbest=beam, max_length=8)
    stepper = TableStepper(drawn(seed, num_words=4))
    source = [[3 + i, EOS] for i in range(len(wishes))]
    together = beam_search(
        stepper, source, search=search, constraints=LexicalConstraints(wishes, opens_word=OPENS_MORE)
    )
    for sentence, wish, found in zip(source, wishes, together, strict=True):
        alone = LexicalConstraints([wish], opens_word=OPENS_MORE)
        assert beam_search(stepper, [sentence], search=search, constraints=alone) == [found]


@given(seeds, st.integers(2, 4), st.booleans())
@patience(max_examples=15)
def test_sentences_without_terms_are_translated_as_ever(seed, beam, coarse):
    search = settings(beam=beam, nbest=beam, max_length=6)
    stepper = TableStepper(drawn(seed, num_words=4, coarse=coarse))
    source = [[3, EOS], [4, EOS]]
    constraints = LexicalConstraints([[], [[Form((3, 5))]]], opens_word=OPENS_MORE)
    assert (
        beam_search(stepper, source, search=search, constraints=constraints)[0]
        == beam_search(stepper, source, search=search)[0]
    )


@given(
    seeds, st.sampled_from([[[(3,)]], [[(3, 5)]], [[(3,)], [(4, 6)]], [[(3, 5), (4,)]]]), st.integers(3, 4), st.data()
)
@patience(max_examples=25)
def test_a_beam_as_wide_as_the_tree_finds_the_best_that_have_the_terms(seed, wish, longest, data):
    table = drawn(seed, num_words=4)
    nbest = data.draw(st.integers(1, 9))
    penalty = data.draw(st.sampled_from([0.0, 1.0, 2.0]))
    search = settings(beam=5 * 4 ** (longest - 1), nbest=nbest, length_penalty=penalty, max_length=longest)
    wish = [[Form(tokens) for tokens in forms] for forms in wish]
    constraints = LexicalConstraints([wish], opens_word=OPENS_MORE)
    hypotheses = beam_search(TableStepper(table), [[3, EOS]], search=search, constraints=constraints)[0]
    every = exhaustive_search(table, [3, EOS], search)
    best = [entry for entry in every if entry[2] and all(has(entry[1], forms) for forms in wish)][:nbest]
    hypotheses = [h for h in hypotheses if h.finished]
    assert [h.tokens for h in hypotheses] == [tokens for _, tokens, _ in best]
    assert [h.score for h in hypotheses] == pytest.approx([score for score, _, _ in best], rel=1e-5)


def test_a_rule_at_odds_with_a_term_leaves_the_sentence_unfinished():
    search = settings(beam=3, max_length=4)
    constraints = LexicalConstraints([[[Form((3, 5))]]], opens_word=OPENS_MORE)
    stepper = TableStepper(drawn(1, num_words=4))
    [[best]] = beam_search(stepper, [[3, EOS]], search=search, constraints=constraints, rules=[BanTokens([5])])
    assert not best.finished


def test_one_beam_says_the_term_too():
    table = written({(): [0.9, 0.1, 0.0], (3,): [1.0, 0.0, 0.0]})
    constraints = LexicalConstraints([[[Form((3,))]]], opens_word=OPENS_MORE[:5])
    [[best]] = beam_search(TableStepper(table), [[3, EOS]], search=settings(beam=1), constraints=constraints)
    assert (best.tokens, best.finished) == ([3], True)


def test_terms_and_groups_are_too_much():
    constraints = LexicalConstraints([[[Form((3,))]]], opens_word=OPENS_MORE)
    with pytest.raises(
        ConfigError, match=r"^a glossary's terms cannot be required with `decode\.groups`\. hint: leave out"
    ):
        beam_search(TableStepper(drawn(1)), [[3, EOS]], search=settings(beam=4, groups=2), constraints=constraints)
