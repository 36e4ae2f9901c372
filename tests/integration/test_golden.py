"""Runs of older versions of mt, kept in `tests/golden`, load, translate as before, and resume to the same losses."""

import json
import shutil
from pathlib import Path

import pytest

from mt.checkpoint import schema
from mt.decode.load import load

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("schema-*"))
MEND = "a folder of an older mt must load: add a migration to mt/checkpoint/schema.py, or mark a new setting LATER"


def test_every_number_that_was_ever_written_is_kept():
    newest = max(kind.current for kind in (schema.MANIFEST, schema.CONFIG, schema.STATE))
    assert len(GOLDEN) >= max(newest - 1, 1)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
@pytest.mark.parametrize("part", ["", "model", "checkpoints/step-00000012"])
def test_it_translates_as_it_did(golden: Path, part: str):
    expected = json.loads((golden / "expected.json").read_text(encoding="utf-8"))["translations"]
    found = load(golden / "runs/golden" / part, device="cpu").search([row["source"] for row in expected], beam=2)
    assert [row[0].text for row in found] == [row["text"] for row in expected], MEND
    assert [row[0].log_prob for row in found] == pytest.approx([row["log_prob"] for row in expected], rel=1e-4)


def test_it_is_searched_by_the_rule_of_its_time():
    """Folders of schema 1 may lack `decode.patience`, whose default was null then."""
    assert load(GOLDEN[0] / "runs/golden", device="cpu").section.patience is None


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
@pytest.mark.parametrize("by_folder", [False, True], ids=["same command", "--resume"])
def test_it_goes_on_as_it_did(golden: Path, tmp_path: Path, run, by_folder: bool):
    shutil.copytree(golden, tmp_path / "golden")
    expected = json.loads((golden / "expected.json").read_text(encoding="utf-8"))
    if by_folder:
        done = run(tmp_path, "train", "--resume", "golden/runs/golden", "train.steps=18")
    else:
        done = run(tmp_path / "golden", *expected["command"], "train.steps=18")
    assert done.returncode == 0, f"{done.stderr.decode()}\n{MEND}"
    assert "going on from step 12" in done.stderr.decode()
    rows = (tmp_path / "golden/runs/golden/metrics.jsonl").read_text().split("\n")[:-1]
    losses = [row["loss"] for row in map(json.loads, rows) if row["kind"] == "train"]
    assert losses[:12] == expected["losses"]
    assert losses[12:] == pytest.approx(expected["longer"][12:], rel=1e-4)  # torch versions may round differently
