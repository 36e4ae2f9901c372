"""The work that `scripts/bench_neighbour.py` measures is done, and counted."""

from argparse import Namespace
from pathlib import Path

import bench_neighbour
import pytest

GOLDEN = Path(__file__).parents[1] / "golden/schema-1/runs/golden"


@pytest.mark.parametrize("task", ["translate", "align"])
def test_a_part_of_the_text_is_worked_on(task, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_neighbour, "set_up_all_threads", lambda: None)
    for name in ("en", "de"):
        (tmp_path / f"a.{name}").write_text("one two\n" * 103, encoding="utf-8")
    args = Namespace(model=GOLDEN, source=tmp_path / "a.en", target=tmp_path / "a.de")
    work = bench_neighbour.WORK[task](args, [])
    assert [work(), work(), work()] == [100, 3, 100]
