"""A run killed five times at random moments ends as the unbroken run; the comparison finds every difference."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import kill_anywhere  # noqa: E402

STEPS = 56


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, str]:
    """The working folder of the script, and its output."""
    folder = tmp_path_factory.mktemp("killed")
    script = [sys.executable, str(ROOT / "scripts/kill_anywhere.py"), "--fork", "--keep", str(folder)]
    done = subprocess.run([*script, "--kills", "5", "--steps", str(STEPS)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_killed_at_five_moments_it_ends_the_same(killed):
    folder, said = killed
    assert "every loss, learning rate, score and weight equals that of the unbroken run" in said
    attempts = json.loads((folder / "runs/killed/manifest.json").read_text())["attempts"]
    assert len(attempts) >= 3
    told = kill_anywhere.numbers_of(folder / "runs/killed")
    assert [line["step"] for line in told if line["kind"] == "train"] == list(range(1, STEPS + 1))


def damage_loss(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().split("\n")
    line = json.loads(lines[20])
    lines[20] = json.dumps({**line, "loss": line["loss"] + 1e-15 * max(1.0, line["loss"])})
    (run / "metrics.jsonl").write_text("\n".join(lines))


def damage_weights(run: Path) -> None:
    file = run / "model/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")


def lose_a_line(run: Path) -> None:
    (run / "metrics.jsonl").write_text("\n".join((run / "metrics.jsonl").read_text().split("\n")[1:]))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_loss, "line 21: "),
        (damage_weights, "model/model.safetensors differs"),
        (lose_a_line, "lines of metrics are not"),
    ],
)
def test_the_comparison_sees_the_smallest_difference(killed, tmp_path, damage, sentence):
    shutil.copytree(killed[0], tmp_path / "copy")
    assert kill_anywhere.compare(tmp_path / "copy", STEPS) == []
    damage(tmp_path / "copy/runs/killed")
    assert any(sentence in difference for difference in kill_anywhere.compare(tmp_path / "copy", STEPS))


def test_faults_of_mt_are_seen_and_a_worker_that_lost_its_connection_is_none():
    def traceback(file, error):
        return f'Traceback (most recent call last):\n  File "{file}", line 1, in f\n    f()\n{error}\n'

    lost = traceback("/usr/lib/python3.11/multiprocessing/resource_sharer.py", "ConnectionResetError: [Errno 104]")
    assert kill_anywhere.faults(f"step 28: dev loss\n{lost}train: 160 pairs\n") == []
    ours = traceback(ROOT / "mt/train/trainer.py", "KeyError: 'x'")
    assert kill_anywhere.faults(lost + ours) == ["a traceback: KeyError: 'x'"]
    assert kill_anywhere.faults("mt train: internal error: KeyError\n") == ["mt train: internal error: KeyError"]


@pytest.mark.slow
def test_a_stop_is_clocked_within_its_own_attempt():
    script = [sys.executable, str(ROOT / "scripts/time_sigterm.py"), "--stops", "2", "train.ema=0"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    heads, *stops, summary = done.stdout.split("\n")[:-1]
    assert heads.split()[:5] == ["load", "bound", "saved", "share", "gone"] and len(stops) == 2
    for _, bound, saved, _, gone in (map(float, stop.replace("%", "").split()) for stop in stops):
        assert bound > 0 and 0 < saved < gone
    assert summary.startswith("the checkpoint came after ")
