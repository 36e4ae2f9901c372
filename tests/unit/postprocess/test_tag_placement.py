"""The placement of runs of words, from links alone."""

import pytest

from mt.postprocess.tag_placement import Links


def nudged(weight):
    """One target word for each; equal but for rounding, and the later one is the greater."""
    return [(0, 0, weight), (0, 1, weight + 1e-8)]


@pytest.mark.parametrize("weight", [0.1, 0.3, 1.0])
def test_of_equal_target_words_the_first_is_taken_whatever_rounding_says(weight):
    links = Links(nudged(weight), 2)
    assert links.single(range(1), [True, True], 0) == (0, 1)
    beside = [(1, 0, 2 * weight), (1, 1, 2 * weight), *nudged(weight)]  # both looked most at the other source word
    assert Links(beside, 2).best_run(range(1), [True, True], 0) == (0, 1)


def test_of_equal_source_words_the_first_was_looked_at_most():
    assert Links([(1, 0, 0.1 + 0.2), (0, 0, 0.3)], 1).most == [0]
    assert Links([(0, 0, 0.3), (1, 0, 0.4)], 1).most == [1]
    assert Links([], 1).most == [None]


def test_of_equal_runs_the_first_is_taken_whatever_rounding_says():
    # the first and the fourth word are wanted, and what they are worth differs by rounding alone; two foreign between
    soft = [(0, 0, 0.7), (1, 0, 0.3), (2, 1, 1.0), (2, 2, 1.0), (0, 3, 0.7), (1, 3, 0.3 - 1e-8)]
    assert Links(soft, 4).best_run(range(1), [True] * 4, 0) == (0, 1)
