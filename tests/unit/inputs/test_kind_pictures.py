"""What a model reads of an item, as pixels, and how the rows of its memory lie over them."""

import numpy as np

from mt.config import Input, InputKind
from mt.inputs.audio import Audio
from mt.inputs.image import Images, image_of, patches
from mt.inputs.kind import GRAY, FrameKind


def test_an_image_is_as_the_model_sees_it_and_a_missing_one_is_flat():
    image = np.random.default_rng(1).integers(0, 255, (6, 6, 3), np.uint8)
    assert np.array_equal(image_of(patches(image, 2), 2), image)
    kind = Images(Input(column="x", kind=InputKind.image, side=6, patch=2, size=12, scale=2.0))
    found = kind.picture(patches(image, 2) / 2, every=1)
    assert np.array_equal(found.pixels, image) and found.grid == (3, 3) and found.seconds is None
    assert kind.picture(np.zeros((1, 12), np.float32), every=1).grid == (1, 1)


def test_sound_goes_from_left_to_right_with_low_bands_below_and_loud_ones_dark():
    kind = Audio(Input(column="x", kind=InputKind.audio, size=2, rate=8000))
    found = kind.picture(np.array([[-9, 2.5], [0, 0], [0, 9], [0, 0], [2.5, 0]], np.float32), every=4)
    assert found.grid == (1, 2) and found.seconds == 0.08
    gray = [GRAY] * 3  # what fills up the last row of the memory
    assert found.pixels[:, :, 0].tolist() == [[0, 128, 0, 128, 128, *gray], [255, 128, 128, 128, 0, *gray]]


def test_other_rows_are_shaded_from_their_least_to_their_largest_number():
    kind = FrameKind(Input(column="x", kind=InputKind.features, size=2))
    found = kind.picture(np.array([[0, 1], [2, 4]], np.float32), every=1)
    assert found.pixels[:, :, 0].tolist() == [[191, 0], [255, 128]] and found.grid == (1, 2) and found.seconds is None
