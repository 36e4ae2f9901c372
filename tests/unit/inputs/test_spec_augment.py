"""SpecAugment: what is hidden of a recording, by hand and as a pure function."""

import numpy as np
import pytest
import torch

from mt.config import Input, InputKind
from mt.inputs.reader import InputReader
from mt.inputs.spec_augment import draw_masks, masked


def test_masks_by_hand():
    rows = torch.arange(1.0, 13).reshape(4, 3)
    nothing = (0.0, 0.5)
    assert masked(rows, [nothing] * 4).equal(rows)
    # Half of four frames from the second on (the third of three places), and a third of three bands, the last one.
    found = masked(rows, [(0.5, 0.99), nothing, (0.34, 0.7), nothing])
    assert found.tolist() == [[1, 2, 0], [4, 5, 0], [0, 0, 0], [0, 0, 0]]
    found = masked(rows, [(0.25, 0.0), (0.25, 0.99), nothing, (0.34, 0.0)])
    assert found.tolist() == [[0, 0, 0], [0, 5, 6], [0, 8, 9], [0, 0, 0]]
    assert rows[0, 0] == 1  # a copy


def test_no_mask_is_wider_than_the_share_and_one_row_stays():
    drawn = draw_masks(500, 0.2, seed=3)
    assert drawn.shape == (500, 4, 2)
    assert 0.19 < drawn[..., 0].max() < 0.2 and drawn[..., 1].max() > 0.99 and drawn.min() >= 0
    hidden = [(masked(torch.ones(50, 40), one) == 0) for one in drawn.tolist()]
    frames = torch.stack([one.all(1).sum() for one in hidden])
    bands = torch.stack([one.all(0).sum() for one in hidden])
    assert frames.max() <= 2 * 9 and bands.max() <= 2 * 7
    assert frames.float().mean() == pytest.approx(2 * 4.5, abs=1) and bands.float().mean() == pytest.approx(7, abs=1)
    assert masked(torch.ones(1, 2), drawn[0].tolist()).tolist() == [[1, 1]]


def test_masks_are_a_pure_function_of_the_seed():
    assert np.array_equal(draw_masks(9, 0.2, 1), draw_masks(9, 0.2, 1))
    assert not np.array_equal(draw_masks(9, 0.2, 1), draw_masks(9, 0.2, 2))


def test_recordings_are_masked_and_other_inputs_are_not(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0, 0.1, 4000), 8000)
    np.save(tmp_path / "a.npy", np.ones((5, 3)))
    inputs = [
        Input(column="speech", kind=InputKind.audio, size=40, rate=8000),
        Input(column="rows", kind=InputKind.features, size=3),
    ]
    reader = InputReader(inputs, lambda texts: [])
    source, masks = f"{tmp_path}/a.wav\t{tmp_path}/a.npy", [(0.5, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    (plain, _), (speech, rows) = reader.item(source).parts, reader.item(source, masks=masks).parts
    half = len(plain) // 2
    assert not speech[:half].any() and speech[half:].equal(plain[half:]) and plain[:half].all()
    assert rows.equal(torch.ones(5, 3))
