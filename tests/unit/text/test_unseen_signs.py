"""Signs that training never saw, bytes that make no character, characters that the vocabulary has no room for, tags."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.config import TokenizerConfig
from mt.errors import ConfigError
from mt.text.tokenizer import Tokenizer
from mt.text.tokenizer_training import train_tokenizer

LINES = ["one two three 🙂", "four five six", "seven eight nine ten"] * 30


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_tokenizer(LINES, LINES, TokenizerConfig(vocab_size=330), tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("one 🙂 two", "one 🙂 two"),  # seen in training
        ("one 😀 two", "one two"),
        ("o\u200bne tw\u200do", "one two"),
        ("one\ufe0f \U0001f468\u200d\U0001f469 two", "one two"),
        ("\u200b\u200b", ""),
    ],
)
def test_signs_that_were_never_seen_are_left_out(tokenizer, text, read):
    ids = tokenizer.encode_source([text])[0]
    assert tokenizer.decode_source(ids) == read
    assert tokenizer.encode_source([tokenizer.readable(text)]) == [ids]
    assert not any(piece.startswith("<0x") for piece in tokenizer.pieces_source(ids))


def test_letters_and_marks_that_were_never_seen_are_spelt_in_bytes(tokenizer):
    for text in ("日本", "é", "٣"):
        assert tokenizer.decode_source(tokenizer.encode_source([text])[0]) == text


@given(st.text(st.sampled_from("one 🙂😀\u200b\u00ad日é"), max_size=12))
def test_offsets_count_the_characters_of_the_text_as_given(tokenizer, text):
    found = tokenizer.offsets_source(text)
    assert [piece for piece, _, _ in found] == tokenizer.encode_source([text])[0][:-1]
    assert all(0 <= begin <= end <= len(text) for _, begin, end in found)
    assert all(a[2] <= b[1] for a, b in pairwise(found))
    named = [(tokenizer.pieces_source([piece])[0], text[begin:end]) for piece, begin, end in found]
    assert all(piece.lstrip("▁") in span or piece.startswith("<0x") for piece, span in named)


def test_an_older_tokenizer_reads_as_it_did(tmp_path):
    section = TokenizerConfig(vocab_size=330, normalization="nmt_nfkc")
    old = train_tokenizer(LINES, LINES, section, tmp_path)
    assert any(piece.startswith("<0x") for piece in old.pieces_source(old.encode_source(["one 😀"])[0]))


def test_bytes_that_make_no_character_are_not_written(tokenizer):
    byte = {piece: i for i, piece in enumerate(tokenizer.pieces_target(range(tokenizer.tgt_size))) if "<0x" in piece}
    spelt = [byte[f"<0x{code:02X}>"] for code in "日".encode()]
    one = tokenizer.encode_target(["one"])[0]
    assert tokenizer.whole_characters(one) == list(range(len(one)))
    ids = [*spelt[:2], *one, *spelt, spelt[1], *spelt[:1]]
    kept = [ids[place] for place in tokenizer.whole_characters(ids)]
    assert kept == [*one, *spelt]
    draw = random.Random(1)
    for _ in range(300):
        ids = draw.choices([*byte.values(), *one], k=12)
        assert "\ufffd" not in tokenizer.decode_target([ids[place] for place in tokenizer.whole_characters(ids)])


def many_characters():
    return ["".join(chr(0x4E00 + (7 * n + k) % 900) for k in range(6)) + " 的一是" for n in range(900)]


def test_a_vocabulary_smaller_than_the_characters_trains_with_bytes(tmp_path, caplog):
    lines = many_characters()
    tokenizer = train_tokenizer(lines, lines, TokenizerConfig(vocab_size=500), tmp_path)
    assert tokenizer.tgt_size <= 500
    assert tokenizer.decode_target(tokenizer.encode_target(lines[:1])[0]) == lines[0]
    assert "`tokenizer.vocab_size` (500) is less than the 1," in caplog.text
    assert "of them, the rarest, are written in bytes. Raise it for better translations." in caplog.text
    with pytest.raises(
        ConfigError, match=r"^`tokenizer.vocab_size` must be at least \d+ .* to hold the characters of the"
    ):
        train_tokenizer(lines, lines, TokenizerConfig(vocab_size=280), tmp_path)


def test_tags_of_a_tokenizer(tokenizer, tmp_path):
    assert tokenizer.tags == frozenset()
    section = TokenizerConfig(vocab_size=330, tags=[">>deu<<", "<2fr>", "<formal>", "__de__"])
    assert train_tokenizer(LINES, LINES, section, tmp_path).tags == {">>deu<<", "<2fr>", "<formal>", "__de__"}
    assert Tokenizer(tokenizer.files()["tokenizer.model"]).tags == frozenset()
