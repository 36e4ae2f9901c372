"""Pictures of the attention to several inputs, by hand."""

import numpy as np
import torch
from PIL import Image

from mt.alignment.observe import Side
from mt.inputs.kind import Picture
from mt.interpret.heat_maps import CELL, FULL, GAP, PRINT_SCALE
from mt.interpret.input_pictures import HEAT, OPAQUE, SHEET, TILE, drawing, picture_of, relative, stacked
from mt.interpret.inputs import InputObservation, View

WORDS = Side("ein Haus", [(0, 3), (4, 8)], [])
GRAY = np.full((8, 16, 3), 128, np.uint8)


def seen(*views: View, weights: torch.Tensor) -> InputObservation:
    """One layer and one head."""
    maps = weights.expand(2, 1, 1, *weights.shape)
    return InputObservation(list(views), WORDS, maps, maps[0], [0.0, 0.0])


def test_the_darkest_is_the_largest_of_each_piece():
    assert relative(torch.tensor([[0.5, 0.25], [0.0, 0.0]])).tolist() == [[1.0, 0.5], [0.0, 0.0]]


def test_a_line_of_weights_for_each_piece_lies_below_the_rows():
    pixels = picture_of(
        seen(View("x", Picture(GRAY, (1, 4)), 4), weights=torch.tensor([[0.5, 0, 0, 0.25], [0, 1.0, 0, 0]]))
    )
    assert len(pixels) == SHEET + 2 * CELL
    assert (pixels[SHEET // 2, -100:] == 128).all() and (pixels[SHEET:, :4] > 0).any()
    columns = [
        (pixels.shape[1] - 50),
        pixels.shape[1] - 380,
        pixels.shape[1] - 250,
    ]  # in the last, first and second row
    middles = [SHEET + CELL // 2, SHEET + CELL + CELL // 2]
    half = (255 - 0.5 * (255 - FULL)).round()
    assert (pixels[middles[0], columns] == [half, FULL, [255] * 3]).all()
    assert (pixels[middles[1], columns] == [[255] * 3, [255] * 3, FULL]).all()


def test_an_image_is_shown_once_for_each_piece_with_its_weights():
    weights = torch.tensor([[1.0, 1, 1, 1], [0.0, 0, 0, 0]]) / 4
    pixels = picture_of(seen(View("x", Picture(GRAY[:, :8], (2, 2)), 4), weights=weights))
    first, second = pixels[TILE // 2, TILE // 2], pixels[TILE // 2, TILE + GAP + TILE // 2]
    assert np.abs(first - (128 * (1 - OPAQUE) + HEAT * OPAQUE)).max() < 2 and (second == 128).all()


def test_inputs_lie_below_each_other_and_texts_are_maps():
    text = View("en", Side("a b", [(0, 1), (2, 3)], []), 3)
    weights = torch.tensor([[0.2, 0, 0, 0.8], [0, 0, 1.0, 0]])
    whole = picture_of(seen(text, View("photo", Picture(GRAY, (1, 1)), 1), weights=weights))
    alone = picture_of(seen(text, weights=weights[:, :3]))
    below = SHEET + 3 * CELL  # of the other input, with its title
    assert len(whole) == len(alone) + GAP + below
    top = len(alone) - 2 - 2 * CELL
    quarter = (255 - 0.25 * (255 - FULL)).round()
    left = [x for x in range(200) if (whole[top + CELL // 2, x] == quarter).all()]
    assert len(left) == CELL and (whole[top + CELL + CELL // 2, left[0] + 2 * CELL] == FULL).all()


def test_stacked_pictures_are_as_wide_as_the_widest():
    one, two = np.zeros((2, 3, 3), np.uint8), np.ones((1, 5, 3), np.uint8)
    page = stacked([one, two], 4)
    assert page.shape == (7, 5, 3) and (page[:2, :3] == 0).all() and (page[6] == 1).all()
    assert (page[2:6] == 255).all() and (page[:2, 3:] == 255).all()


def test_a_file_is_larger_than_the_picture_on_screen(tmp_path):
    one = seen(View("x", Picture(GRAY, (1, 4)), 4), weights=torch.full((2, 4), 0.25))
    (tmp_path / "a.png").write_bytes(drawing(one))
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (440 * PRINT_SCALE, (SHEET + 2 * CELL) * PRINT_SCALE)
