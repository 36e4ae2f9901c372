"""Logging a model's cross-attention at a validation."""

import math

import pytest
import torch
from test_validate import make
from toy import number_corpus, number_pairs, number_tokenizer, tiny_config, tiny_model

from mt.alignment.heads import AlignmentHeads, head_mean, word_maps
from mt.config import Input, InputKind, Subset
from mt.data.corpus.pair import Origin, Pair
from mt.inputs.reader import InputReader
from mt.interpret.heat_maps import CELL, GAP
from mt.nn.encoders import input_model
from mt.train.attention_logging import InputAttentionLogger, TextAttentionLogger, drawn, entropies, legible


def make_logger(pairs=2, **options) -> TextAttentionLogger:
    return TextAttentionLogger(number_tokenizer(), number_pairs(pairs), max_length=32, **options)


def test_entropies_by_hand():
    """Layer 1: one head attends to one token, one evenly to four: (0 + 2) / 2 bits. Layer 2: both evenly."""
    sharp, even = torch.tensor([1.0, 0, 0, 0]), torch.full((4,), 0.25)
    first = torch.stack([torch.stack([sharp, even])[:, None], torch.stack([even, even])[:, None]])  # [2, 2, 1, 4]
    second = torch.full((2, 2, 3, 2), 0.5)
    second[0] = torch.tensor([1.0, 0.0])
    assert entropies([first]) == pytest.approx([1.0, 2.0])
    assert entropies([first, second]) == pytest.approx([(1.0 + 3 * 0.0) / 4, (2.0 + 3 * 1.0) / 4])


def test_without_pairs_of_a_good_length_the_shortest_are_chosen():
    texts = [" ".join(["one"] * count) for count in (60, 30, 1, 45, 28)]
    pairs = [Pair(text, text, Origin("x", n)) for n, text in enumerate(texts, 1)]
    assert [pair.origin.line for pair in legible(pairs, 3)] == [2, 4, 5]
    assert [pair.origin.line for pair in legible(pairs[2:3], 3)] == [3]


def test_words_without_spaces_are_counted_as_they_are_drawn():
    pairs = [Pair(text, text, Origin("x", n)) for n, text in enumerate(["犬" * 26, "犬" * 10], 1)]
    assert [pair.origin.line for pair in legible(pairs, 3)] == [2]


def test_of_a_very_long_pair_the_first_words_and_the_end_are_drawn():
    weights = torch.arange(60 * 51.0).reshape(60, 51)
    found = drawn(weights)
    assert found.shape == (40, 41)
    assert torch.equal(found[:, :40], weights[:40, :40]) and torch.equal(found[:, 40], weights[:40, 50])
    assert torch.equal(drawn(weights[:3, :4]), weights[:3, :4])


def test_pairs_of_a_good_length_are_chosen_and_others_only_without_any():
    texts = ["one", "one two", " ".join(["one"] * 26), "two three", "four five"]
    pairs = [Pair(text, text, Origin("x", n)) for n, text in enumerate(texts, 1)]
    assert [pair.origin.line for pair in legible(pairs, 3)] == [2, 4, 5]
    assert [pair.origin.line for pair in legible(pairs, 1)] == [4]
    assert [pair.origin.line for pair in legible([pairs[0], pairs[2]], 3)] == [1, 3]


def test_older_runs_keep_showing_the_first_pairs():
    texts = ["one", "one two", " ".join(["one"] * 26), "two three", "four five"]
    pairs = [Pair(text, text, Origin("x", n)) for n, text in enumerate(texts, 1)]
    assert [pair.origin.line for pair in legible(pairs, 2, Subset.first)] == [2, 4]
    assert [pair.origin.line for pair in legible([pairs[2], pairs[0]], 1, Subset.first)] == [3]


def test_logging_attention_changes_neither_model_nor_random_numbers():
    model = tiny_model(dropout=0.5).train()
    calls = []
    model.decoder.layers[0].cross_attention.listener = lambda *args: calls.append(args)
    state = torch.get_rng_state()
    found = make_logger()(model)
    assert model.training and torch.equal(torch.get_rng_state(), state) and not calls
    assert model.decoder.layers[0].cross_attention.listener is not None
    assert len(found.entropies) == 1 and 0 < found.entropies[0] < math.log2(32)
    assert found.scalars() == {"entropy_1": found.entropies[0]}


def test_the_pictures_hold_each_layers_mean_and_the_guided_head():
    model, attention = tiny_model(decoder_layers=2), make_logger(guided=AlignmentHeads(1, (0,), shifted=True))
    found = attention(model)
    pictures = attention.pictures(found)
    assert len(pictures) == 2
    for seen, pixels in zip(found.observations, pictures, strict=True):
        words = word_maps(seen)
        expected = [words[1, 0].mean(0), words[1, 1].mean(0), head_mean(words, AlignmentHeads(1, (0,), shifted=True))]
        rows, columns = expected[0].shape
        left = pixels.shape[1] - 3 * (columns * CELL + GAP)
        top = pixels.shape[0] - 2 - rows * CELL
        for n, weights in enumerate(expected):
            first = left + n * (columns * CELL + GAP)
            middles = pixels[top + CELL // 2 :: CELL, first + CELL // 2 : first + columns * CELL : CELL, 0]
            torch.testing.assert_close(torch.from_numpy(middles), (255 - 247 * weights).round().byte(), rtol=0, atol=1)
    again = attention.pictures(attention(model))
    assert all((one == other).all() for one, other in zip(pictures, again, strict=True))


def test_a_validation_has_the_attention_of_the_pairs():
    validator = make(number_corpus(9), list)
    assert validator(tiny_model()).extra() == {}
    validator.attention = make_logger()
    found = validator(tiny_model())
    assert found.extra() == {"entropy_1": found.attention.entropies[0]}


@pytest.mark.parametrize("columns", [["en"], ["en", "fr"]])
def test_a_model_of_tables_logs_the_share_of_each_of_several_inputs(columns):
    inputs = [Input(column=column, kind=InputKind.text) for column in columns]
    tokenizer = number_tokenizer()
    model = input_model(
        tiny_config(dropout=0.5), inputs, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size
    ).train()
    pairs = [Pair("\t".join([p.src] * len(columns)), p.tgt, p.origin) for p in number_pairs(3)]
    attention = InputAttentionLogger(tokenizer, InputReader(inputs, tokenizer.encode_source), pairs, max_length=32)
    state = torch.get_rng_state()
    found = attention(model)
    assert model.training and torch.equal(torch.get_rng_state(), state)
    shares = {name: value for name, value in found.scalars().items() if name.startswith("share_")}
    assert list(shares) == ([] if len(columns) == 1 else ["share_en", "share_fr"])
    assert sum(shares.values()) == pytest.approx(float(len(columns) > 1))
    assert found.scalars()["entropy_1"] == found.entropies[0] > 0
    pictures = attention.pictures(found)
    assert len(pictures) == 3 and all(pixels.ndim == 3 and len(pixels) > 20 * len(columns) for pixels in pictures)
