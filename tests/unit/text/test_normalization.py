"""What the rule of normalisation keeps, and what it changes, as SentencePiece applies it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_losses import CORPORA, sentences

from mt.config import TokenizerConfig
from mt.text.normalization import nfc_rule
from mt.text.roundtrip import difference, round_trip
from mt.text.tokenizer_training import fitting_vocab_size, train_tokenizer

KEPT = {
    "Persian": "می\u200cخواهم",
    "Chinese": "你好，世界！",
    "Thai": "น้ำ คำ",
    "Bengali": "ব\u09dcো বা\u09dcি",
    "fractions": "1½ m² n.º",
    "Japanese": "ﾊﾝｶｸ と １２３",
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    lines = [*KEPT.values(), "é ê ç", "one two three"] * 20
    return train_tokenizer(lines, lines, TokenizerConfig(vocab_size=400), tmp_path_factory.mktemp("cache"))


def there_and_back(tokenizer, text):
    return tokenizer.decode_target(tokenizer.encode_target([text])[0])


@pytest.mark.parametrize("language", KEPT)
def test_what_scripts_need_is_kept(tokenizer, language):
    assert there_and_back(tokenizer, KEPT[language]) == KEPT[language]


@pytest.mark.parametrize("language", CORPORA)
def test_the_default_settings_give_every_line_back(language, tmp_path):
    """As `scripts/tokenizer_losses.py` prints it."""
    lines = sentences(language)

    def changed(rule):
        section = TokenizerConfig(vocab_size="auto", normalization=rule)
        trained = train_tokenizer(["Sentence."], lines, section, tmp_path)
        return round_trip(lines, lambda line: there_and_back(trained, line), language).changed

    assert TokenizerConfig().normalization == "nfc"
    assert (changed("nfc"), changed("nmt_nfkc") > len(lines) / 2) == (0, True)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("e\u0301 e\u0302 c\u0327", "é ê ç"),  # composed
        ("one\u00a0two\u2009three", "one two three"),
        ("on\u00ade t\u2060wo\ufeff", "one two"),
        ("one\x07 two", "one two"),
    ],
)
def test_what_is_changed(tokenizer, text, normal):
    assert there_and_back(tokenizer, text) == normal


def test_compositions_are_those_of_unicode():
    rows = [line.split("\t") for line in nfc_rule().rstrip("\n").split("\n")]
    rule = {"".join(chr(int(code, 16)) for code in left.split()): right for left, right in rows}
    composed = {text: chr(int(right, 16)) for text, right in rule.items() if len(text) > 1}
    assert len(composed) > 900 and composed["e\u0301"] == "é"
    assert all(unicodedata.normalize("NFC", text) == made for text, made in composed.items())
    assert rows == sorted(rows, key=lambda row: [int(code, 16) for code in row[0].split()])


def test_what_older_rules_lose_is_counted_with_the_best_score(tmp_path):
    lines = [*KEPT.values(), *["one two three four"] * 6]
    section = TokenizerConfig(vocab_size=400, normalization="nmt_nfkc")
    old = train_tokenizer(lines * 20, lines * 20, section, tmp_path)
    found = round_trip(lines, lambda text: there_and_back(old, text), "en")
    assert (found.lines, found.changed) == (12, 6) and found.bleu < 90 and found.chrf < 90
    assert str(found).startswith(
        "50.0% of the target lines change when encoded and decoded; a perfect model could reach"
    )
    new = train_tokenizer(lines * 20, lines * 20, TokenizerConfig(vocab_size=400), tmp_path)
    assert round_trip(lines, lambda text: there_and_back(new, text), "en").changed == 0
    assert difference("می\u200cخواهم", "می خواهم") == "`می\\u200cخواهم` becomes `می خواهم`"


def test_vocabulary_sizes_of_corpora():
    sizes = [fitting_vocab_size(pairs) for pairs in (100, 10_000, 30_000, 1_000_000, 100_000_000)]
    assert sizes == [500, 1300, 2000, 8100, 32000]


@given(st.integers(0, 10**9))
def test_larger_corpora_get_no_smaller_vocabulary(pairs):
    assert 500 <= fitting_vocab_size(pairs) <= fitting_vocab_size(2 * pairs) <= 32_000
