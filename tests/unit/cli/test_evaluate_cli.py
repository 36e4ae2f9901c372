"""`mt evaluate`: what is asked for, what is compared, what is refused before any work."""

import json
from types import SimpleNamespace

import pytest

from mt.cli.evaluate import parse, run
from mt.decode.translator import Translation
from mt.errors import ConfigError, DataError


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    references = [f"the number {n} is a number" for n in range(10)]
    hypotheses = [*references[:5], *["that is none"] * 5]
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in references))
    (tmp_path / "hyp").write_text("".join(f"{line}\n" for line in hypotheses))
    (tmp_path / "short").write_text("one\n")
    (tmp_path / "test.tsv").write_text("".join(f"{n}\t{line}\n" for n, line in enumerate(references)))
    return references


@pytest.fixture
def model(monkeypatch, texts, tmp_path):
    """A model in `runs/a` that is always right, and one in `runs/b` that is always wrong."""
    for name in ("a", "b"):
        (tmp_path / "runs" / name / "model").mkdir(parents=True)
        for file in ("manifest.json", "config.yaml"):
            (tmp_path / "runs" / name / file).write_text("{}")

    def load(path, **settings):
        def search(sources, beam):
            return [[Translation(texts[int(s)] if path.name == "a" else "no", 0.0, 0.0, [], [], True)] for s in sources]

        return SimpleNamespace(search=search)

    monkeypatch.setattr("mt.build.load", load)
    monkeypatch.setattr("mt.build.languages", lambda path: ("en", "de"))
    monkeypatch.setattr("mt.build.from_plain", lambda section, values, where: None)
    monkeypatch.setattr("mt.build.read_config", lambda path: {"data": {}})
    monkeypatch.setattr("mt.device.set_up_cpu", lambda threads: None)
    return tmp_path / "runs"


def test_a_file_is_scored_against_another(texts, capsys):
    assert run(["--hypotheses", "hyp", "--references", "ref", "--bootstrap", "40"]) == 0
    said = capsys.readouterr().out.split("\n")
    assert said[0] == "hyp, 10 sentences" and said[1].startswith("BLEU = ") and "±" in said[1]


def test_json_holds_scores_and_differences(texts, capsys):
    run(["--hypotheses", "hyp", "--references", "ref", "--bootstrap", "40", "--json", "--compare", "ref"])
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["sentences"]) == ("hyp", 10)
    row = told["comparison"][0]
    assert row["name"] == "BLEU" and row["baseline"] < row["other"] and row["p_value"] < 0.1


def test_files_can_be_scored_on_a_test_set_without_any_run(texts, capsys):
    assert run(["--hypotheses", "ref", "--test", "test.tsv", "--bootstrap", "40"]) == 0
    assert "BLEU = 100.0" in capsys.readouterr().out


def test_a_model_is_scored_compared_and_kept(model, capsys):
    argv = ["runs/a", "--test", "test.tsv", "--compare", "runs/b", "--bootstrap", "40"]
    assert run(argv) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[0] == "test, 10 sentences" and lines[1].startswith("BLEU = 100.0")
    assert lines[4].startswith("BLEU = 100.0 -> 0.0 (-100.0, p = ")
    for name, value in (("a", 100), ("b", 0)):
        assert json.loads((model / name / "eval/test.json").read_text())["scores"][0]["value"] == pytest.approx(value)


@pytest.mark.parametrize(
    ("argv", "kind", "sentence"),
    [
        (["--references", "ref"], ConfigError, "^--references goes with --hypotheses"),
        (["--hypotheses", "hyp", "--references", "ref", "--test", "x"], ConfigError, "both name references"),
        (["--bootstrap", "10"], ConfigError, "must be at least 40, or nothing is left to cut off, but is 10"),
        (["--bootstrap", "x"], ConfigError, "must be a whole number"),
        (["--hypotheses", "hpy", "--references", "ref"], DataError, "`hpy` does not exist: did you mean `hyp`?"),
        (["--hypotheses", "hyp", "--references", "rfe"], DataError, "`rfe` does not exist"),
        (["runs/a", "--compare", "runs/c"], DataError, "`runs/c` does not exist"),
        (
            ["--hypotheses", "short", "--references", "ref"],
            DataError,
            "^short has 1 lines, but there are 10 references",
        ),
        (["--hypotheses", "hyp", "--references", "ref", "--compare", "short"], DataError, "^short has 1 lines"),
        (
            ["--hypotheses", "hyp", "--references", "ref", "--compare", "."],
            ConfigError,
            "needs the sources: give --test",
        ),
        (["--hypotheses", "short", "--test", "test.tsv"], DataError, "^short has 1 lines"),
    ],
)
def test_what_cannot_be_done_is_refused(texts, tmp_path, argv, kind, sentence):
    (tmp_path / "runs").mkdir()
    with pytest.raises(kind, match=sentence):
        run(argv)


def test_defaults():
    asked = parse([])
    assert (asked.model, asked.test, asked.bootstrap, asked.json, asked.beam) == (None, None, 1000, False, None)
