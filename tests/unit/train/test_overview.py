"""What is read off run folders for lists and comparisons."""

import fcntl
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from mt.checkpoint.model_folder import newest_run
from mt.data.corpus.pair import Origin, Pair, fingerprint
from mt.train.overview import Overview, aligned, comparison, find_runs, is_locked, megabytes, overview, shortened, table

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"


@pytest.fixture
def golden(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "runs/golden")
    return tmp_path / "runs/golden"


def test_a_finished_run(golden):
    (golden / "eval").mkdir()
    scores = {"scores": [{"name": "BLEU", "value": 31.25}, {"name": "TER", "value": 50.5}]}
    (golden / "eval/test.json").write_text(json.dumps(scores))
    found = overview(golden)
    assert (found.state, found.data, found.direction, found.steps) == ("finished", "train", "en-de", 12)
    assert (found.watch, found.dev, found.test) == ("bleu", 0.0, {"BLEU": 31.25, "TER": 50.5})
    assert found.size == sum(path.stat().st_size for path in golden.rglob("*") if path.is_file())
    assert found.config["optim.lr"] == 0.02
    assert found.cells()["test"] == "BLEU 31.25" and found.cells()["dev"] == "bleu 0.00"


def test_a_loss_is_positive_and_the_newest_checkpoint_counts(golden):
    config = golden / "config.yaml"
    config.write_text(config.read_text().replace("watch: bleu", "watch: loss"))
    newer = golden / "checkpoints/step-100000000"
    newer.mkdir()
    counters = {"step": 100_000_000, "seconds": 3600.0, "best_score": -1.5, "finished": None}
    (newer / "state.json").write_text(json.dumps({"train": counters}))
    found = overview(golden)
    assert (found.state, found.cells()["dev"], found.cells()["steps"]) == ("stopped", "loss 1.50", "100,000,000")
    assert found.cells()["time"] == "1h00m"
    (newer / "state.json").write_text(json.dumps({"train": counters | {"best_score": 7.5, "watched": "chrf"}}))
    assert overview(golden).cells()["dev"] == "chrf 7.50"  # where the run had to fall back to it


@pytest.mark.parametrize(("score", "ties", "shown"), [(0.0, [17.6, -3.6], "chrf 17.60"), (3.4, [9.9], "bleu 3.40")])
def test_where_bleu_could_not_tell_the_score_that_decided_is_shown(golden, score, ties, shown):
    newer = golden / "checkpoints/step-100000000"
    newer.mkdir()
    (newer / "state.json").write_text(json.dumps({"train": {"step": 1, "best_score": score, "best_ties": ties}}))
    assert overview(golden).cells()["dev"] == shown


def test_a_run_whose_last_start_failed(golden):
    (golden / "failed.json").write_text('{"error": "the disk is full."}')
    assert overview(golden).state == "finished"  # a start that was refused later changes nothing
    shutil.rmtree(golden / "model")
    assert (overview(golden).state, overview(golden).to_dict()["error"]) == ("failed", "the disk is full.")
    shutil.rmtree(golden / "checkpoints")
    assert overview(golden).cells()["state"] == "failed"


def test_what_is_missing_or_damaged_is_left_out(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "manifest.json"):
        (run / name).write_text("{")
    found = overview(run)
    assert (found.state, found.config) == ("empty", {})
    assert list(found.cells().values())[1:] == ["-", "-", "-", "-", "empty", "0", "0s", "0.0 MB"]
    (run / "manifest.json").write_text('{"data": 3, "attempts": null}')
    assert overview(run).data is None
    assert str(overview(run).problem).startswith(f"`{run}/config.yaml`, line 1: this is not YAML")


@pytest.mark.parametrize(
    "file", ["manifest.json", "failed.json", "eval/test.json", "checkpoints/step-00000012/state.json"]
)
def test_a_value_of_another_type_is_left_out(golden, file):
    path = golden / file
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"error": "so", "scores": [{"name": "BLEU", "value": 1.5}]}')
    whole = json.loads(path.read_text())
    for place in places(whole):
        for odd in (None, 1, True, "x", [], [1], {"a": 1}, float("nan")):
            changed = json.loads(json.dumps(whole))
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = odd
            path.write_text(json.dumps(changed))
            found = overview(golden)
            assert table([found]).count("\n") == 1 and comparison([found]) and found.problem is None
            json.dumps(found.to_dict(), allow_nan=False)


def places(values, above=()):
    """Where values are in nested ones, to the third depth."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield (*above, key)
        if isinstance(value, dict | list) and len(above) < 2:
            yield from places(value, (*above, key))


@pytest.fixture
def locked(golden, monkeypatch):
    """A folder beside the run that this user must not read."""
    folder = golden.parent / "locked"
    shutil.copytree(golden, folder)
    stat, opened = Path.stat, Path.open

    def refusing(real):
        def call(path, *args, **given):
            if folder in path.parents:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **given)

        return call

    monkeypatch.setattr(Path, "stat", refusing(stat))
    monkeypatch.setattr(Path, "open", refusing(opened))
    return folder


def test_a_run_that_cannot_be_read_is_listed_last_and_named(golden, locked):
    assert find_runs(golden.parent) == [golden, locked]
    found = overview(locked)
    assert found.problem == f"`{locked}/manifest.json` cannot be read: Permission denied."
    assert (found.state, overview(golden).problem) == ("empty", None)
    assert table([overview(golden), found]).count("\n") == 2


def test_a_run_that_cannot_be_read_is_named_and_not_the_newest(golden, locked, caplog):
    for _ in range(2):
        assert newest_run(golden.parent) == golden
    said = f"`{locked}` cannot be read (Permission denied), so it is not taken for the newest run."
    assert caplog.messages == [said]


def test_a_run_is_running_as_long_as_a_process_holds_its_lock(golden):
    lock = golden / ".lock"
    assert not is_locked(golden)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        assert is_locked(golden) and overview(golden).state == "running"
    assert not is_locked(golden)
    lock.write_text(f"process 99999999 on {socket.gethostname()}\n")  # no such process
    assert not is_locked(golden)


def test_runs_are_found_the_last_started_first(golden):
    root = golden.parent
    for place, name in enumerate(("b", "a", "none", ".hidden")):
        (root / name).mkdir()
        if name != "none":
            (root / name / "config.yaml").write_text("{}")
            os.utime(root / name / "config.yaml", ns=(place, place))
    assert [path.name for path in find_runs(root)] == ["golden", "a", "b"]


def test_the_lowest_loss_per_character_is_compared(tmp_path):
    """That of a piece is another thing for each tokenizer."""
    lines = {
        "new": '{"kind": "dev", "step": 1, "bits_per_char": 0.75}\n{"kind": "dev", "step": 2, "bits_per_char": 0.5}\n'
        '{"kind": "train", "step": 2}\n{"kind": "dev", "step": 3, "bits_per_char": null}\n',
        "old": '{"kind": "dev", "step": 1, "loss": 2.5}\n', "damaged": "{\n",
    }  # fmt: skip
    for name, text in lines.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text, encoding="utf-8")
    runs = [Overview(folder=tmp_path / name, state="stopped") for name in (*lines, "none")]
    assert ["dev bits per char", "0.500", "-", "-", "-"] in comparison(runs)
    assert "dev bits per char" not in [row[0] for row in comparison(runs[1:])]


def test_texts_and_signatures_are_compared_where_they_differ(golden):
    runs = []
    for name, text, tokens in (("a", "1" * 64, "13a"), ("b", "2" * 64, "zh")):
        shutil.copytree(golden, golden.parent / name)
        file = golden.parent / name / "manifest.json"
        told = json.loads(file.read_text())
        told["data"]["test_fingerprint"] = text
        file.write_text(json.dumps(told))
        (golden.parent / name / "eval").mkdir()
        scores = [{"name": kind, "value": 1, "signature": said} for kind, said in (("BLEU", tokens), ("TER", "x"))]
        (golden.parent / name / "eval/test.json").write_text(json.dumps({"scores": scores}))
        runs.append(overview(golden.parent / name))
    rows = {row[0]: row[1:] for row in comparison([*runs, overview(golden)])}
    assert rows["test set"] == ["1" * 12, "2" * 12, "-"] and rows["BLEU signature"] == ["13a", "zh", "-"]
    assert not {"training text", "TER signature"} & {*rows}
    assert "test set" not in [row[0] for row in comparison([runs[0], runs[0]])]


def test_a_run_without_a_test_set_has_no_hash_of_one(golden):
    runs = []
    for name, pairs in (("with", [Pair("a", "b", Origin("a", 1))]), ("without", [])):
        shutil.copytree(golden, golden.parent / name)
        file = golden.parent / name / "manifest.json"
        told = json.loads(file.read_text())
        told["data"]["test_fingerprint"] = fingerprint(pairs)
        file.write_text(json.dumps(told))
        runs.append(overview(golden.parent / name))
    assert "test set" in runs[0].basis and "test set" not in runs[1].to_dict()["basis"]
    assert "test set" not in [row[0] for row in comparison(runs)]  # there is nothing to be confused with


def test_tables():
    first = Overview(folder=Path("runs/a"), state="stopped", test={"BLEU": 1}, config={"optim.lr": 1, "data.test": []})
    other = Overview(
        folder=Path("b"), state="empty", config={"optim.lr": 2, "data.test": [], "run.name": "b", "x.y": None}
    )
    assert table([first, other]).split("\n")[2].split() == ["b", "-", "-", "-", "-", "empty", "0", "0s", "0.0", "MB"]
    rows = {row[0]: row[1:] for row in comparison([first, other])}
    assert rows["run"] == ["runs/a", "b"] and rows["test BLEU"] == ["1.00", "-"] and rows["optim.lr"] == ["1", "2"]
    assert rows["x.y"] == ["-", "null"]
    assert "data.test" not in rows and "run.name" not in rows
    assert aligned([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc  d"
    assert shortened("x" * 61 + "end") == "…" + "x" * 56 + "end" and shortened("x" * 60) == "x" * 60
    assert megabytes(1_234_567) == "1.2 MB" and megabytes(2_500_000_000) == "2.5 GB"
