"""The page of a model whose source is not text: which picture lies under which weights, and the numbers on it."""

import base64
import json
import re

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from toy import number_tokenizer, tiny_config, trained_numbers

from mt.config import DecodeConfig, Input, InputKind
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.inputs.image import image_of, patches
from mt.inputs.reader import InputReader, fit
from mt.interpret.frames import GRAY, drawn, frames_page, observe_frames
from mt.nn.encoders import input_model
from mt.nn.forced import force

IMAGE = Input(column="x", kind=InputKind.image, side=6, patch=2, size=12, scale=2.0)
AUDIO = Input(column="x", kind=InputKind.audio, size=2, rate=8000)
NASTY = "</script><script>alert(1)</script>"


def translator_of(one: Input) -> Translator:
    tokenizer = number_tokenizer()
    torch.manual_seed(1)
    model = input_model(tiny_config(), [one], src_size=1, tgt_size=tokenizer.tgt_size).eval()
    reader = InputReader([one], tokenizer.encode_source)
    return Translator(CachedStepper(model), tokenizer, DecodeConfig(), max_length=64, reader=reader)


@pytest.fixture
def picture(tmp_path) -> str:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (6, 6, 3), np.uint8)).save(tmp_path / "a.png")
    return f"{tmp_path}/a.png"


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(text)


def test_an_image_is_drawn_as_the_model_sees_it():
    image = np.random.default_rng(1).integers(0, 255, (6, 6, 3), np.uint8)
    assert np.array_equal(image_of(patches(image, 2), 2), image)
    pixels, grid, seconds = drawn(IMAGE, patches(image, 2) / 2, every=1)
    assert np.array_equal(pixels, image) and grid == (3, 3) and seconds is None


def test_sound_is_drawn_over_time_with_low_bands_below_and_loud_ones_dark():
    pixels, grid, seconds = drawn(AUDIO, np.array([[-9, 2.5], [0, 0], [0, 9], [0, 0], [2.5, 0]], np.float32), every=4)
    assert grid == (1, 2) and seconds == 0.08
    gray = [GRAY] * 3  # what fills up the last row of the memory
    assert pixels[:, :, 0].tolist() == [[0, 128, 0, 128, 128, *gray], [255, 128, 128, 128, 0, *gray]]


def test_other_rows_are_drawn_from_their_least_to_their_largest_number_and_a_missing_one_is_flat():
    features = Input(column="x", kind=InputKind.features, size=2)
    pixels, grid, seconds = drawn(features, np.array([[0, 1], [2, 4]], np.float32), every=1)
    assert pixels[:, :, 0].tolist() == [[191, 0], [255, 128]] and grid == (1, 2) and seconds is None
    assert drawn(IMAGE, np.zeros((1, 12), np.float32), every=1)[1] == (1, 1)


def test_the_weights_are_those_of_a_forced_pass_and_sum_to_one_for_each_word(picture):
    translator = translator_of(IMAGE)
    (seen,) = observe_frames(translator, [picture], ["eins zwei"])
    tokenizer = translator.tokenizer
    ids = tokenizer.encode_target(["eins zwei"])
    (forced,) = force(
        translator.stepper.model, translator.encode_sources([picture]), ids, bos=tokenizer.bos, eos=tokenizer.eos
    )
    assert seen.maps.shape[-2:] == (2, 9) and torch.allclose(seen.maps.sum(-1), torch.ones(()), atol=1e-5)
    first = [n for n, offset in enumerate(seen.target.tokens) if offset[2] <= 4]  # the tokens of "eins"
    assert torch.allclose(seen.maps[0, :, :, 0], forced.maps.cross[:, :, first].mean(2), atol=1e-5)
    assert torch.allclose(seen.maps[1, :, :, 0], forced.maps.cross[:, :, [n + 1 for n in first]].mean(2), atol=1e-5)
    assert sum(seen.log_probs) == pytest.approx(float(forced.log_probs[:-1].sum()), abs=1e-4)


def test_the_page_holds_what_was_seen_and_text_only_as_data(picture):
    seen = observe_frames(translator_of(IMAGE), [picture, picture], ["eins", NASTY])
    html = frames_page(NASTY, seen, "t")
    assert html.count("<script") == html.count("</script>") == 2
    (model,) = data_of(html)["models"]
    pair = model["pairs"][0]
    assert (model["name"], pair["grid"], pair["width"], pair["height"]) == (NASTY, [3, 3], 6, 6)
    assert base64.b64decode(pair["pixels"]) == seen[0].pixels.tobytes()
    weights = np.frombuffer(base64.b64decode(pair["weights"]), np.uint8).reshape(
        2, model["layers"], model["heads"], 1, 9
    )
    assert np.allclose(weights / 255, seen[0].maps, atol=0.003)
    words = data_of(html)["models"][0]["pairs"][1]["target"]
    assert "".join(word["g"] + word["t"] for word in words) == NASTY


def test_a_recording_has_a_row_of_weights_for_every_40_ms(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0, 0.1, 8000), 8000)
    cell = f"{tmp_path}/a.wav"
    (one,) = fit([Input(column="x", kind=InputKind.audio)], [cell], [""])
    (seen,) = observe_frames(translator_of(one), [cell], ["drei"])
    assert seen.maps.shape[-2:] == (1, 25) and seen.grid == (1, 25)  # 98 frames
    assert seen.seconds == 1.0 and seen.pixels.shape == (40, 100, 3)


def test_a_model_of_text_is_refused():
    translator = Translator(CachedStepper(trained_numbers()), number_tokenizer(), DecodeConfig(), max_length=64)
    with pytest.raises(
        ConfigError, match=r"^a heat map over the source needs a model with one input that is not text\.$"
    ):
        observe_frames(translator, ["one"], ["eins"])
