"""The page of a model whose source is not text: which picture lies under which weights, and the numbers on it."""

import base64
import json
import re

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from toy import number_tokenizer, tiny_config

from mt.config import Input, InputKind
from mt.inputs.reader import KINDS, fit
from mt.interpret.frames import frames_page, observe_frames
from mt.nn.encoders import input_model
from mt.nn.forced import force

IMAGE = Input(column="x", kind=InputKind.image, side=6, patch=2, size=12, scale=2.0)
NASTY = "</script><script>alert(1)</script>"


def observed(one: Input, cells, targets):
    """A new model, what it reads of the cells, and what is seen."""
    torch.manual_seed(1)
    model = input_model(tiny_config(), [one], src_size=1, tgt_size=number_tokenizer().tgt_size).eval()
    kind = KINDS[one.kind](one)
    items = [kind.read(cell) for cell in cells]
    return model, items, observe_frames(model, number_tokenizer(), kind, items, targets, max_length=64)


@pytest.fixture
def picture(tmp_path) -> str:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (6, 6, 3), np.uint8)).save(tmp_path / "a.png")
    return f"{tmp_path}/a.png"


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(text)


def test_the_weights_are_those_of_a_forced_pass_and_sum_to_one_for_each_piece(picture):
    model, items, (seen,) = observed(IMAGE, [picture], ["eins zwei"])
    tokenizer = number_tokenizer()
    ids = tokenizer.encode_target(["eins zwei"])
    (forced,) = force(model, items, ids, bos=tokenizer.bos, eos=tokenizer.eos)
    count = len(ids[0])
    assert seen.maps.shape[-2:] == (count, 9) and torch.allclose(seen.maps.sum(-1), torch.ones(()), atol=1e-5)
    assert torch.allclose(seen.maps[0], forced.maps.cross[:, :, :count], atol=1e-6)
    assert torch.allclose(seen.maps[1], forced.maps.cross[:, :, 1:], atol=1e-6)
    assert seen.log_probs == pytest.approx(forced.log_probs[:-1].tolist(), abs=1e-5)
    assert "".join(seen.target.word_texts) == "eins zwei"


def test_the_page_holds_what_was_seen_and_text_only_as_data(picture):
    _, _, seen = observed(IMAGE, [picture, picture], ["eins", NASTY])
    html = frames_page(NASTY, ["a", "b"], seen, "t")
    assert html.count("<script") == html.count("</script>") == 2
    (model,) = data_of(html)["models"]
    pair = model["pairs"][0]
    assert (model["name"], pair["grid"], pair["width"], pair["height"]) == (NASTY, [3, 3], 6, 6)
    assert base64.b64decode(pair["pixels"]) == seen[0].picture.pixels.tobytes()
    weights = np.frombuffer(base64.b64decode(pair["weights"]), np.uint8).reshape(seen[0].maps.shape)
    assert np.allclose(weights / 255, seen[0].maps, atol=0.003)
    words = data_of(html)["models"][0]["pairs"][1]["target"]
    assert "".join(word["g"] + word["t"] for word in words) == NASTY


def test_a_recording_has_a_row_of_weights_for_every_40_ms(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0, 0.1, 8000), 8000)
    cell = f"{tmp_path}/a.wav"
    (one,) = fit([Input(column="x", kind=InputKind.audio)], [cell], [""])
    _, _, (seen,) = observed(one, [cell], ["drei"])
    assert seen.maps.shape[-1] == 25 and seen.picture.grid == (1, 25)  # 98 frames
    assert seen.picture.seconds == 1.0 and seen.picture.pixels.shape == (40, 100, 3)
