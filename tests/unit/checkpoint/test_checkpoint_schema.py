"""Numbers of file kinds: older files are brought up to date step by step, newer ones are refused."""

import copy

import pytest

from mt.checkpoint.schema import CONFIG, MANIFEST, STATE, Schema
from mt.errors import CheckpointError


def rename(values):
    values["size"] = values.pop("dim")
    return values


def nest(values):
    return {"shape": {"size": values["size"]}}


THREE = Schema((rename, nest))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"schema": 1, "dim": 4}, {"shape": {"size": 4}}),
        ({"schema": 2, "size": 4}, {"shape": {"size": 4}}),
        ({"schema": 3, "shape": 1}, {"shape": 1}),
    ],
)
def test_older_files_are_brought_up_step_by_step(values, wanted):
    before = copy.deepcopy(values)
    assert THREE.upgrade(values, "f") == wanted
    assert values == before


def test_what_is_marked_is_read_as_it_was():
    assert THREE.mark({"shape": 1}) == {"schema": 3, "shape": 1}
    assert THREE.upgrade(THREE.mark({"shape": 1}), "f") == {"shape": 1}


@pytest.mark.parametrize("number", [4, 10**30])
def test_a_newer_file_is_refused(number):
    with pytest.raises(CheckpointError) as refused:
        THREE.upgrade({"schema": number}, "`f`")
    assert str(refused.value) == (
        f"`f` has schema {number}, but this version of mt reads 1 to 3. hint: update mt to read newer files."
    )


@pytest.mark.parametrize("number", [None, 0, -1, True, 1.0, "1", [1], "x" * 1000])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(CheckpointError, match=r"^`f` must have a `schema` number, but has .{1,40}: it "):
        THREE.upgrade({"schema": number}, "`f`")
    with pytest.raises(CheckpointError, match="but has null: it is damaged, or not a file of mt"):
        THREE.upgrade({}, "`f`")


def test_a_file_that_is_not_of_its_number_is_refused():
    with pytest.raises(CheckpointError, match=r"^`f` does not fit its schema 1 \(KeyError\('dim'\)\)\.$"):
        THREE.upgrade({"schema": 1}, "`f`")


def test_states_of_the_first_schema_have_no_number():
    assert STATE.upgrade({"train": 1}, "f") == {"train": 1}
    for kind in (MANIFEST, CONFIG):
        with pytest.raises(CheckpointError, match="but has null"):
            kind.upgrade({"train": 1}, "f")
