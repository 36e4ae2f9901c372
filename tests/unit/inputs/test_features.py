"""Features: which rows of which array a cell names, and what they are divided by."""

import pickle

import numpy as np
import pytest
import torch

from mt.config import Input, InputKind
from mt.errors import DataError
from mt.inputs.contents import FROM
from mt.inputs.features import Features
from mt.inputs.reader import InputReader, fit, texts_of


def features(size: int = 0, scale: float = 1.0) -> Input:
    return Input(column="image", kind=InputKind.features, size=size, scale=scale)


@pytest.fixture
def items(tmp_path) -> str:
    """Two items of two rows of three numbers: 0 to 11."""
    np.save(tmp_path / "items.npy", np.arange(12, dtype=np.int8).reshape(2, 2, 3))
    return str(tmp_path / "items.npy")


@pytest.fixture
def rows(tmp_path) -> str:
    np.save(tmp_path / "rows.npy", np.arange(8.0).reshape(4, 2))
    return str(tmp_path / "rows.npy")


def test_a_cell_names_an_item_a_row_a_range_of_rows_or_a_file(items, rows):
    read = Features(features()).read
    assert read(f"{items}:1").tolist() == [[6, 7, 8], [9, 10, 11]]
    assert read(f"{rows}:2").tolist() == [[4, 5]]
    assert read(f"{rows}:1:3").tolist() == [[2, 3], [4, 5]]
    assert read(rows).tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert read(rows).dtype is torch.float32


def test_rows_are_divided_by_the_scale_and_a_missing_input_is_one_row_of_zeros(rows):
    read = Features(features(2, 4.0)).read
    assert read(f"{rows}:2").tolist() == [[1, 1.25]]
    assert read("").tolist() == [[0, 0]]


def test_size_and_root_mean_square_are_those_of_the_training_rows(rows):
    (found,) = fit([features()], [f"{rows}:0:2", "", f"{rows}:3"], ["a:1", "a:2", "a:3"])
    # the mean over cells of (0 + 1 + 4 + 9) / 4 = 3.5 and (36 + 49) / 2 = 42.5 is 23
    assert found == features(2, 4.79583)


def test_a_column_without_any_cell_and_a_bad_cell_are_named(rows):
    with pytest.raises(DataError, match=r"^column `image` is empty in all of the training data\.$"):
        fit([features()], ["", ""], ["a:1", "a:2"])
    with pytest.raises(DataError, match=r"^a:2: column `image`: the cell must be file\.npy, file\.npy:ITEM or "):
        fit([features()], [rows, "17"], ["a:1", "a:2"])


def test_a_number_with_more_digits_than_python_reads_is_a_bad_cell(rows):
    with pytest.raises(DataError, match=r"^the cell must be file\.npy, file\.npy:ITEM or "):
        Features(features()).read(f"{rows}:{'9' * 5000}")


def test_a_source_has_as_many_cells_as_the_model_has_inputs(rows):
    reader = InputReader([features(2)], lambda texts: [[len(text)] for text in texts])
    with pytest.raises(DataError, match=r"^here: a source must have the cells image with tabs between them, but is "):
        reader.item(f"{rows}\tmore", "here")
    assert reader.item(f"{rows}:1").tolist() == [[2, 3]]


def encode(texts):
    return [[len(text)] for text in texts]


def test_a_reader_goes_to_another_process_without_its_files(rows):
    reader = InputReader([features(2)], encode)
    reader.item(rows)
    sent = pickle.dumps(reader)
    assert len(sent) < 1000
    assert pickle.loads(sent).item(f"{rows}:0").tolist() == [[0, 1]]


def test_a_text_column_is_encoded_and_its_texts_train_the_tokenizer():
    text = Input(column="en", kind=InputKind.text)
    assert InputReader([text], encode).item("abc") == [3]
    assert texts_of([features(), text], ["a.npy\tone", "b.npy\ttwo"]) == ["one", "two"]
    assert texts_of([features()], ["a.npy"]) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "rows, setting, message",
    [
        (np.zeros((2, 0)), features(), "must have 1 to 65,536 numbers in a row, but has 0"),
        (np.zeros((1, 65_537)), features(), "must have 1 to 65,536 numbers in a row, but has 65,537"),
        (np.full((1, 2), 1e200), features(), "holds a value that is not a finite number of 32 bits"),
        (
            np.full((1, 2), 1e30), features(2, 1e-20),
            "holds a value that is too large: the numbers of the training data are about 1e-20",
        ),
    ],
)  # fmt: skip
def test_rows_that_no_model_can_read_are_refused(rows, setting, message, tmp_path):
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(DataError, match=rf"a\.npy {message}$"):
        Features(setting).read(str(tmp_path / "a.npy"))


def test_a_file_that_was_replaced_is_mapped_again_also_in_another_current_folder(tmp_path, monkeypatch):
    read = Features(features()).read
    for number in (1, 2):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        np.save(folder / "rows.npy", np.full((1, 2), number))
        monkeypatch.chdir(folder)
        assert read("rows.npy").tolist() == [[number, number]]
    np.save(tmp_path / "2" / "rows.npy", np.full((2, 3), 5))
    assert read("rows.npy").tolist() == [[5, 5, 5], [5, 5, 5]]
    (tmp_path / "2" / "rows.npy").unlink()
    with pytest.raises(DataError) as refused:
        read("rows.npy")
    assert str(refused.value) == f"rows.npy cannot be read: No such file or directory hint: {FROM}"
