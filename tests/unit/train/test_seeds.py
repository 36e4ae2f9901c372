"""Runs that differ in their seed only: means and standard deviations by hand, and which runs are no such group."""

from dataclasses import replace
from pathlib import Path

import pytest

from mt.train.curves import page
from mt.train.overview import Overview
from mt.train.seeds import SEED, over_seeds, seed_table


def finished(name: str, seed: int, bleu: float, *, folder: Path = Path("runs"), **settings) -> Overview:
    config = {"run.name": name, SEED: seed, "optim.lr": 0.1, "data.test": ["t.en", "t.de"], **settings}
    return Overview(folder=folder / name, state="finished", dev=bleu + 1, test={"BLEU": bleu}, config=config)


A, B, C = finished("a", 1, 30.0), finished("b", 2, 31.0), finished("c", 3, 35.0)


def test_the_mean_and_the_standard_deviation_of_the_sample():
    (group,) = over_seeds([A, B, C])
    # Deviations from 32 are -2, -1 and 3: their squares' sum 14, over 3 - 1.
    assert group.scores["test BLEU"] == (32.0, pytest.approx(7**0.5))
    assert group.scores["dev bleu"] == (33.0, pytest.approx(7**0.5))
    assert seed_table([group]) == [
        ["runs", "a, b, c"], ["train.seed", "1, 2, 3"], ["dev bleu", "33.00 ± 2.65"], ["test BLEU", "32.00 ± 2.65"],
    ]  # fmt: skip
    assert group.to_dict() == {
        "runs": ["runs/a", "runs/b", "runs/c"],
        "seeds": [1, 2, 3],
        "scores": {
            name: {"mean": mean, "stdev": pytest.approx(7**0.5)}
            for name, mean in (("dev bleu", 33.0), ("test BLEU", 32.0))
        },
    }


def test_a_column_for_each_group_and_only_scores_that_all_have():
    others = [replace(finished(name, seed, 20.0 + seed, **{"optim.lr": 0.2})) for name, seed in (("d", 1), ("e", 2))]
    others[1] = replace(others[1], test={})
    rows = {row[0]: row[1:] for row in seed_table(over_seeds([A, others[0], B, others[1]]))}
    assert rows["runs"] == ["a, b", "d, e"] and rows["test BLEU"] == ["30.50 ± 0.71", "-"]
    assert rows["dev bleu"] == ["31.50 ± 0.71", "22.50 ± 0.71"]


@pytest.mark.parametrize(
    "other",
    [
        finished("b", 2, 31.0, **{"optim.lr": 0.2}),
        replace(B, basis={"test set": "other"}),
        replace(B, state="stopped"),
        finished("b", 1, 31.0),
        Overview(folder=Path("b"), state="finished"),
    ],
    ids=["another setting", "another text", "not finished", "the same seed", "without settings"],
)
def test_what_is_no_group(other):
    assert over_seeds([A, other]) == []


def test_of_two_with_one_seed_the_first_counts():
    (group,) = over_seeds([A, finished("a2", 1, 50.0), B])
    assert [run.folder.name for run in group.runs] == ["a", "b"]


def test_a_dev_loss_has_three_digits_as_its_differences_are_small():
    runs = [replace(finished(name, seed, 30.0), watch="loss", dev=1.39 + seed / 100) for seed, name in enumerate("ab")]
    (group,) = over_seeds(runs)
    assert group.cells()["dev loss"] == "1.395 ± 0.007" and group.cells()["test BLEU"] == "30.00 ± 0.00"


def test_the_loss_per_character_and_the_page(tmp_path):
    runs = [finished(name, seed, 30.0, folder=tmp_path) for seed, name in enumerate(("a", "<b>"))]
    for run, bits in zip(runs, (0.5, 0.7), strict=True):
        run.folder.mkdir()
        line = f'{{"kind": "dev", "step": 1, "loss": 1.0, "bits_per_char": {bits}}}\n'
        (run.folder / "metrics.jsonl").write_text(line, encoding="utf-8")
    (group,) = over_seeds(runs)
    assert group.cells()["dev bits per char"] == "0.600 ± 0.141"
    shown = page(runs)
    assert "<th>a, &lt;b&gt;</th>" in shown and "<td>0.600 ± 0.141</td>" in shown and "<td>30.00 ± 0.00</td>" in shown
    assert "mean ± standard deviation" in shown and "mean ±" not in page([runs[0], runs[0]])
