"""Scripts that a reader of the documentation types: help, and a mistake in what was typed."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def typed(monkeypatch, script, *argv):
    monkeypatch.setattr(sys, "argv", [script, *argv])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize("script", ["curve.py", "make_golden.py", "office_check.py", "tokenizer_losses.py"])
def test_help_is_help_and_an_unknown_option_is_a_mistake(script, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, script, "--help") == 0
    assert f"python scripts/{script}" in capsys.readouterr().out
    assert typed(monkeypatch, script, "--nonsense") == 2
    assert "error: " in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_curve_of_no_run(monkeypatch, tmp_path, capsys):
    assert typed(monkeypatch, "curve.py", str(tmp_path)) == 2
    assert "/metrics.jsonl` cannot be read: No such file or directory." in capsys.readouterr().err


def test_what_is_kept_for_later_tests_is_not_written_again(monkeypatch, tmp_path, capsys):
    assert typed(monkeypatch, "make_golden.py", str(tmp_path)) == 2
    assert f"{tmp_path} exists already; name a new folder" in capsys.readouterr().err
