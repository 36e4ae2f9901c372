"""Two hidden Markov models that agree: against an enumeration of all alignments, and on small texts."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.alignment.heads import hard_links, joint_links, turned
from mt.alignment.hmm import MAX_JUMP, NULL_SHARE, Direction, HmmAligner, forward_backward

HOUSES = ["das haus", "das buch", "ein buch", "ein haus", "das kleine haus"]
ENGLISH = ["the house", "the book", "a book", "a house", "the small house"]


def written_out(words, null, steps):
    """Posteriors and expected steps of one pair, from all sequences of states."""
    length, places = words.shape
    posteriors, moves, total = np.zeros((length, places + 1)), np.zeros((places + 1, places)), 0.0
    for path in product(range(places + 1), repeat=length):
        # when null emits the first word, the model waits in some state
        for start in range(places) if path[0] == places else [path[0]]:
            prob, at, taken = steps[0, start], start, [(0, start)]
            for j, state in enumerate(path):
                if state == places:
                    prob *= NULL_SHARE * null[j]
                    continue
                prob *= (1 - NULL_SHARE) * words[j, state]
                if j:
                    prob *= steps[at + 1, state]
                    taken.append((at + 1, state))
                at = state
            total += prob
            for j, state in enumerate(path):
                posteriors[j, state] += prob
            for step in taken:
                moves[step] += prob
    return posteriors / total, moves / total


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 99))
def test_posteriors_are_those_of_all_alignments_written_out(places, length, seed):
    random = np.random.default_rng(seed)
    words, null = random.uniform(0.01, 1, (2, length, places)), random.uniform(0.01, 1, (2, length))
    steps = random.dirichlet(np.ones(places), places + 1)
    posteriors, moves = forward_backward(words, null, steps)
    expected = [written_out(w, a, steps) for w, a in zip(words, null, strict=True)]
    np.testing.assert_allclose(posteriors, [one for one, _ in expected], atol=1e-12)
    np.testing.assert_allclose(moves, sum(one for _, one in expected), atol=1e-12)


def test_with_uniform_jumps_words_are_independent():
    words, null = np.array([[[0.5, 0.25], [0.1, 0.3]]]), np.array([[0.5, 0.2]])
    found, _ = Direction(np.ones(1), np.ones(1)).posteriors(words, null)
    # 0.8 / 2 * (0.5, 0.25) and 0.2 * 0.5 are (0.2, 0.1, 0.1); 0.4 * (0.1, 0.3) and 0.2 * 0.2 are (0.04, 0.12, 0.04)
    np.testing.assert_allclose(found, [[[0.5, 0.25, 0.25], [0.2, 0.6, 0.2]]])
    jumping, _ = Direction(np.ones(1), np.ones(1), np.ones(2 * MAX_JUMP + 1)).posteriors(words, null)
    np.testing.assert_allclose(jumping, found)


def test_jumps_are_counted_by_their_length():
    words = np.full((1, 3, 3), 1e-9)
    words[0, [0, 1, 2], [2, 0, 1]] = 1  # from the begin to the third word, then two back, then one on
    _, jumps = Direction(np.ones(1), np.ones(1), np.ones(2 * MAX_JUMP + 1)).posteriors(words, np.full((1, 3), 1e-9))
    assert jumps[[MAX_JUMP - 2, MAX_JUMP + 1, MAX_JUMP + 3]] == pytest.approx([1, 1, 1], abs=1e-6)
    assert jumps.sum() == pytest.approx(3, abs=1e-6)


def links(aligner, sources, targets):
    return [joint_links(there, back, 0.5) for there, back in aligner.weights(sources, targets)]


def test_words_that_occur_together_in_several_pairs_are_linked():
    aligner = HmmAligner(HOUSES, ENGLISH)
    assert links(aligner, HOUSES, ENGLISH) == [{(i, i) for i in range(len(line.split()))} for line in HOUSES]


def test_reversed_word_order_is_learnt():
    numbers = [np.random.default_rng(n).choice(20, 5, replace=False) for n in range(60)]
    sources = [" ".join(f"s{n}" for n in some) for some in numbers]
    targets = [" ".join(f"t{n}" for n in some[::-1]) for some in numbers]
    for there, back in HmmAligner(sources, targets).weights(sources, targets):
        assert hard_links(there, 0.5) == turned(hard_links(back, 0.5)) == {(i, 4 - i) for i in range(5)}


def test_a_word_without_a_counterpart_is_not_linked():
    sources = [f"{a} {b}" for a, b in product("abcdef", repeat=2) if a != b]
    targets = [f"{line.upper()} ." for line in sources]
    aligner = HmmAligner(sources, targets)
    assert links(aligner, sources, targets) == [{(0, 0), (1, 1)}] * len(sources)


def test_other_text_empty_lines_and_unknown_words():
    aligner = HmmAligner([*HOUSES, ""], [*ENGLISH, ""])
    sources, targets = ["", "das haus", "ein auto", "das"], ["a", "", "a car", "the the the"]
    found = list(aligner.weights(sources, targets))
    assert [tuple(way.shape) for pair in found for way in pair] == [
        (1, 1), (0, 2), (0, 3), (2, 1), (2, 3), (2, 3), (3, 2), (1, 4)
    ]  # fmt: skip
    assert joint_links(*found[2], 0.5) == {(0, 0), (1, 1)}
    for there, back in found[2:]:
        for way in (there, back):
            np.testing.assert_allclose(way.sum(1), 1, atol=1e-6)


@given(st.permutations(range(len(HOUSES))))
def test_the_order_of_pairs_does_not_matter(order):
    aligner, other = HmmAligner(HOUSES, ENGLISH), HmmAligner([HOUSES[i] for i in order], [ENGLISH[i] for i in order])
    for ours, theirs in zip(aligner.weights(HOUSES, ENGLISH), other.weights(HOUSES, ENGLISH), strict=True):
        for way, same in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(way, same, atol=1e-6)


def test_nothing_to_learn_from():
    assert [tuple(there.shape) for there, _ in HmmAligner([], []).weights(["a b"], ["c"])] == [(1, 3)]


def test_training_starts_from_the_given_posteriors():
    # each word occurs once, so only the given posteriors say which belong together
    crossed = torch.tensor([[0.1, 0.9, 0.0], [0.9, 0.1, 0.0]])
    aligner = HmmAligner(["a b"], ["x y"], [(crossed, crossed)])
    assert links(aligner, ["a b"], ["x y"]) == [{(0, 1), (1, 0)}]
    assert links(HmmAligner(["a b"], ["x y"]), ["a b"], ["x y"]) != [{(0, 1), (1, 0)}]


def test_lines_of_too_many_words_get_no_links_and_are_named(caplog, monkeypatch):
    """The time of a pair grows with the cube of its words: two lines of 3,000 took longer than ten minutes."""
    long = ("the house " * 30, "das haus " * 30)
    pairs = [*zip(ENGLISH, HOUSES, strict=True)]
    plain = [pair[0] for pair in HmmAligner(ENGLISH, HOUSES).weights(ENGLISH, HOUSES)]
    monkeypatch.setattr("mt.alignment.hmm.BLOCK_LINKS", 1000)
    sources, targets = zip(*pairs[:2], long, *pairs[2:], long, strict=True)
    found = list(HmmAligner(sources, targets).weights(sources, targets))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told[0] == (
        "2 pairs without links, because lines of so many words take too long: the first is line 3, with 60 and "
        "60 words."
    )
    for there, back in (found[2], found[6]):
        assert there.shape == back.shape == (60, 61)
        assert not hard_links(there, 0.5) and float(there[:, :-1].sum()) == 0 and float(back[:, -1].min()) == 1
    kept = [there for there, _ in (*found[:2], *found[3:6])]
    assert all(torch.allclose(one, other) for one, other in zip(kept, plain, strict=True))
    (only,) = HmmAligner(long[:1], long[1:]).weights(long[:1], long[1:])
    assert not hard_links(only[0], 0.5)
