"""Names of files where `mt train` takes settings."""

from pathlib import Path

import pytest

from mt.cli.main import main

GOLDEN_RUN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "golden").symlink_to(GOLDEN_RUN)
    for name in ("news.en", "news.de"):
        (tmp_path / name).touch()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", [[], ["--multirun"], ["--resume", "golden"], ["init=golden/model"]])
@pytest.mark.parametrize("files", [["news.ne", "news.de"], ["news.de", "news.ne"]])
def test_a_misspelt_file_is_named_before_one_that_exists(capsys, command, files):
    assert main(["train", *command, *files]) == 2
    assert capsys.readouterr().err == (
        "mt train: `news.ne` is neither a setting nor a file that exists.\n\nhint: did you mean `news.en`?\n"
    )


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", [["--resume", "golden"], ["data.train=[news.en,news.de]"]])
def test_files_that_cannot_be_meant_are_refused(capsys, command):
    assert main(["train", *command, "news.en", "news.de"]) == 2
    assert capsys.readouterr().err == (
        "mt train: `news.en` is a file, not a setting.\n\nhint: to train on it write "
        "`'data.train=[news.en,news.de]'`.\n"
    )
