"""The page that compares runs."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mt.errors import DataError
from mt.train.curves import MOST_POINTS, page, plot, thinned, ticks
from mt.train.overview import Overview, overview

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"


def test_the_page_has_a_curve_for_each_run_and_needs_nothing_else(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "a")
    shutil.copytree(GOLDEN, tmp_path / "<b>")
    text = page([overview(tmp_path / "a"), overview(tmp_path / "<b>")])
    assert text.count("<section>") == 4 and text.count("<polyline") == 2  # one dev line in each is a dot
    assert text.count("<circle") == 6
    assert "<b>" not in text and "&lt;b&gt;" in text
    assert "<script" not in text and not re.search(r"(src|href)=|url\(|https?:", text)
    assert "default-src 'none'" in text


def test_a_run_without_readable_numbers_is_left_out_with_a_warning(tmp_path, caplog):
    shutil.copytree(GOLDEN, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/metrics.jsonl").write_text("nonsense\n")
    text = page([overview(tmp_path / "a"), overview(tmp_path / "b")])
    assert text.count("<polyline") == 1 and "line 1 must be a JSON object" in caplog.text
    with pytest.raises(DataError, match=r"has no numbers to draw yet\. hint: wait for its first updates\.$"):
        page([Overview(folder=tmp_path / "b", state="empty")])


def test_values_that_are_not_numbers_are_left_out(tmp_path):
    rows = [{"kind": "train", "step": step, "loss": loss} for step, loss in [(1, 2.0), (2, None), (3, 4.0)]]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (points,) = re.findall('points="([^"]*)"', page([Overview(folder=tmp_path, state="stopped")]))
    assert len(points.split()) == 2


def test_points_lie_where_the_axes_say():
    svg = ET.fromstring(plot([[(0, 1.0), (50, 3.0), (100, 2.0)]], ["a"], "x < y"))
    labels = {e.text: (float(e.get("x", 0)), float(e.get("y", 0))) for e in svg.iter("text") if e.get("y")}
    points = next(svg.iter("polyline")).get("points", "").split()
    found = [tuple(map(float, point.split(","))) for point in points]
    assert found[0] == pytest.approx((labels["0"][0], labels["1"][1] - 4), abs=0.1)
    assert found[1][1] == pytest.approx(labels["3"][1] - 4, abs=0.1)
    assert found[2] == pytest.approx((labels["100"][0], labels["2"][1] - 4), abs=0.1)


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (16.3, 25.7, [16, 18, 20, 22, 24, 26]), (2, 2, [2, 2.5]), (0, 0, [0, 0.2]),
     (-1.5, 1, [-1.5, -1, -0.5, 0, 0.5, 1])],
)  # fmt: skip
def test_ticks_are_round_and_enclose_the_values(least, most, expected):
    assert ticks(least, most) == expected


def test_many_points_become_means_of_neighbours():
    points = [(float(n), float(n % 2)) for n in range(2 * MOST_POINTS)]
    assert thinned(points) == [(2 * n + 0.5, 0.5) for n in range(MOST_POINTS)]
    assert thinned(points[:5]) == points[:5]
