"""Two spellings of one letter are told, and two letters are not taken for one."""

from unicodedata import normalize

import pytest

from mt.text.spelling import Spellings


def odd(lines, language="fa", signs=None):
    spellings = Spellings(language, set() if signs is None else signs)
    for number, line in enumerate(lines, 1):
        spellings.add(line, f"a:{number}")
    return [(str(one), one.lines, one.first) for one in spellings.found()]


@pytest.mark.parametrize(
    ("language", "usual", "other", "told"),
    [
        ("fa", "یک کتاب", "يک کتاب", "ي (U+064A), elsewhere ی (U+06CC)"),
        ("fa", "علی", "على", "ى (U+0649), elsewhere ی (U+06CC)"),
        ("ar", "كتاب", "کتاب", "ک (U+06A9), elsewhere ك (U+0643)"),
        ("ur", "ہم", "هم", "ه (U+0647), elsewhere ہ (U+06C1)"),
        ("ro", "și", "şi", "ş (U+015F), elsewhere ș (U+0219)"),
        ("tr", "şu", "șu", "ș (U+0219), elsewhere ş (U+015F)"),
        ("th", "น้ำ", "น้ํา", "ํา (U+0E4D U+0E32), elsewhere ำ (U+0E33)"),
        ("th", "แม่", "เเม่", "เเ (U+0E40 U+0E40), elsewhere แ (U+0E41)"),
        ("ar", "سلام", "ﺳلام", "ﺳ (U+FEB3), elsewhere س (U+0633)"),
        ("ja", "カメラ", "ｶメラ", "ｶ (U+FF76), elsewhere カ (U+30AB)"),
        ("zh", "A 座", "Ａ座", "Ａ (U+FF21), elsewhere A (U+0041)"),
        ("de", "fi", "ﬁ", "ﬁ (U+FB01), elsewhere fi (U+0066 U+0069)"),
        ("fr", "é", normalize("NFD", "é"), "e\u0301 (U+0065 U+0301), elsewhere é (U+00E9)"),
        ("hi", "क\u093c", "\u0958", "\u0958 (U+0958), elsewhere क\u093c (U+0915 U+093C)"),
    ],
)
def test_the_rarer_spelling_is_told(language, usual, other, told):
    assert odd([usual, other, usual], language) == [(told, 1, "a:2")]
    assert odd([usual] * 3, language) == odd([other] * 3, language) == []


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("ar", ["على بيت", "في بيت", "مستشفى"]),  # two letters of Arabic
        ("ps", ["سړی", "دي", "سړی"]),
        ("tr", ["ı", "i", "şey"]),
        ("ar", ["ﷺ محمد صلى الله عليه وسلم"]),  # a sign for words
        ("ja", ["（ＯＫ）。", "！？"]),
        ("en", ["plain", ""]),
    ],
)
def test_what_is_no_second_spelling(language, lines):
    assert odd(lines, language) == []


def test_an_arabic_word_in_persian_does_not_change_what_is_usual():
    assert odd(["یک", "ی", "ى", "ي", "ی"]) == [
        ("ى (U+0649), elsewhere ی (U+06CC)", 1, "a:3"), ("ي (U+064A), elsewhere ی (U+06CC)", 1, "a:4"),
    ]  # fmt: skip
    assert odd(["في"] * 9 + ["على", "ایران"], "ar") == [("ی (U+06CC), elsewhere ي (U+064A)", 1, "a:11")]


def test_letters_of_the_other_side_count():
    signs = set("Zoë")
    assert odd([normalize("NFD", "Zoë")], "nl", signs) == [("e\u0308 (U+0065 U+0308), elsewhere ë (U+00EB)", 1, "a:1")]
