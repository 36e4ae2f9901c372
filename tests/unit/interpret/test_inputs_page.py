"""The page of a model that reads tables: which picture or text lies under which weights, and the numbers on it."""

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
from mt.inputs.kind import Picture
from mt.inputs.reader import InputReader, fit
from mt.interpret.inputs import END, inputs_page, observe_inputs
from mt.interpret.source_shares import source_shares
from mt.nn.encoders import input_model
from mt.nn.forced import force

IMAGE = Input(column="x", kind=InputKind.image, side=6, patch=2, size=12, scale=2.0)
NASTY = "</script><script>alert(1)</script>"


TEXT = Input(column="en", kind=InputKind.text)


def observed(inputs: list[Input], sources, targets):
    """A new model, what it reads of the sources, and what is seen."""
    torch.manual_seed(1)
    tokenizer = number_tokenizer()
    model = input_model(tiny_config(), inputs, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size).eval()
    reader = InputReader(inputs, tokenizer.encode_source)
    items = [reader.item(source) for source in sources]
    return model, items, observe_inputs(model, tokenizer, reader, sources, items, targets, max_length=64)


@pytest.fixture
def picture(tmp_path) -> str:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (6, 6, 3), np.uint8)).save(tmp_path / "a.png")
    return f"{tmp_path}/a.png"


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(text)


def test_the_weights_are_those_of_a_forced_pass_and_sum_to_one_for_each_piece(picture):
    model, items, (seen,) = observed([IMAGE], [picture], ["eins zwei"])
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
    _, _, seen = observed([IMAGE], [picture, picture], ["eins", NASTY])
    html = inputs_page(NASTY, ["a", "b"], seen, "t")
    assert html.count("<script") == html.count("</script>") == 2
    (model,) = data_of(html)["models"]
    pair = model["pairs"][0]
    (shown,) = pair["inputs"]
    assert (model["name"], shown["grid"], shown["width"], shown["height"]) == (NASTY, [3, 3], 6, 6)
    own = seen[0].views[0].shown
    assert isinstance(own, Picture) and base64.b64decode(shown["pixels"]) == own.pixels.tobytes()
    weights = np.frombuffer(base64.b64decode(pair["weights"]), np.uint8).reshape(seen[0].maps.shape)
    assert np.allclose(weights / 255, seen[0].maps, atol=0.003)
    words = data_of(html)["models"][0]["pairs"][1]["target"]
    assert "".join(word["g"] + word["t"] for word in words) == NASTY


def test_a_recording_has_a_row_of_weights_for_every_40_ms(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0, 0.1, 8000), 8000)
    cell = f"{tmp_path}/a.wav"
    (one,) = fit([Input(column="x", kind=InputKind.audio)], [cell], [""])
    _, _, (seen,) = observed([one], [cell], ["drei"])
    shown = seen.views[0].shown
    assert isinstance(shown, Picture) and seen.maps.shape[-1] == 25 and shown.grid == (1, 25)  # 98 frames
    assert shown.seconds == 1.0 and shown.pixels.shape == (40, 100, 3)


def test_several_inputs_share_the_weight_and_a_missing_one_has_a_row(picture):
    """A text, an image and another text; the second item lacks the image and the last text."""
    inputs = [TEXT, IMAGE, Input(column="fr", kind=InputKind.text)]
    sources = [f"one two\t{picture}\tthree", "four\t\t"]
    model, items, seen = observed(inputs, sources, ["eins zwei", "vier"])
    tokenizer = number_tokenizer()
    ids = tokenizer.encode_source(["one two", "three", "four"])
    rows = [[view.rows for view in one.views] for one in seen]
    assert rows == [[len(ids[0]), 9, len(ids[1])], [len(ids[2]), 1, 1]]
    shares = source_shares(model, tokenizer, items, tokenizer.encode_target(["eins zwei", "vier"]))
    for one, known in zip(seen, shares, strict=True):
        assert one.shares() == pytest.approx(known.shares.mean(0).tolist(), abs=1e-5)
        assert sum(one.shares()) == pytest.approx(1)
        parts = one.split(one.maps[0])
        assert torch.allclose(torch.cat(parts, -1), one.maps[0])
        assert torch.allclose(
            torch.stack([part.sum(-1).mean((0, 1)) for part in parts], 1), known.shares[:-1], atol=1e-5
        )
    first, second = data_of(inputs_page("m", sources, seen, "t"))["models"][0]["pairs"]
    assert [one["name"] for one in first["inputs"]] == ["en", "x", "fr"]
    assert [one["rows"] for one in first["inputs"]] == rows[0]
    text, shown, _ = first["inputs"]
    assert "".join(word["g"] + word["t"] for word in text["words"]) == f"one two {END}"
    assert len(text["words"]) == text["rows"] and shown["grid"] == [3, 3] and "words" not in shown
    assert [word["t"] for word in second["inputs"][2]["words"]] == [END] and second["inputs"][1]["grid"] == [1, 1]
