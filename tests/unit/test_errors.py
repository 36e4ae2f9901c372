"""Sentences that many rooms share."""

import json
import sys

import pytest

from mt.errors import ConfigError, counted, in_short, json_kind, require_package, shown


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 training pairs"),
        (1, "1 training pair"),
        (1240, "1,240 training pairs"),
        (1.0, "1 training pair"),
        (0.25, "0.25 training pairs"),
    ],
)
def test_one_is_no_plural(number, said):
    assert counted(number, "training pair") == said


def test_a_package_that_is_missing_is_named_and_one_that_is_there_is_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    require_package("this", "poetry")
    assert "this" not in sys.modules
    with pytest.raises(ConfigError) as refused:
        require_package("no_such_package", "poetry")
    assert str(refused.value) == (
        "poetry needs the package `no_such_package`. hint: install it with `pip install no_such_package`."
    )


def test_long_stories_are_cut():
    assert in_short(RuntimeError("\nfirst\nsecond")) == "RuntimeError: first"
    assert in_short(ValueError("x" * 999)) == f"ValueError: {'x' * 200}"


def test_values_from_json_are_told_in_the_words_of_json():
    values = json.loads('[null, true, 1, 1.5, "a", [], {}]')
    kinds = ["null", "a boolean", "a number", "a number", "a string", "an array", "an object"]
    assert [json_kind(value) for value in values] == kinds
    assert json_kind(b"") == "bytes"  # of a Parquet file
    assert [shown(value) for value in values] == ["null", "true", "1", "1.5", "'a'", "[]", "{}"]
    assert shown({"a": [None, "ä"]}) == '{"a": [null, "\\u00e4"]}'
    assert shown(b"\xff") == r"b'\xff'"  # of a Python caller
