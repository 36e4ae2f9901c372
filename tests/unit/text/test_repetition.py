"""Loops are found, and what languages repeat by themselves is none."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import in_linear_time

from mt.text.repetition import Loop, loop, loops


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The bus had had had had to go", Loop("had", 3)),
        ("The BUS, the bus. The bus!", Loop("the bus", 4)),
        ("It is to be able to be able to go", Loop("to be able", 4)),  # the second round goes on
        ("on behalf of the Committee on behalf of the Union", Loop("on behalf of the committee", 4)),
        ("Thhhhe end", Loop("h", 3)),
        ("The stststst end", Loop("st", 3)),
        ("今天今天今天今天", Loop("今 天", 6)),
        ("a b c d e f g k l m a b c d e f g n o p q a b c d e f g r s t a b c d e f g", Loop("a b c", 15)),  # apart
        ("A dog runs, and a dog sleeps.", None),
        ("It had had an effect", None),
        ("That is very, very good, and very, very old", None),
        ("again and again and", None),
        ("The more I see the more I know", None),
        ("1000000 and 111111", None),
        ("ははは", None),
        ("", None),
    ],
)
def test_loops_by_hand(text, found):
    assert loop(text) == found


@pytest.mark.parametrize(
    ("text", "source", "found"),
    [
        ("no, no, no, no", "nein, nein, nein, nein", False),
        ("no, no, no, no", "nein, nein", True),
        ("no no no no no no no no no", "nein nein nein", True),  # more than its source
        ("Ha ha ha!", "Hahahahaha!", False),
    ],
)
def test_what_the_source_repeats_is_no_loop_of_its_translation(text, source, found):
    assert (loops(text, source) is not None) is found


@given(st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=6, unique=True), st.integers(2, 6))
def test_every_repeated_phrase_is_found_whole(words, rounds):
    found = loop(" ".join(words * rounds))
    assert found is not None and found.text == " ".join(words) and found.words == len(words) * (rounds - 1)


@given(st.lists(st.sampled_from([a + b for a in "bcdf" for b in "aeiou"]), unique=True, max_size=20))
def test_different_words_are_never_a_loop(words):
    assert loop(" ".join(words)) is None


def test_a_long_text_does_not_take_long():
    draw = random.Random(0)
    text = " ".join(
        draw.choices(["the", "dog", "sees", "a", "big", "red", "cat", "and", "house", "or", "tree"], k=40_000)
    )
    with in_linear_time():
        assert loop(text) is not None
