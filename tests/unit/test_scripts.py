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


OTHER = {"test_matrix.py"}  # gives them to pytest
ALL = sorted({p.name for p in SCRIPTS.glob("*.py") if "__main__" in p.read_text(encoding="utf-8")} - OTHER)


@pytest.mark.parametrize("script", ALL)
def test_an_unknown_option_is_refused_by_every_script(script, monkeypatch, tmp_path, capsys):
    if script == "argos_splitter.py":
        pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, script, "--nonsense") == 2
    said = capsys.readouterr().err
    assert "error: " in said and "Traceback" not in said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["check_batch_independence.py", "none", "--data", "no.en"], "error: `none` does not exist"),
        (["search_errors.py", "none", "--data", "no.en"], "error: `n"),
        (["daquar_tables.py", "none", "out"], "error: `none/image_order.txt`: No such file or directory"),
        (["fsdd_tables.py", "make", "none", "out"], "error: `none"),
        (["bench_training.py", "optim.lr=-1"], "error: `optim.lr` must be positive, but is -1"),
        (["bench_training.py", "data.train=[no.en,no.de]"], "error: `no.en` does not exist"),
        (["gpu_day.py"], "error: the following arguments are required: part, folder"),
        (["gpu_day.py", "lunch", "out"], "error: argument part: invalid choice: 'lunch'"),
    ],
)
def test_what_is_missing_or_wrong_is_told_in_a_sentence(argv, says, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, *argv) == 2
    assert says in capsys.readouterr().err


def test_a_curve_of_no_run(monkeypatch, tmp_path, capsys):
    assert typed(monkeypatch, "curve.py", str(tmp_path)) == 2
    assert "/metrics.jsonl` cannot be read: No such file or directory." in capsys.readouterr().err


def test_what_is_kept_for_later_tests_is_not_written_again(monkeypatch, tmp_path, capsys):
    assert typed(monkeypatch, "make_golden.py", str(tmp_path)) == 2
    assert f"{tmp_path} exists already; name a new folder" in capsys.readouterr().err
