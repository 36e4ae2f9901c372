"""A name that no folder should have: the folder is told at the start, and meant by the name later."""

import shutil
from pathlib import Path

import pytest

from mt.cli.main import main
from mt.files import folder_name, meant

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"
GIVEN, FOLDER = "my run #1", "my_run_1-3fa2bc0f"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mt.build.train", lambda config, command: 0.0)
    (tmp_path / "presets").mkdir()
    return tmp_path


@pytest.mark.parametrize("more", [[], ["--config-dir", "presets"]])
def test_the_folder_of_a_name_with_special_characters_is_told(desk, capsys, more):
    assert main(["train", f"run.name={GIVEN}", "data.train=[]", "data=tatoeba_en_es", *more]) == 0
    assert capsys.readouterr().err == (
        f"mt train: the run `{GIVEN}` is in the folder `runs/{FOLDER}`, a name without special characters\n"
    )
    main(["train", "run.name=plain", "data=tatoeba_en_es", *more])
    main(["train", "data=tatoeba_en_es", *more])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("verb", "then"),
    [
        ("translate NAME -i text.en", "translate NAME -i text.en"),
        ("train --resume NAME", "train --resume NAME"),
        ("evaluate NAME --test text.tsv", "evaluate NAME --test text.tsv --bootstrap 0"),
        ("info NAME", "info NAME"),
        ("runs compare NAME NAME", "runs compare NAME NAME"),
        ("runs delete NAME --yes", "runs delete NAME --yes"),
    ],
)
def test_the_name_leads_to_the_folder(desk, capsys, verb, then):
    shutil.copytree(GOLDEN, desk / "runs" / FOLDER)
    for name in ("train.tsv", "dev.tsv"):
        shutil.copy(GOLDEN.parents[1] / name, desk / name)
    (desk / "text.en").write_text("a b\n")
    (desk / "text.tsv").write_text("a b\tc d\n")
    assert main([word.replace("NAME", f"runs/{GIVEN}") for word in verb.split()]) == 1
    said = capsys.readouterr().err
    assert f"\n\nhint: did you mean `runs/{FOLDER}`?" in said and f"`runs/{GIVEN}`" in said
    assert main([word.replace("NAME", f"runs/{FOLDER}") for word in then.split()]) == 0


def test_names_that_are_meant():
    assert folder_name(GIVEN) == FOLDER
    assert meant(Path("runs") / GIVEN, ["my_run_2", FOLDER]) == Path("runs") / FOLDER
    assert meant(Path("a/modle"), ["model", "other"]) == Path("a/model")
    assert meant(Path("a/modle"), []) is None
    assert meant(Path("a/link"), ["link", "link-2"]) == Path("a/link-2") and meant(Path("a/link"), ["link"]) is None
