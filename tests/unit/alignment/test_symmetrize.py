"""Two directions made one: tables worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.alignment.symmetrize import HEURISTICS, grow_diag

links = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=10)

#      target 0 1 2 3            F: forward only, B: backward only, X: both
# source 0    X . . .            grow-diag starts from 0-0 and 2-2; 1-1 is beside 0-0 and both its words are bare;
#        1    . F . .            2-1 is then beside, but both its words have links. 3-3 is beside 2-2, bare both.
#        2    . B X .            4-0 has no neighbour; its source word is bare, its target word is not.
#        3    . . . B            5-4 has no neighbour, and both words bare.
#        4    F . . .
#        5    . . . . B (4)
FORWARD = {(0, 0), (1, 1), (2, 2), (4, 0)}
BACKWARD = {(0, 0), (2, 1), (2, 2), (3, 3), (5, 4)}
GROWN = {(0, 0), (1, 1), (2, 2), (3, 3)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("intersection", {(0, 0), (2, 2)}),
        ("union", FORWARD | BACKWARD),
        ("grow-diag", GROWN),
        ("grow-diag-final", GROWN | {(4, 0), (5, 4)}),
        ("grow-diag-final-and", GROWN | {(5, 4)}),
    ],
)
def test_a_table_worked_by_hand(name, expected):
    assert HEURISTICS[name](FORWARD, BACKWARD) == expected


def test_growing_goes_on_from_what_has_grown():
    chain = {(0, 0), (1, 1), (2, 2), (3, 3)}
    assert grow_diag({(0, 0)}, chain) == chain


def test_a_neighbour_is_not_added_when_both_its_words_have_links():
    assert grow_diag({(0, 0), (1, 1), (0, 1)}, {(0, 0), (1, 1)}) == {(0, 0), (1, 1)}


@given(links, links)
def test_every_heuristic_lies_between_intersection_and_union(forward, backward):
    for heuristic in HEURISTICS.values():
        assert forward & backward <= heuristic(forward, backward) <= forward | backward


@given(links)
def test_directions_that_agree_stay_as_they_are(some):
    for heuristic in HEURISTICS.values():
        assert heuristic(some, some) == some


@given(links, links)
def test_final_covers_every_word_that_either_direction_links(forward, backward):
    final = HEURISTICS["grow-diag-final"](forward, backward)
    for side in (0, 1):
        assert {link[side] for link in final} == {link[side] for link in forward | backward}
