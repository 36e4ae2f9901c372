"""A source of several inputs: what its cells are, which of them are missing, and how many rows there are."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from mt.config import Input, InputKind
from mt.errors import ConfigError, DataError
from mt.inputs.contents import opened
from mt.inputs.reader import InputReader, fit
from mt.inputs.several import SeveralInputs

EOS = 2


def encode(texts):
    return [[*map(len, text.split()), EOS] for text in texts]


@pytest.fixture
def reader(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(8.0).reshape(4, 2))
    inputs = [
        Input(column="en", kind=InputKind.text),
        Input(column="image", kind=InputKind.features, size=2, scale=2.0),
        Input(column="fr", kind=InputKind.text),
    ]
    return InputReader(inputs, encode)


def test_each_cell_is_read_as_its_kind(reader, tmp_path):
    found = reader.item(f"a dog\t{tmp_path}/rows.npy:1:3\tun chien")
    assert isinstance(found, SeveralInputs)
    assert (found.parts[0], found.parts[2]) == ([1, 3, EOS], [2, 5, EOS])
    assert found.parts[1].tolist() == [[1.0, 1.5], [2.0, 2.5]]
    assert found.present == (True, True, True) and len(found) == 8
    assert reader.text("a dog\tx.npy\tun chien") == "a dog\nun chien"


def test_an_empty_cell_is_a_missing_input_of_one_row(reader, tmp_path):
    found = reader.item("\t\tun chien")
    assert found.present == (False, False, True) and found.parts[1].tolist() == [[0.0, 0.0]]
    assert [len(part) for part in found.parts] == [1, 1, 3] and len(found) == 5
    assert reader.counts("\t\tun chien") == [0, 0, 3]
    assert reader.counts(f" \t{tmp_path}/rows.npy\tchat") == [0, 4, 2]


def test_a_cell_whose_size_is_known_is_not_read_again(reader, tmp_path):
    known, cell = {}, f"{tmp_path}/rows.npy:1:3"
    assert reader.counts(f"a dog\t{cell}\tun", "t.tsv:2", known) == [3, 2, 2]
    assert known == {(1, cell): 2}  # texts are read faster than found
    known[1, cell] = 7
    assert reader.counts(f"one\t{cell}\tun chien", "t.tsv:3", known) == [2, 7, 3]
    with pytest.raises(DataError, match=r"^t\.tsv:4: column `image`: .*none\.npy cannot be read: "):
        reader.counts(f"one\t{tmp_path}/none.npy:0:3\tun", "t.tsv:4", known)


def test_what_is_left_out_is_as_if_its_cell_were_empty(reader):
    whole = "a dog\tnowhere.npy\tun chien"
    found = reader.item(whole, left_out=[False, True, True])  # so the file is not even read
    assert repr(found) == repr(reader.item("a dog\t\t"))


def test_a_single_input_is_itself(tmp_path):
    reader = InputReader([Input(column="en", kind=InputKind.text)], encode)
    assert reader.item("a dog") == [1, 3, EOS] and reader.counts("a dog") == [3]
    assert reader.item("") == [EOS] and reader.counts("") == [1]


def test_faults_name_row_and_column(reader, tmp_path):
    with pytest.raises(DataError, match=r"^t\.tsv:7: column `image`: nowhere\.npy cannot be read: No such file"):
        reader.item("a dog\tnowhere.npy\tun chien", "t.tsv:7")
    with pytest.raises(DataError, match="must have the cells en, image, fr with tabs between them, but is 'a dog'"):
        reader.item("a dog")
    with pytest.raises(DataError, match="column `image` is empty in all of the training data"):
        fit(reader.inputs, ["a\t\tb", "c\t\td"], ["t:1", "t:2"])


@pytest.mark.parametrize("cell", ["nowhere.npy", "none/nowhere.npy:7"])
def test_a_relative_name_that_is_not_there_says_from_where_it_counts(cell, reader, tmp_path):
    says = "relative names count from the folder of their table; on stdin and in Python, from the current folder"
    with pytest.raises(DataError, match=r"cannot be read: No such file") as refused:
        reader.item(f"a\t{cell}\tb")
    assert refused.value.hint == f"{says}."
    with pytest.raises(DataError, match=r"cannot be read: No such file") as refused:
        reader.item(f"a\t{tmp_path}/{cell}\tb")
    assert refused.value.hint == ""
    with pytest.raises(DataError) as refused:
        opened("none.wav")
    assert refused.value.hint == f"{says}."


def test_what_is_no_string_is_told_the_form_of_a_source(reader):
    for wrong in ([Path("a.png")], [("a dog", "a.png", "un chien")], Path("a.png"), b"RIFF"):
        with pytest.raises(ConfigError, match=r"^`texts` must be a list of strings, but ") as refused:
            reader.check(texts=wrong)
        assert refused.value.hint == (
            "a source is a string: the cells of a row with tabs between them (en, image, fr); a file is its name, as "
            "`str(path)` gives it."
        )
    with pytest.raises(ConfigError, match=r"a source is a string: a cell \(image\); a file"):
        InputReader(reader.inputs[1:2], encode).check(texts=[3])


def test_a_reader_can_be_sent_to_another_process(reader):
    again = pickle.loads(pickle.dumps(reader))
    assert repr(again.item("a\t\tb")) == repr(reader.item("a\t\tb"))
