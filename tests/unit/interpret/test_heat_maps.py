"""Heat maps as pixels and as vector graphics."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from mt.interpret import heat_maps as module
from mt.interpret.heat_maps import CELL, FONT, FULL, GAP, MAX_WIDTH, HeatMaps, drawable, load_font

MAPS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]])


def test_cells_are_white_for_weight_0_and_dark_for_weight_1():
    made = HeatMaps(["ein", "Haus"], ["a", "house"], ["layer 1", "layer 2"])
    pixels = made.draw(MAPS.expand(2, -1, -1))
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    top, left = pixels.shape[0] - 2 - 2 * CELL, pixels.shape[1] - 2 * (3 * CELL + GAP)
    for n in range(2):
        first = left + n * (3 * CELL + GAP)
        grid = pixels[top : top + 2 * CELL, first : first + 3 * CELL].reshape(2, CELL, 3, CELL, 3)
        half = (255 - 0.5 * (255 - FULL)).round()
        expected = [[FULL, [255] * 3, [255] * 3], [[255] * 3, half, half]]
        assert (grid == np.array(expected)[:, None, :, None]).all()
    assert (pixels[:top] < 128).any() and (pixels[top:, :left] < 128).any()  # words above and beside
    assert (made.draw(0 * MAPS.expand(2, -1, -1))[top : top + 2 * CELL, left:] == 255).all()  # drawn again


def test_weights_of_a_model_that_diverged_are_white(recwarn):
    made = HeatMaps(["ein", "Haus"], ["a", "house"], ["layer 1"])
    assert (made.draw(MAPS * float("nan")) == made.draw(0 * MAPS)).all()
    assert not recwarn.list


def test_the_words_above_are_the_same_over_every_map_and_stand_over_their_columns():
    pixels = HeatMaps(["iiiiiiii", "m"], ["a"], ["", ""]).draw(torch.zeros(2, 1, 3))
    top, left = pixels.shape[0] - 2 - CELL, pixels.shape[1] - 2 * (3 * CELL + GAP)
    above = [pixels[CELL:top, left + n * (3 * CELL + GAP) :][:, : 3 * CELL] for n in range(2)]
    assert (above[0] == above[1]).all()
    inked = [np.nonzero((above[0][:, i * CELL : (i + 1) * CELL] < 128).any(axis=(1, 2)))[0] for i in range(2)]
    assert inked[0].min() < inked[1].min() - 8  # the long word reaches higher
    assert all(rows.max() >= len(above[0]) - 6 for rows in inked)  # and both begin at the map


def test_a_scaled_picture_has_larger_cells():
    small, large = (HeatMaps(["ein"], ["a"], [""], scale=n).draw(torch.ones(1, 1, 2)) for n in (1, 3))
    assert [(pixels == FULL).all(2).sum() for pixels in (small, large)] == [2 * CELL**2, 2 * (3 * CELL) ** 2]


def test_svg_has_the_same_cells_and_words():
    made = HeatMaps(["ein", "Haus"], ["a<b", "c"], ["layer 1"])
    root = ElementTree.fromstring(made.svg(MAPS))
    name = "{http://www.w3.org/2000/svg}"
    _, *cells = root.iter(f"{name}rect")
    half = (255 - 0.5 * (255 - FULL)).round().astype(np.uint8).tobytes().hex()
    dark, white = f"#{FULL.astype(np.uint8).tobytes().hex()}", "#ffffff"
    assert [cell.get("fill") for cell in cells] == [dark, white, white, white, f"#{half}", f"#{half}"]
    first, last = cells[0], cells[-1]
    assert float(last.get("x")) - float(first.get("x")) == 2 * CELL
    assert float(last.get("y")) - float(first.get("y")) == CELL
    width, height = made.draw(MAPS).shape[1::-1]
    assert root.get("viewBox") == f"0 0 {width} {height}"
    assert [text.text for text in root.iter(f"{name}text")] == ["a<b", "c", "layer 1", "ein", "Haus", "<end>"]


@pytest.mark.parametrize("words", [[], ["a$b_{c}", "<b>", "東京"]])
def test_any_words_can_be_drawn_with_any_font(words, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    from PIL import ImageFont

    def missing(*args):
        raise OSError("cannot open resource")

    monkeypatch.setattr(ImageFont, "truetype", missing)
    monkeypatch.setattr(ImageFont, "load_default", lambda size: ImageFont.load_default_imagefont())
    pixels = HeatMaps(words, words, ["one"]).draw(torch.zeros(1, len(words), len(words) + 1))
    assert pixels.shape[0] > 0


def test_the_font_is_the_systems_or_else_matplotlibs_or_else_pillows_own(monkeypatch):
    from PIL import ImageFont

    tried: list[str] = []

    def without(*names):
        tried.clear()
        monkeypatch.setattr(ImageFont, "truetype", lambda file, size: refuse(file) if str(file) in names else file)

    def refuse(file):
        tried.append(str(file))
        raise OSError("cannot open resource")

    system, theirs = "DejaVuSans.ttf", "/lib/matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf"
    monkeypatch.setattr(module, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[f"/lib/{name}"]))
    monkeypatch.setattr(ImageFont, "load_default", lambda size: f"own of {size}")
    without()
    assert load_font(FONT) == system
    without(system)
    assert str(load_font(FONT)) == theirs
    without(system, theirs)
    assert load_font(FONT) == f"own of {FONT}" and tried == [system, theirs]
    monkeypatch.setattr(module, "find_spec", lambda name: None)  # no matplotlib
    without(system)
    assert load_font(FONT) == f"own of {FONT}" and tried == [system]


def test_letters_that_a_font_lacks_become_question_marks():
    from PIL import ImageFont

    assert drawable("né東京", ImageFont.load_default_imagefont()) == "né??"
    whole = SimpleNamespace(getlength=lambda word: 1.0)
    assert drawable("né東京", whole) == "né東京"


def test_maps_that_do_not_fit_side_by_side_stand_in_rows_with_all_their_words():
    source, target, maps = ["w"] * 15, ["ein", "Haus"], torch.rand(3, 2, 16)
    made = HeatMaps(source, target, ["one", "two", "three"])
    pixels, (left, top) = made.draw(maps), made.corners[0]
    assert pixels.shape[1] <= MAX_WIDTH and [x for x, _ in made.corners] == [left, left, left]
    labels = [pixels[y - top : y + 2 * CELL, :left] for _, y in made.corners]
    assert (labels[0] == labels[1]).all() and (labels[0] == labels[2]).all() and (labels[0] < 128).any()
    for (x, y), weights in zip(made.corners, maps, strict=True):
        middles = pixels[y + CELL // 2 :: CELL, x + CELL // 2 : x + 16 * CELL : CELL, 0][:2]
        torch.testing.assert_close(torch.from_numpy(middles), (255 - 247 * weights).round().byte(), rtol=0, atol=1)
    root = ElementTree.fromstring(made.svg(maps))
    assert root.get("viewBox") == f"0 0 {pixels.shape[1]} {pixels.shape[0]}"
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")].count("Haus") == 3


def test_two_short_maps_stand_side_by_side():
    made = HeatMaps(["a"] * 5, ["b"], ["one", "two", "three", "four"])
    assert len({y for _, y in made.corners}) == 1 and made.size[0] <= MAX_WIDTH


def test_svg_of_words_with_characters_that_xml_does_not_allow():
    made = HeatMaps(["a\x08b"], ["c\ufffe", "d\udcff"], ["layer\x1b"])
    root = ElementTree.fromstring(made.svg(torch.ones(1, 2, 2)))
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["c ", "d ", "layer ", "a b", "<end>"]
