"""Languages of files, by stretches of text."""

import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from mt.errors import ConfigError, MtError
from mt.text import languages
from mt.text.languages import (
    alike,
    check_code,
    has_name,
    identify,
    is_known,
    language_of_tag,
    nearest,
    plain_code,
    probabilities,
    shares,
)

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


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("<2de>", "de"), (">>deu<<", "de"), ("__de__", "de"), ("__zho_Hans__", "zh-Hans"), ("<2pt-BR>", "pt-BR"),
        ("<2number>", ""), ("<copy>", ""), ("<de>", ""), ("de", ""), ("", ""), (">>id<<", "id"), ("<2de> ", ""),
    ],
)  # fmt: skip
def test_the_language_of_a_tag(tag, language):
    assert language_of_tag(tag) == language


def test_what_can_be_told_apart():
    assert is_known("eng") and not is_known("tlh") and not is_known("src")
    assert alike("no", "nb") and alike("en-GB", "eng") and not alike("en", "de")


@pytest.mark.parametrize(("code", "plain"), [("cn", "zh"), ("JP", "ja"), ("kr", "ko"), ("chi", "zh"), ("ger", "de")])
def test_codes_of_countries_and_second_codes(code, plain):
    assert plain_code(code) == plain


@pytest.mark.parametrize("code", ["de", "zho_Hans", "zh-Hans-CN", "tlh", "cn", "kr", "no", "gn", "EN"])
def test_codes_that_are_taken(code):
    assert check_code(code, "--tgt") == code


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("Chinese", "`zh` (Chinese)"),
        ("chinise", "`zh` (Chinese)"),
        ("JAPANESE", "`ja` (Japanese)"),
        ("german", "`de` (German)"),
        ("english text", "`en` (English)"),
    ],
)
def test_what_is_no_code_is_refused_with_the_nearest(wrong, nearest):
    with pytest.raises(ConfigError) as error:
        check_code(wrong, "--tgt")
    assert f"--tgt must be a language code such as de or zho_Hans, but is '{wrong}'. hint: the nearest is" in str(
        error.value
    )
    assert nearest in str(error.value)


@pytest.mark.parametrize("wrong", ["xx", "zz", "", "d", "de_", "中文"])
def test_other_texts_are_no_codes(wrong):
    with pytest.raises(ConfigError, match=r"must be a language code .* the nearest is `[a-z]{2,3}` \("):
        check_code(wrong, "--tgt")


def test_names_of_languages():
    assert has_name("Chinese") and has_name("thai") and not has_name("zh") and not has_name("tgt")


@pytest.mark.parametrize(
    ("names", "language", "found"),
    [
        (["de", "en-GB", "en"], "en", "en"),
        (["en-GB", "en-US"], "en", "en-GB"),
        (["en-GB", "EN_us"], "en-US", "EN_us"),
        (["deu", "ENG"], "en", "ENG"),
        (["German", "english"], "en", "english"),
        (["zh-Hans", "zh-Hant-TW"], "zho_Hant", "zh-Hant-TW"),
        (["zh-Hans"], "zh-Hant", None),
        (["zh"], "zh-Hant", "zh"),
        (["zh", "zh-CN", "zh-TW"], "zh-Hant", "zh-TW"),
        (["zh-CN", "zh_HK"], "zh-TW", "zh_HK"),
        (["zh-TW", "zh"], "zh-CN", "zh"),
        (["zh-TW"], "zh-CN", None),
        (["zh-TW"], "zh", "zh-TW"),
        (["en-MY"], "en-US", "en-MY"),
        (["sr-Cyrl"], "sr", "sr-Cyrl"),
        (["kmr"], "kmr", "kmr"),
        (["?source", "de"], "en", None),
        ([], "en", None),
    ],
)
def test_the_nearest_of_some_names(names, language, found):
    assert nearest(names, language) == found


def test_the_model_is_unpacked_once_for_scores_and_once_for_probabilities(monkeypatch):
    unpacked = []
    real = LanguageIdentifier.from_model_file
    monkeypatch.setattr(
        LanguageIdentifier, "from_model_file", lambda *args, **how: unpacked.append(1) or real(*args, **how)
    )
    languages._identifier.cache_clear()
    languages._model.cache_clear()
    whole = real(MODEL_FILE, norm_probs=True)
    for _ in range(2):
        assert is_known("de") and identify(GERMAN[0]) == "de" and identify(GERMAN[0], ("en", "fr")) in {"en", "fr"}
        assert probabilities(GERMAN[0], ("de", "en")) == {x: dict(whole.rank(GERMAN[0]))[x] for x in ("de", "en")}
    assert len(unpacked) == 2


def test_a_full_disk_is_told(small_files):
    languages._identifier.cache_clear()
    languages._model.cache_clear()
    small_files(8000)
    with pytest.raises(MtError, match=r"^what tells languages apart cannot be unpacked .*: File too large\.$"):
        is_known("de")
    small_files(None)
    assert is_known("de")
