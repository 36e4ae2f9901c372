"""`scripts/gpu_day.sh` on the CPU with toy sizes, from end to end."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_day.sh"


def report(folder, parts, **more):
    environment = {**os.environ, "SMALL": "1", "DEVICE": "cpu", "PYTHON": sys.executable, "PARTS": parts, **more}
    done = subprocess.run(
        ["sh", str(SCRIPT), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in (folder / "report.jsonl").read_text(encoding="utf-8").splitlines()]
    return done, lines


def of(lines, part):
    return [line for line in lines if line["part"] == part]


@pytest.mark.slow
def test_each_part_leaves_its_lines(tmp_path):
    parts = "doctor tests agreement precisions rates decoding memory speedrun resume"
    done, lines = report(tmp_path, parts, PATIENCE="5")
    assert done.returncode == 0, done.stderr
    ends = [line["part"] for line in lines if line.get("ended")]
    assert ends == parts.split()
    assert of(lines, "doctor")[-1]["self_test"]["problem"] is None
    assert of(lines, "tests")[-1]["exit_code"] == 0
    fp32, bf16, last = of(lines, "agreement")
    assert fp32["device_losses"] == fp32["cpu_losses"] and bf16["largest_relative_difference"] == 0  # the same device
    assert last["same_as_fp32_on_the_cpu"]["fp32"] == 1
    scaled = of(lines, "precisions")[-1]
    assert set(scaled["losses"]) == {"fp32", "bf16", "fp16"}
    assert scaled["skipped_after_overflow"] > 0 and scaled["scale_after"] < 2.0**30
    eager, end = of(lines, "rates")
    assert eager["target_tokens_per_second"] > 0 and 0 < eager["mfu"] < 1 and end["measured"] == 1
    systems = [(line["system"], line["beam"]) for line in of(lines, "decoding")[:-1]]
    assert systems == [("mt", 1), ("mt", 5)] + [("ctranslate2", 1), ("ctranslate2", 5)] * bool(find_spec("ctranslate2"))
    assert of(lines, "memory")[-1]["loss_over_the_edge"] > 0
    assert of(lines, "speedrun")[0]["said"][1].startswith("BLEU = ")
    resumed = of(lines, "resume")[-1]
    assert resumed["killed_with"] == -9 and resumed["same"]


def test_a_part_that_fails_or_is_cut_leaves_a_line_and_the_others_go_on(tmp_path):
    (tmp_path / "python").write_text('#!/bin/sh\ntest "$2" = memory && exit 7\necho "{\\"part\\": \\"$2\\"}"\n')
    (tmp_path / "python").chmod(0o755)
    done, lines = report(tmp_path, "doctor memory resume", PYTHON=str(tmp_path / "python"))
    assert done.returncode == 1
    cut = {"part": "memory", "ended": False, "exit_code": 7, "limit_seconds": 120}
    assert lines == [{"part": "doctor"}, cut, {"part": "resume"}]
