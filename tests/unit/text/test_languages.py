"""Languages of files, by stretches of text."""

import pytest

from mt.text.languages import alike, identify, is_known, plain_code, shares

ENGLISH = ["The weather was bad, so we stayed at home and read the whole afternoon."] * 20
GERMAN = ["Das Wetter war schlecht, deshalb blieben wir zu Hause und lasen den ganzen Nachmittag."] * 20


def test_languages_of_lines():
    assert identify(GERMAN[0]) == "de" and identify(ENGLISH[0], ("en", "de")) == "en"
    assert shares(ENGLISH) == {"en": 1.0} and shares([]) == {}
    assert next(iter(shares([*ENGLISH, *GERMAN[:4]]))) == "en"


@pytest.mark.parametrize(
    ("code", "plain"),
    [("en", "en"), ("zh-TW", "zh"), ("zho_Hans", "zh"), ("swa", "sw"), ("EN_us", "en"), ("tlh", "tlh")],
)
def test_codes(code, plain):
    assert plain_code(code) == plain


def test_what_can_be_told_apart():
    assert is_known("eng") and not is_known("tlh") and not is_known("src")
    assert alike("no", "nb") and alike("en-GB", "eng") and not alike("en", "de")
