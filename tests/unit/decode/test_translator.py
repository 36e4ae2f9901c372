"""As many out as in, in order, whatever goes in; nothing is lost of what is too long."""

import random

import pytest
import torch

from mt.config import DecodeConfig, TokenizerConfig
from mt.decode.transformer_stepper import CachedStepper
from mt.decode.translator import EMPTY, Translation, Translator, join
from mt.errors import ConfigError
from mt.tokenizer import train_tokenizer

LONGEST = 16


def line(rng, words):
    return " ".join("".join(rng.choices(["ta", "mo", "ly", "er", "in"], k=rng.randint(1, 3))) for _ in range(words))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    rng = random.Random(0)
    lines = [line(rng, rng.randint(2, 9)) for _ in range(200)]
    section = TokenizerConfig(vocab_size=300)
    return train_tokenizer(lines, lines, section, tmp_path_factory.mktemp("cache"))


class Echo(CachedStepper):
    """Says what it is told, and keeps every batch it was given."""

    def __init__(self, model):
        super().__init__(model)
        self.batches = []

    def start(self, source):
        self.batches.append(source)
        self.source, self.rows, self.place = source, len(source), 0

    def step(self, tokens):
        log_probs = torch.full((self.rows, self.model.tgt_weight.shape[0]), -20.0)
        width = self.rows // len(self.source)
        for row in range(self.rows):
            sentence = self.source[row // width]
            log_probs[row, sentence[min(self.place, len(sentence) - 1)]] = -0.5
        self.place += 1
        return log_probs

    def reorder(self, rows, sentences=None):
        self.rows = len(rows)
        if sentences is not None:
            self.source = [self.source[i] for i in sentences.tolist()]


@pytest.fixture(scope="module")
def model(small_model, tokenizer):
    return small_model(src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)


@pytest.fixture
def echo(model, tokenizer):
    return Translator(Echo(model), tokenizer, DecodeConfig(beam=2, batch_tokens=40), max_length=LONGEST)


@pytest.fixture
def translator(model, tokenizer):
    return Translator(CachedStepper(model), tokenizer, DecodeConfig(beam=4), max_length=LONGEST)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_texts_keep_their_order_through_batches_sorted_by_length(echo, caplog):
    rng = random.Random(1)
    texts = [line(rng, rng.randint(1, 5)) for _ in range(30)]
    texts[3] = texts[17] = ""
    texts[8] = "   "
    assert echo.translate(texts) == [text.strip() for text in texts]
    batches = echo.stepper.batches
    assert len(batches) > 2
    assert all(sum(map(len, batch)) <= 40 for batch in batches)
    lengths = [len(ids) for batch in batches for ids in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert min(lengths) > 1  # the model never sees an empty text
    assert warnings_of(caplog) == []


def test_one_text_in_is_one_text_out(echo):
    assert echo.translate("tamo ly") == "tamo ly"
    assert echo.translate(["tamo ly"]) == ["tamo ly"]
    assert echo.translate("") == ""
    assert echo.translate([]) == []


@pytest.mark.parametrize("text", ["", " ", "\t", "\u3000 "])
def test_an_empty_text_has_one_empty_translation(translator, text):
    assert translator.search([text], nbest=3) == [[EMPTY]]


@pytest.mark.parametrize("words", [20, 41])
def test_a_text_too_long_is_cut_between_words_and_nothing_is_lost(echo, tokenizer, caplog, words):
    text = line(random.Random(2), words)
    ids = tokenizer.encode_source([text])[0]
    assert echo.translate(["tamo", text, "ly"]) == ["tamo", text, "ly"]
    assert warnings_of(caplog) == [
        f"input 2 has {len(ids)} pieces, but the model reads at most {LONGEST}; it is translated in parts. "
        "Split it into sentences for a better translation."
    ]
    parts = sorted(part for batch in echo.stepper.batches for part in batch if part[0] in ids)
    assert all(len(part) <= LONGEST and part[-1] == tokenizer.eos for part in parts)


def test_the_parts_of_a_long_text_are_its_pieces_each_begun_with_a_word(echo, tokenizer):
    ids = tokenizer.encode_source([line(random.Random(3), 40)])[0]
    parts = list(echo._chunks(ids, 0))
    assert [piece for part in parts for piece in part[:-1]] == ids[:-1]
    assert {part[-1] for part in parts} == {tokenizer.eos}
    assert max(map(len, parts)) <= LONGEST
    assert all(tokenizer.pieces_source(part)[0].startswith("▁") for part in parts)


def test_a_word_too_long_is_cut_where_the_room_ends(echo, tokenizer):
    text = "xyzw" * 20  # unknown to the tokenizer: a piece for every byte
    ids = tokenizer.encode_source([text])[0]
    parts = list(echo._chunks(ids, 0))
    assert [piece for part in parts for piece in part[:-1]] == ids[:-1]
    assert [len(part) for part in parts[:-1]] == [LONGEST] * (len(parts) - 1)
    assert echo.translate(text).replace(" ", "") == text


def test_a_text_that_just_fits_is_not_cut(echo, tokenizer, caplog):
    body = tokenizer.encode_source(["ta " * 40])[0][: LONGEST - 1]
    assert list(echo._chunks([*body, tokenizer.eos], 0)) == [[*body, tokenizer.eos]]
    assert warnings_of(caplog) == []
    assert len(list(echo._chunks([*body, body[1], tokenizer.eos], 0))) == 2


def test_the_best_come_first_and_their_numbers_agree(translator):
    rng = random.Random(4)
    texts = [line(rng, words) for words in (1, 3, 2)]
    lists = translator.search(texts, nbest=4)
    assert [len(found) for found in lists] == [4, 4, 4]
    for found in lists:
        finished = [t for t in found if t.finished]
        assert [t.score for t in finished] == sorted((t.score for t in finished), reverse=True)
        assert len({tuple(t.pieces) for t in found}) == 4
        for t in found:
            assert t.log_prob == pytest.approx(sum(t.piece_log_probs), abs=1e-4)
            assert t.score == pytest.approx(t.log_prob / len(t.piece_log_probs), abs=1e-4)
            assert len(t.piece_log_probs) == len(t.pieces) + t.finished
            assert len(t.piece_log_probs) <= LONGEST
    assert [found[0].text for found in lists] == translator.translate(texts)
    assert [found[:1] for found in lists] == translator.search(texts)


def test_settings_of_a_call_stand_in_for_those_of_the_model(translator):
    text = [line(random.Random(5), 3)]
    (sums,) = translator.search(text, beam=2, nbest=2, length_penalty=0.0)
    assert [t.score for t in sums] == [t.log_prob for t in sums]
    assert translator.section == DecodeConfig(beam=4)
    with pytest.raises(ConfigError, match=r"^`decode\.nbest` must lie between 1 and `decode\.beam` \(2\), but is 3\.$"):
        translator.search(text, beam=2, nbest=3)
    with pytest.raises(ConfigError, match=r"^`decode\.beam` must be positive, but is 0\.$"):
        translator.search(text, beam=0)


def test_a_model_left_in_training_is_put_to_work_first(translator):
    text = line(random.Random(6), 4)
    wanted = translator.translate(text)
    translator.stepper.model.train()
    assert translator.translate(text) == wanted
    assert not translator.stepper.model.training


def part(text, score, log_prob, finished=True):
    return Translation(text, score, log_prob, [text], [log_prob], finished)


def test_parts_are_joined_by_rank():
    first = [part("a", -1.0, -2.0), part("b", -2.0, -3.0), part("c", -9.0, -9.0)]
    second = [part("x", -3.0, -4.0), part("y", -4.0, -5.0, finished=False)]
    assert join([first, second]) == [
        Translation("a x", -2.0, -6.0, ["a", "x"], [-2.0, -4.0], True),
        Translation("b y", -3.0, -8.0, ["b", "y"], [-3.0, -5.0], False),
    ]
    assert join([first]) == first
    assert join([]) == [EMPTY]


def test_a_part_that_says_nothing_leaves_no_gap():
    parts = [[part("a", -1.0, -1.0)], [part("", -1.0, -1.0)], [part("b", -1.0, -1.0)]]
    assert join(parts)[0].text == "a b"
