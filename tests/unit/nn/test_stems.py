"""Stems: positions in two dimensions, and convolutions over packed rows against one item at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy import tiny_config

from mt.compute.matmul import has_bf16
from mt.config import ImageStem, Input, InputKind, ModelConfig, Positions
from mt.errors import ConfigError
from mt.inputs.image import patches
from mt.inputs.several import SeveralInputs
from mt.nn.encoders import input_model
from mt.nn.positions import sinusoidal_grid, sinusoidal_table
from mt.nn.prepacked import prepacked
from mt.nn.ragged import Ragged
from mt.nn.source import FrameSource
from mt.nn.stems import ConvolutionPatchStem, ConvolutionStem, LinearStem, PatchStem, stem_of, windows

IMAGE = Input(column="x", kind=InputKind.image, side=6, patch=2, size=12)
CONVOLVED = replace(IMAGE, side=12, patch=4, size=48)
AUDIO = Input(column="x", kind=InputKind.audio, size=5, rate=8000)
LENGTHS = [1, 2, 3, 4, 5, 8, 9, 16, 17]


def items(size: int, lengths=LENGTHS) -> list[torch.Tensor]:
    torch.manual_seed(3)
    return [torch.randn(length, size) for length in lengths]


def convolved(stem: ConvolutionStem, item: torch.Tensor) -> torch.Tensor:
    """The same by torch's convolution, padded with a row of zeros on either side."""
    rows = item.T[None]
    for linear in stem.convolutions:
        weight = linear.weight.unflatten(1, (3, -1)).transpose(1, 2)
        rows = nn.functional.gelu(nn.functional.conv1d(rows, weight, linear.bias, stride=2, padding=1))
    return rows[0].T


def test_two_convolutions_over_packed_rows_are_those_over_each_item_alone():
    stem = stem_of(tiny_config(), AUDIO)
    assert isinstance(stem, ConvolutionStem)
    for parameter in stem.parameters():
        nn.init.normal_(parameter, std=0.5)
    found = stem.convolved(FrameSource.pack(items(5)))
    assert found.layout.lengths.tolist() == [-(-length // 4) for length in LENGTHS]
    assert found.layout.num_rows == len(found.rows) and found.layout.max_length == 5
    for one, rows in zip(items(5), found.rows.split(found.layout.lengths.tolist()), strict=True):
        assert torch.allclose(rows, convolved(stem, one), atol=1e-5)


def test_the_gradient_stays_in_the_item():
    stem = stem_of(tiny_config(), AUDIO)
    for parameter in stem.parameters():
        nn.init.normal_(parameter, std=0.5)
    packed = FrameSource.pack(items(5))
    rows = packed.rows.requires_grad_()
    found = stem.convolved(FrameSource(rows, packed.layout))
    item = 6
    found.rows[found.layout.owners == item].sum().backward()
    touched = rows.grad.abs().sum(1) > 0
    assert touched.equal(packed.layout.owners == item)


def test_windows_by_hand():
    rows = torch.tensor([[1.0], [2], [3], [4], [5]])
    layout = Ragged.from_lengths([3, 2])
    half = layout.halved()
    assert half.lengths.tolist() == [2, 1] and half.max_length == 2
    assert windows(rows, layout, half).tolist() == [[0, 1, 2], [2, 3, 0], [0, 4, 5]]


def test_positions_of_a_grid_tell_line_and_column():
    table, line = sinusoidal_grid(3, 8), sinusoidal_table(3, 4)
    for number in range(9):
        assert table[number].tolist() == [*line[number // 3], *line[number % 3]]


@pytest.mark.parametrize("positions", Positions)
def test_a_model_of_images_tells_patches_apart_by_their_places(positions):
    torch.manual_seed(1)
    config = tiny_config(positions=positions)
    model = input_model(config, [IMAGE], src_size=1, tgt_size=9).eval()
    stem = model.encoder.embedding
    assert isinstance(stem, PatchStem)
    if positions is Positions.learned:
        assert stem.table is None and stem.learned is not None
    else:
        assert torch.equal(stem.table, sinusoidal_grid(3, config.dim))
    with torch.inference_mode():
        rows = stem(torch.ones(9, 12), torch.arange(9))
        assert len(rows.unique(dim=0)) == 9
        together = model.encode(model.encoder.pack(items(12, [9, 9])))
        alone = model.encode(model.encoder.pack(items(12, [9, 9])[1:]))
    assert torch.allclose(together.rows[9:], alone.rows, atol=1e-5)


def with_convolutions(**settings) -> ModelConfig:
    return tiny_config(image_stem=ImageStem.convolution, **settings)


def test_convolutions_over_patches_are_those_over_the_images():
    stem = stem_of(with_convolutions(), CONVOLVED)
    assert isinstance(stem, ConvolutionPatchStem) and len(stem.convolutions) == 2
    for parameter in stem.parameters():
        nn.init.normal_(parameter, std=0.5)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    cut = [torch.from_numpy(patches(image, 4)) for image in images]
    absent = torch.zeros(1, 48)
    found = stem.convolved(FrameSource.pack([absent, cut[0], absent, *cut[1:], absent]))
    assert found.layout.lengths.tolist() == [1, 9, 1, 9, 9, 1] and found.rows.isfinite().all()
    seen = found.rows.split(found.layout.lengths.tolist())
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    for linear, norm in zip(stem.convolutions, stem.norms, strict=True):
        weight = linear.weight.unflatten(1, (-1, 3, 3))
        made = nn.functional.conv2d(pixels, weight, linear.bias, stride=2, padding=1)
        pixels = nn.functional.gelu(norm(made.movedim(1, 3)).movedim(3, 1))
    for place, image in zip((1, 3, 4), pixels, strict=True):
        assert torch.allclose(seen[place], image.flatten(1).T, atol=1e-4)


def test_a_missing_image_is_alike_with_convolutions_and_with_patches():
    """In a model of several inputs an empty cell is one learned row, whatever is beside it."""
    torch.manual_seed(1)
    text = Input(column="t", kind=InputKind.text)
    model = input_model(with_convolutions(), [CONVOLVED, text], src_size=9, tgt_size=9).eval()
    photo = torch.randn(9, 48)
    whole = SeveralInputs((photo, [3, 4]), (True, True))
    without = SeveralInputs((torch.zeros(1, 48), [3, 4]), (False, True))
    with torch.inference_mode():
        alone = model.encode(model.encoder.pack([without]))
        beside = model.encode(model.encoder.pack([whole, without]))
    assert torch.allclose(alone.rows, beside.rows[beside.layout.owners == 1], atol=1e-5)


@pytest.mark.parametrize("side", [1, 6])
def test_convolutions_need_a_patch_that_can_be_halved_to_a_pixel(side):
    with pytest.raises(ConfigError, match=rf"^`model\.image_stem` must be linear where patches .*, but is {side}\.$"):
        stem_of(with_convolutions(), replace(IMAGE, side=12, patch=side, size=side**2 * 3))


def test_a_size_that_cannot_be_halved_twice_is_refused():
    config = tiny_config(dim=18, heads=3)
    with pytest.raises(ConfigError, match=r"^`model\.dim` must be a multiple of 4 for an image, but is 18\.$"):
        stem_of(config, IMAGE)
    stem_of(tiny_config(dim=18, heads=3, positions=Positions.learned), IMAGE)
    assert type(stem_of(config, Input(column="x", kind=InputKind.features, size=3))) is LinearStem


def test_a_model_of_speech_reads_an_item_alike_whatever_is_beside_it():
    torch.manual_seed(1)
    model = input_model(tiny_config(), [AUDIO], src_size=1, tgt_size=9).eval()
    names = [name for name, _ in model.named_parameters()]
    assert "src_embedding.convolutions.0.weight" in names and "src_embedding.linear.weight" in names
    with torch.inference_mode():
        together = model.encode(model.encoder.pack(items(5)))
        for number, rows in enumerate(together.rows.split(together.layout.lengths.tolist())):
            alone = model.encode(model.encoder.pack(items(5)[number : number + 1]))
            assert torch.allclose(rows, alone.rows, atol=1e-5)


@pytest.mark.skipif(not has_bf16(), reason="no bfloat16 here")
@pytest.mark.parametrize(
    "one, stem",
    [(IMAGE, ImageStem.linear), (CONVOLVED, ImageStem.convolution), (AUDIO, ImageStem.linear)],
    ids=["patches", "image", "audio"],
)
def test_a_copy_in_16_bits_reads_them_too(one, stem):
    torch.manual_seed(1)
    model = input_model(tiny_config(image_stem=stem), [one], src_size=1, tgt_size=9).eval()
    source = FrameSource.pack(items(one.size, [9, 9]))
    with torch.inference_mode():
        rows = prepacked(model, torch.bfloat16).encode(source).rows
        assert rows.dtype is torch.bfloat16
        assert torch.allclose(rows.float(), model.encode(source).rows, atol=0.15)
