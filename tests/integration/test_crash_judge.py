"""A run killed at file events of every phase ends as the unbroken run; the comparison finds every difference."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import crash_judge  # noqa: E402
from crash_judge import Point  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "phases"),
    [
        ("--fork --modes before,torn --points 32", 6),
        ("--fork --modes unsynced --points 14", 5),
        ("--processes 2 --modes before --points 8", 4),
    ],
)
def test_killed_in_any_phase_the_run_ends_as_the_unbroken_one(options, phases, tmp_path):
    script = [sys.executable, str(ROOT / "scripts/crash_judge.py"), *options.split(), "--keep", str(tmp_path / "judge")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, counts = done.stdout.strip().split("\n")
    points = int(options.split()[-1]) + 1  # and one that is not killed
    assert sum(int(count.split()[0]) for count in counts.split(", ")) == points
    assert {count.split()[1] for count in counts.split(", ")} <= {"PASS", "NO_CRASH"}
    named = [
        line for line in done.stdout.split("\n") if line.startswith("| ") and not line.startswith(("| phase", "| -"))
    ]
    assert len(named) >= phases


# ---------------------------------------------------------------- the comparison


@pytest.fixture
def out(tmp_path) -> Path:
    """A small run folder for the comparison: two attempts, one checkpoint."""
    run = tmp_path / "out/run"
    saved = run / "checkpoints/step-00000005"
    saved.mkdir(parents=True)
    (tmp_path / "out/cache/.tmp-1").mkdir(parents=True)
    (tmp_path / "out/cache/.tmp-1/facts.json").write_text("half")
    (saved / "model.safetensors").write_bytes(b"weights")
    (saved / "state.json").write_text(json.dumps({"train": {"step": 5, "seconds": 1.5}}))
    listed = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in saved.iterdir()}
    manifest = {"meta": {"step": 5}, "files": {name: {"sha256": found} for name, found in listed.items()}}
    (saved / "MANIFEST.json").write_text(json.dumps(manifest))
    (run / "checkpoints/latest").write_text("step-00000005\n")
    (run / "manifest.json").write_text(json.dumps({"seed": 1, "attempts": [1, 2]}))
    (run / "metrics.jsonl").write_text('{"kind": "dev", "step": 5, "loss": 2.5, "seconds": 3.0}\n')
    (run / "train.log").write_text("T1 INFO step 5: dev loss 2.5  (3 s)\nT2 INFO going on from step 5 (x)\n")
    return tmp_path / "out"


def rewrite(out: Path, name: str, old: str, new: str) -> None:
    file = out / "run" / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("checkpoints/latest", "5", "4", "run/checkpoints/latest line 1: 'step-00000004' is not 'step-00000005'"),
        ("checkpoints/step-00000005/model.safetensors", "w", "v", "run/checkpoints/step-00000005/model.safetensors"),
        ("checkpoints/step-00000005/state.json", '"step": 5', '"step": 4', "run/checkpoints/step-00000005/state.json"),
        ("manifest.json", '"seed": 1', '"seed": 2', "run/manifest.json line 2: '\"seed\": 2' is not '\"seed\": 1'"),
        ("metrics.jsonl", "2.5", "2.50000001", "run/metrics.jsonl line 1"),
        ("train.log", "dev loss", "dev los", "run/train.log line 1"),
    ],
)
def test_a_difference_names_its_file_and_line(out, name, old, new, sentence):
    whole = crash_judge.contents(out)
    rewrite(out, name, old, new)
    [found] = crash_judge.differences(whole, crash_judge.contents(out))
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("checkpoints/step-00000005/state.json", "1.5", "9.5"),
        ("manifest.json", "[1, 2]", "[1]"),
        ("metrics.jsonl", "3.0", "4.0"),
        ("train.log", "T2 INFO going on from step 5 (x)\n", ""),
        ("train.log", "(3 s)", "(4 s)"),
        ("train.log", "T1", "T3"),
    ],
)
def test_times_and_attempts_are_no_difference(out, name, old, new):
    whole = crash_judge.contents(out)
    rewrite(out, name, old, new)
    assert crash_judge.differences(whole, crash_judge.contents(out)) == []


def test_missing_and_extra_files_are_reported(out):
    whole = crash_judge.contents(out)
    (out / "run/checkpoints/latest").rename(out / "run/checkpoints/.tmp-latest")
    assert crash_judge.differences(whole, crash_judge.contents(out)) == [
        "run/checkpoints/.tmp-latest is too many",
        "run/checkpoints/latest is missing",
    ]


def test_only_a_checkpoint_that_is_as_its_manifest_says_is_whole(out):
    assert crash_judge.newest_whole(out) == 5
    (out / "run/checkpoints/step-00000006").mkdir()
    assert crash_judge.newest_whole(out) == 5
    (out / "run/checkpoints/step-00000005/model.safetensors").write_bytes(b"weight")
    assert crash_judge.newest_whole(out) == 0


def test_phases_come_from_the_written_files():
    names = [
        ("open", ".lock"), ("os.mkdir", ".tmp-step-00000001-7"), ("os.rename", ".tmp-latest"),
        ("open", ".tmp-step-00000002.txt"), ("os.mkdir", ".tmp-step-00000002-7"), ("os.rename", ".tmp-best"),
        ("os.mkdir", ".tmp-step-00000003-7"), ("open", ".tmp-step-00000005.txt"), ("os.mkdir", ".tmp-step-00000005-7"),
        ("os.mkdir", "eval"), ("open", ".tmp-test.json"), ("os.mkdir", ".tmp-model-7"), ("open", "README.md"),
    ]  # fmt: skip
    found = crash_judge.phases([(number, kind, name, False) for number, (kind, name) in enumerate(names)])
    assert list(found.values()) == [
        "start", "mid-run", "mid-run", "validation", "validation", "validation", "mid-run", "the end of training",
        "the end of training", "evaluation", "evaluation", "model/", "model/",
    ]  # fmt: skip


def test_the_tables_say_from_which_step_a_run_resumed():
    points = [
        Point("#1 open:a [before]", "before", "start", 0, None, "PASS", []),
        Point("#2 open:b [before]", "before", "mid-run", 4, 3, "LOST_WORK", ["a line"]),
        Point("#3 open:c [before]", "before", "mid-run", 4, 4, "PASS", []),
    ]
    said = crash_judge.tables(points).split("\n")
    assert [line.split()[-3:] for line in said[1:3]] == [["the", "start", "PASS"], ["step", "3", "LOST_WORK"]]
    assert said[3] == "    a line"
    assert said[-2:] == ["| start | 1 | 0 | 1 PASS |", "| mid-run | 2 | 3, 4 | 1 LOST_WORK, 1 PASS |"]
