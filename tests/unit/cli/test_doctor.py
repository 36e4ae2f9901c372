"""The doctor finds a sound machine sound, and names what is wrong with another."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from mt.cli import doctor
from mt.cli.main import main

ROOT = Path(__file__).resolve().parents[3]


def test_as_a_command_it_prints_json_and_is_well(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mt", "doctor", "--json"], cwd=tmp_path, env=environment, capture_output=True,
        timeout=600, check=False,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (done.returncode, told["problems"]) == (0, []), done.stderr
    assert told["self_test"]["problem"] is None and told["packages"]["torch"]
    assert told["devices"][0]["name"] == "cpu" and told["devices"][0]["auto_precision"] in ("bf16", "fp32")
    assert told["places"]["runs"]["free_gb"] > 0
    assert list(tmp_path.iterdir()) == []  # it looks, and leaves nothing


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "self_test", lambda: {"seconds": 0.0, "problem": None})


def test_the_page_says_what_there_is_and_what_to_send(quick, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "device     cpu: auto is" in said and "self-test  passed in 0.0 s" in said and "No problems found.\n" in said
    assert "send the output of `mt doctor --json`" in said


def test_places_that_cannot_be_used_are_problems(quick, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9))
    assert main(["doctor", "--data", str(tmp_path / "file"), "--runs", str(tmp_path / "new" / "runs")]) == 1
    said = capsys.readouterr().out
    assert f"problem: data: `{tmp_path}/file` cannot be written: Not a directory" in said
    assert f"problem: runs: `{tmp_path}` has 1.0 GB left; a run takes 2" in said


def test_a_place_that_no_folder_can_have_is_a_problem_and_hides_no_other(quick, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--data", "x" * 300]) == 1
    said = capsys.readouterr().out
    assert f"problem: data: `{'x' * 300}` cannot be written: File name too long\n" in said
    assert "runs       runs: writable" in said


def test_little_memory_is_a_problem(quick, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "free_memory", lambda: 250_000_000)
    assert main(["doctor"]) == 1
    assert "problem: memory: 0.2 GB are free, but training a small model needs 1 GB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        (
            [[3.0, 1.0], [3.0, 1.1]],
            "two identical trainings gave the losses 1.0 and 1.1: runs are not reproducible here",
        ),
        ([[3.0, 2.9]] * 2, "in 2 updates the loss fell only from 3.000 to 2.900"),
        ([RuntimeError("no such\nkernel")], "RuntimeError: no such"),
    ],
)
def test_a_machine_that_calculates_wrongly_fails_the_self_test(monkeypatch, losses, sentence):
    given = iter(losses)

    def made(*_):
        found = next(given)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(doctor, "_losses", made)
    assert doctor.self_test()["problem"] == sentence


def test_a_lost_translation_fails_the_self_test(monkeypatch):
    class Forgetful:
        def translate(self, texts):
            return texts[1:]

    monkeypatch.setattr("mt.decode.load.load", lambda *_, **__: Forgetful())
    monkeypatch.setattr(doctor, "_losses", lambda *_: [3.0, 1.0])
    assert doctor.self_test()["problem"] == "a translation was lost"
