"""Inputs: what the setting names, what a model folder may say, and what a run knows its data by."""

import re
from dataclasses import asdict

import pytest

from mt.config import Input, InputKind, parse_inputs
from mt.config.from_json import from_plain
from mt.errors import ConfigError


def test_columns_are_named_with_their_kinds_and_images_with_their_sizes():
    assert parse_inputs(["a:features", "b:c:text", "p:image", "q:image:64", "r:image:40:8", "s:audio"]) == [
        Input(column="a", kind=InputKind.features),
        Input(column="b:c", kind=InputKind.text),
        Input(column="p", kind=InputKind.image, side=96, patch=12),
        Input(column="q", kind=InputKind.image, side=64, patch=8),
        Input(column="r", kind=InputKind.image, side=40, patch=8),
        Input(column="s", kind=InputKind.audio),
    ]


def test_an_input_is_spelt_as_the_setting_that_makes_it():
    found = parse_inputs(["a:features", "b:c:text", "q:image:64", "r:image:40:8", "s:audio"])
    assert [one.setting for one in found] == ["a:features", "b:c:text", "q:image:64:8", "r:image:40:8", "s:audio"]
    assert parse_inputs([one.setting for one in found]) == found


REFUSED = {
    "a:smell": "`data.inputs` must name kinds out of text, features, image, audio, but is a:smell.",
    "a": "`data.inputs` must be columns with their kinds, as in [image:features,caption:text], but is a.",
    ":text": "`data.inputs` must be columns with their kinds, as in",
    "a:text:3": "`data.inputs` must give a side and a patch for images only, as in [photo:image:96:12], but is a:text:",
    "a:image:96:7": "`data.inputs` must name an image as [photo:image:96:12]: a side up to 1024, a patch that divides ",
    "a:image:60": "`data.inputs` must name an image as [photo:image:96:12]",
    "a:image:0": "`data.inputs` must name an image as [photo:image:96:12]",
    "a:image:2048:16": "`data.inputs` must name an image as [photo:image:96:12]",
    "a:image:512:256": "`data.inputs` must name an image as [photo:image:96:12]: a side up to 1024, a patch that divid",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_names_no_input_is_refused(text):
    with pytest.raises(ConfigError, match="^" + re.escape(REFUSED[text])):
        parse_inputs([text])


@pytest.mark.parametrize(
    "more, message",
    [
        ({"kind": "features", "size": -1}, "`size` must lie in [0, 65536], but is -1."),
        ({"kind": "features", "size": 65537}, "`size` must lie in [0, 65536], but is 65537."),
        ({"kind": "features", "scale": 0.0}, "`scale` must be positive, but is 0.0."),
        ({"kind": "features", "scale": float("inf")}, "`scale` must be a finite number, but is inf."),
        ({"kind": "image"}, "`side` must lie in [1, 1024], but is 0."),
        (
            {"kind": "image", "side": 9, "patch": 2},
            "`patch` must be at most 128 and divide the side of the image (9), b",
        ),
        (
            {"kind": "image", "side": 8, "patch": 2, "size": 9},
            "`size` must be that of a patch of three colours, but is 9",
        ),
        ({"kind": "audio", "rate": 7}, "`rate` must lie in [8000, 192000], but is 7."),
    ],
)
def test_a_model_folder_cannot_ask_for_an_impossible_input(more, message):
    values = asdict(Input(column="a", kind=InputKind.text)) | more
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        from_plain(Input, values, "config.json")


def test_older_model_folders_and_runs_keep_their_features():
    old = {"column": "a", "kind": "features", "size": 3, "scale": 2.5}
    found = from_plain(Input, old, "config.json")
    assert repr(found) == "Input(column='a', kind=<InputKind.features: 'features'>, size=3, scale=2.5)"
    assert repr(Input(column="a", kind=InputKind.image, side=8, patch=2)).endswith("scale=1.0, side=8, patch=2)")
