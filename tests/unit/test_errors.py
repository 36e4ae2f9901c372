"""Sentences that many rooms share."""

import sys

import pytest

from mt.errors import ConfigError, counted, in_short, require_package


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
