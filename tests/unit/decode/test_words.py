"""Where words begin and end."""

import pytest

from mt.decode.words import occurs


@pytest.mark.parametrize(
    ("term", "text", "there"),
    [
        ("cat", "the cat sat", True), ("cat", "cat", True), ("cat", "a catalog", False), ("cat", "bobcat", False),
        ("cat", "a catalog of cat, and", True), ("cat", "(cat)", True), ("cat", "cat-like", True),
        ("cat", "cat_2", False), ("cat", "Cat", False), ("black cat", "a black cat.", True),
        ("C++", "C++20 or C++, C++", True), ("C++", "XC++", False), ("猫", "黒猫が", True), ("पानी", "पानी।", True),
        ("क", "कि", False),  # a vowel sign belongs to its letter
        ("cafe", "cafe\u0301", False), ("x", "", False),
    ],
)  # fmt: skip
def test_a_term_stands_as_whole_words(term, text, there):
    assert occurs(term, text) == there
