"""Each test of a single pair by hand, on both sides of what it tells apart."""

import pytest

from mt.data.clean import suspicion
from mt.data.corpus.pair import Origin, Pair

EN = "She has been waiting for the bus since this morning."
DE = "Sie wartet seit heute Morgen auf den Bus und friert."
RU = "Она с самого утра стоит на остановке и ждёт автобус."
NAMES = "Kudos kept pouring in - from Grenada, Guyana and Trinidad and Tobago."  # looks like another language at first


def pair(src, tgt):
    return Pair(src, tgt, Origin("a.tsv", 1))


@pytest.mark.parametrize(
    ("src", "tgt", "wrong"),
    [(EN, DE, False), (DE, DE, True), (EN, EN, True), (EN, RU, True), (NAMES, DE, False), ("Она", DE, False),
     (EN, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18", False)],
)  # fmt: skip
def test_other_languages(src, tgt, wrong):
    assert suspicion.in_other_language(pair(src, tgt), "en", "de") is wrong


@pytest.mark.parametrize(
    ("src", "tgt", "swapped"),
    [(EN, DE, False), (DE, EN, True), (DE, DE, False), (EN, EN, False), (DE[:39], EN, False), (DE, EN[:39], False)],
)
def test_swapped_sides(src, tgt, swapped):
    assert suspicion.looks_swapped(pair(src, tgt), "en", "de") is swapped


@pytest.mark.parametrize(
    ("src", "tgt", "differ"),
    [("In 1998", "1998", False), ("In 1998", "1989", True), ("7 dogs", "sieben Hunde", False), ("12", "zwölf", True),
     ("1,250.50 euros", "1.250,50 Euro", False), ("the 27th", "der 27.", False), ("12 and 12", "12", True)],
)  # fmt: skip
def test_numbers(src, tgt, differ):
    assert suspicion.numbers_differ(pair(src, tgt)) is differ


@pytest.mark.parametrize(
    ("text", "markup"),
    [("a <b>bold</b> word", True), ("fish &amp; chips", True), ("%s files", True), ("{name} left", True),
     ("3 < 4 and 5 > 2", False), ("100% of it", False), ("AT&T", False), ("{a b}", False)],
)  # fmt: skip
def test_markup(text, markup):
    assert suspicion.has_markup(pair(text, "x")) is markup
    assert suspicion.has_markup(pair("x", text)) is markup
