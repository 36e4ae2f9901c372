"""The picture of a monotone and of a crossing map, from weights by hand."""

from xml.etree import ElementTree

import numpy as np
import pytest
import speech_maps
import torch

from mt.alignment.observe import Side
from mt.inputs.kind import Picture
from mt.interpret.heat_maps import FULL
from mt.interpret.inputs import InputObservation, View

SVG = "{http://www.w3.org/2000/svg}"


def seen(text: str, spans: list[tuple[int, int]], weights: list[list[float]]) -> InputObservation:
    """Two layers, of which the first is even."""
    last = torch.tensor(weights)
    maps = torch.stack([torch.full_like(last, 0.25), last])[None, :, None].expand(2, -1, -1, -1, -1)
    shown = Picture(np.full((4, 16, 3), 9, np.uint8), (1, 4), seconds=0.16)
    return InputObservation([View("speech", shown, 4)], Side(text, spans, []), maps, maps[0], [])


def test_each_model_has_its_spectrogram_and_a_line_of_weights_for_each_piece():
    there = seen("zwei eins", [(0, 4), (5, 9)], [[0.5, 0, 0, 0], [0, 0, 0, 0.5]])
    back = seen("ein<&>", [(0, 3), (3, 6)], [[0, 0, 0, 1.0], [1.0, 0, 0, 0]])
    root = ElementTree.fromstring(speech_maps.svg(["digits", "number"], [there, back], -1))
    words = [one.text for one in root.iter(f"{SVG}text")]
    assert words == ["digits", "zwei", "eins", "0 s", "0.2 s", "number", "ein", "<&>", "0 s", "0.2 s"]
    assert all(one.get("href", "").startswith("data:image/png;base64,") for one in root.iter(f"{SVG}image"))
    cells = [one for one in root.iter(f"{SVG}rect") if one.get("fill") != "white"]
    dark = [n for n, one in enumerate(cells) if one.get("fill") == f"#{FULL.astype(np.uint8).tobytes().hex()}"]
    assert len(cells) == 16 and dark == [0, 7, 11, 12]  # from left to right, then the other way round
    first = ElementTree.fromstring(speech_maps.svg(["digits"], [there], 0))
    assert len({one.get("fill") for one in first.iter(f"{SVG}rect")}) == 2  # the page, and cells that are all equal


class Answering:
    """A translator that writes what it is given for each source and tag."""

    def __init__(self, answers: dict[tuple[str, str], str]) -> None:
        self.answers = answers

    def translate(self, sources, *, prefixes):
        return [self.answers[pair] for pair in zip(sources, prefixes, strict=True)]


def test_the_first_row_that_is_right_in_all_tables_is_drawn():
    digits = [("a", "<d> eins"), ("b", "<d> zwei eins"), ("c", "<d> drei eins")]
    number = [("a", "<n> eins"), ("b", "<n> einundzwanzig"), ("c", "<n> einundzwanzig")]
    having = "undzwanzig"
    model = Answering({(source, text.split(" ")[0]): text for source, text in [*digits, *number]})
    assert speech_maps.right_row(model, [digits, number], having) == 2
    model.answers["b", "<d>"] = "<d> zwei"
    assert speech_maps.right_row(model, [digits, number], having) == 3
    model.answers["c", "<n>"] = "<n> null"
    with pytest.raises(SystemExit, match=r"no row of the first 100 is right: train the model further\."):
        speech_maps.right_row(model, [digits, number], having)
    with pytest.raises(
        SystemExit, match="the model writes '<n> null' for row 3, which is '<n> einundzwanzig': choose an"
    ):
        speech_maps.observe_row(model, number, 3)
