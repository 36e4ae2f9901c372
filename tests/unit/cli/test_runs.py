"""`mt runs` and `mt info` on copies of a run of an older version."""

import fcntl
import io
import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from mt.cli import info, runs
from mt.errors import CheckpointError, ConfigError

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        shutil.copytree(GOLDEN, tmp_path / "runs" / name)
    config = tmp_path / "runs/b/config.yaml"
    config.write_text(config.read_text().replace("lr: 0.02", "lr: 0.05"))
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_runs_are_listed(home, capsys):
    assert runs.run([]) == 0
    header, *rows = capsys.readouterr().out.rstrip().split("\n")
    assert header.split() == ["run", "data", "direction", "dev", "test", "state", "steps", "time", "size"]
    assert {row.split()[0] for row in rows} == {"runs/a", "runs/b"}
    assert runs.run(["list", "runs/a", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["state"], row["steps"], row["direction"]) == ("runs/a", "finished", 12, "en-de")


def test_an_empty_folder_is_no_error_and_a_missing_one_is(home, capsys):
    (home / "none").mkdir()
    assert runs.run(["list", "none"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "none holds no runs.\n")
    with pytest.raises(
        CheckpointError, match=r"^there is no folder `gone`\. hint: name one that holds runs, or train one with"
    ):
        runs.run(["list", "gone"])


def test_what_is_kept_of_sweeps_is_no_run_to_compare(home, capsys):
    kept = home / "runs/sweeps/2026-12-01_10-00-00/multirun.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text("hydra: {}\n")
    assert runs.run(["compare", *map(str, sorted(Path("runs").iterdir()))]) == 0  # `runs/*`
    assert capsys.readouterr().out.split("\n")[0].split() == ["run", "runs/a", "runs/b"]
    with pytest.raises(ConfigError, match=r"^compare takes at least two runs\. hint: `mt runs` lists the runs"):
        runs.run(["compare", "runs/a", "runs/sweeps"])
    with pytest.raises(CheckpointError, match=r"^`runs/sweeps` is not the folder of a run"):
        runs.run(["delete", "runs/sweeps", "--yes"])


def test_runs_are_compared_in_a_table_and_a_page(home, capsys):
    assert runs.run(["compare", "runs/a", "runs/b", "-o", "page.html"]) == 0
    said = capsys.readouterr()
    rows = {row.split()[0]: row.split()[1:] for row in said.out.rstrip().split("\n")}
    assert rows["run"] == ["runs/a", "runs/b"] and rows["optim.lr"] == ["0.02", "0.05"]
    assert "optim.beta1" not in rows and said.err == "The curves are in page.html.\n"
    assert (home / "page.html").read_text(encoding="utf-8").count("<polyline") == 2
    with (home / "runs/b/metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "dev", "step": 12, "bits_per_char": 0.5}\n')
    runs.run(["compare", "runs/a", "runs/b", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {"optim.lr": [0.02, 0.05]}
    assert [one["bits_per_char"] for one in found["runs"]] == [None, 0.5] and found["seeds"] == []


def test_runs_that_differ_in_the_seed_have_a_mean(home, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        file = home / "runs" / name / "config.yaml"
        text = re.sub("lr: 0.0[25]", "lr: 0.02", file.read_text(encoding="utf-8"))
        file.write_text(re.sub("seed: [0-9]+", f"seed: {seed}", text), encoding="utf-8")
    runs.run(["compare", "runs/a", "runs/b"])
    table, means = capsys.readouterr().out.split("\n\n")
    assert "train.seed" in table and means.startswith(
        "runs that differ in nothing but the seed: mean ± standard deviation\nruns        a, b\ntrain.seed  1, 2\ndev "
    )
    runs.run(["compare", "runs/a", "runs/b", "--json"])
    (found,) = json.loads(capsys.readouterr().out)["seeds"]
    assert found["runs"] == ["runs/a", "runs/b"] and found["seeds"] == [1, 2]


def test_a_damaged_run_is_named_and_hides_no_other(home, capsys):
    (home / "runs/a/manifest.json").write_text('{"attempts": [3], "src": ')
    assert runs.run([]) == 0
    said = capsys.readouterr()
    assert {row.split()[0] for row in said.out.split("\n")[1:-1]} == {"runs/a", "runs/b"}
    assert said.err == (
        "mt runs: runs/a is damaged: `runs/a/manifest.json` is not valid JSON in UTF-8; it may be damaged.\n"
    )
    runs.run(["compare", "runs/a", "runs/b"])
    assert capsys.readouterr().err.startswith("mt runs: runs/a is damaged: `runs/a/manifest.json` is not ")
    runs.run(["--json"])
    problems = {row["run"]: row["problem"] for row in json.loads(capsys.readouterr().out)}
    assert problems["runs/b"] is None and problems["runs/a"].startswith("`runs/a/manifest.json` is not")


@pytest.mark.parametrize(
    ("answer", "gone"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_run_is_deleted_after_a_question(home, monkeypatch, capsys, answer, gone):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert runs.run(["delete", "runs/a"]) == (0 if gone else 1)
    assert "runs/a" in (said := capsys.readouterr().err) and "Delete 1 run for good? [y/N] " in said
    assert (home / "runs/a").exists() != gone and (home / "runs/b").exists()
    assert ("runs/a is deleted." if gone else "Nothing was deleted.") in said


def test_without_a_terminal_deleting_needs_yes(home, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(
        ConfigError, match=r"^there is no terminal to ask on\. hint: add `--yes` to delete without a question\.$"
    ):
        runs.run(["delete", "runs/a"])
    assert runs.run(["delete", "runs/a", "runs/b", "./runs/a/", "--yes"]) == 0  # a name twice does no harm
    assert not list((home / "runs").iterdir())


def test_what_is_no_run_or_in_use_is_not_deleted(home):
    (home / "text").mkdir()
    for name, problem in (("text", "has no config.yaml"), ("gone", "does not exist")):
        with pytest.raises(
            CheckpointError, match=rf"^`{name}` is not the folder of a run: it {problem}. hint: `mt runs` lists"
        ):
            runs.run(["delete", name, "--yes"])
    (home / "link").symlink_to(home / "runs/a")
    with pytest.raises(CheckpointError, match=r"^`link` is a link to another folder. hint: delete that one\.$"):
        runs.run(["delete", "link", "--yes"])
    with (home / "runs/b/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        with pytest.raises(CheckpointError, match=r"^`runs/b` is training\. hint: stop it first\.$"):
            runs.run(["delete", "runs/a", "runs/b", "--yes"])
    assert (home / "runs/a").exists() and (home / "runs/b").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["list", "a", "b"], "list takes one folder that holds runs"),
        (["compare", "a"], "compare takes at least two runs"),
        (["delete"], "delete takes the folders of runs"),
        (["-o", "x.html"], "--output goes with compare"),
        (["list", "--yes"], "--yes goes with delete"),
        (["delete", "a", "--json"], "--json goes with list and compare"),
    ],
)
def test_options_that_do_not_fit_are_refused(argv, says):
    with pytest.raises(ConfigError, match=f"^{says}"):
        runs.parse(argv)


def test_info_on_a_run_and_on_a_model_alone(home, capsys):
    assert info.run(["runs/a"]) == 0
    title, *rows = capsys.readouterr().out.rstrip().split("\n")
    lines = {row.split()[0]: row for row in rows}
    assert title == "runs/a/model"
    assert (
        "en to de" in lines["direction"]
        and "5,824" in lines["parameters"]
        and "45 pieces (unigram)" in lines["vocabulary"]
    )
    assert (
        "train, 120 pairs, licence: your own files" in lines["trained"] and "finished: 12 updates" in lines["training"]
    )
    shutil.copytree(home / "runs/a/model", home / "alone")
    info.run(["alone"])
    assert "not known: the model is not in a run folder" in capsys.readouterr().out
    info.run(["alone", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["parameters"], found["step"], found["shape"]["dim"], found["run"]) == (5824, 12, 16, None)
    info.run(["--json", "runs/b"])
    assert json.loads(capsys.readouterr().out)["run"]["steps"] == 12


def test_the_scores_of_a_run_are_not_those_of_its_other_checkpoints(home, capsys):
    checkpoints = sorted((home / "runs/a/checkpoints").glob("step-*"))
    for model, shown in (("runs/a", True), ("runs/a/model", True), (checkpoints[0], False)):
        info.run([str(model)])
        assert ("  scores " in capsys.readouterr().out) == shown
        info.run([str(model), "--json"])
        ran = json.loads(capsys.readouterr().out)["run"]
        assert (ran["dev"] is not None) == bool(ran["basis"]) == shown and not ran["test"]
    shutil.move(checkpoints[0], home / "runs/a/mine")
    for folder in ("model", "checkpoints"):
        shutil.rmtree(home / "runs/a" / folder)
    info.run(["runs/a/mine"])  # the run has no other model any more
    assert "  scores " not in capsys.readouterr().out


def test_info_names_the_tags(home, capsys, monkeypatch):
    """They are what `--tag` takes, and the directions of a server."""
    info.run(["runs/a"])
    assert "tags" not in capsys.readouterr().out
    for count, said in ((2, " <20>, <21>"), (21, ", <28> and 1 more")):
        known = frozenset(f"<2{n}>" for n in range(count))
        monkeypatch.setattr("mt.text.tokenizer._tags", lambda model, known=known: known)
        info.run(["runs/a"])
        assert f"{said}, of which a source line may begin with one\n" in capsys.readouterr().out
        info.run(["runs/a", "--json"])
        assert json.loads(capsys.readouterr().out)["tags"] == sorted(known)


def test_info_verifies_the_files(home):
    weights = home / "runs/a/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="its content is damaged"):
        info.run(["runs/a"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", "is not valid JSON in UTF-8; it may be damaged."),
        ("[]", "must contain a JSON object, but contains an array."),
        ({"data": 5}, "must have `data.name` as text, but has null."),
        ({"data": {"name": "a", "train": "x", "licence": "b"}}, "must have `data.train` as a whole number, but has x."),
        ({"data": {"name": "a", "train": True, "licence": "b"}}, "must have `data.train` as a whole number, but has t"),
        ({"data": {"name": "a", "train": 5}}, "must have `data.licence` as text, but has null."),
        ({"tokenizer": {"kind": []}}, "must have `tokenizer.kind` as text, but has []."),
    ],
)
def test_info_names_a_damaged_manifest_and_says_what_is_known(home, capsys, change, said):
    file = home / "runs/a/manifest.json"
    file.write_text(change if isinstance(change, str) else json.dumps(json.loads(file.read_text()) | change))
    for json_too in ([], ["--json"]):
        assert info.run(["runs/a", *json_too]) == 0
        shown = capsys.readouterr()
        assert shown.err.startswith(f"mt info: runs/a is damaged: `runs/a/manifest.json` {said}")
        assert shown.err.count("\n") == 1 and ("5,824" in shown.out or json.loads(shown.out)["parameters"] == 5824)
