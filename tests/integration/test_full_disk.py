"""A disk that becomes full or read-only during a run: the last checkpoint stays valid and training continues."""

import logging
import os
import shutil
import subprocess
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

import pytest
from test_resume_grid import fit, make

from mt.checkpoint import require_space
from mt.errors import CheckpointError


def test_files_that_may_not_grow_cost_two_checkpoints_and_one_warning(tmp_path, small_files, caplog):
    caplog.set_level(logging.WARNING, "mt")
    trainer, seen = make(tmp_path, accumulate=1), []

    def on_validation(validation, state):
        last = trainer.checkpoints.latest()
        seen.append((state.step, last.step if last else None))
        small_files(10_000 if state.step in (8, 12) else None)

    fit(trainer, tmp_path, on_validation=on_validation)
    small_files(None)
    assert seen == [(4, None), (8, 4), (12, 4), (16, 4), (20, 16)]
    warnings = [text for text in caplog.messages if "cannot be written" in text]
    assert len(warnings) == 1 and warnings[0].endswith(
        "step-00000008` cannot be written: File too large. Training goes on, and the next save tries again."
    )
    assert trainer.checkpoints.latest().step == 20 and not list(trainer.checkpoints.folder.glob(".tmp-*"))


@pytest.fixture
def disk(tmp_path):
    """A separate disk: its folder, and a function that makes it "full", "read-only" or, with None, normal."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a disk")

    def become(what: str | None) -> None:
        mode = "ro" if what == "read-only" else "rw"
        subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True, capture_output=True)
        if mode == "rw":
            (folder / "filling").unlink(missing_ok=True)
        if what == "full":
            with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass

    yield folder, become
    subprocess.run(["umount", folder], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("what", "reason"), [("full", "No space left on device"), ("read-only", "Read-only file system")]
)
def test_a_disk_that_takes_no_more_for_a_while_costs_two_checkpoints_and_one_warning(
    tmp_path, disk, caplog, what, reason
):
    caplog.set_level(logging.WARNING, "mt")
    folder, become = disk
    trainer, seen = make(folder, accumulate=1), []

    def on_validation(validation, state):
        last = trainer.checkpoints.latest()
        seen.append((state.step, last.step if last else None))
        become(what if state.step in (8, 12) else None)

    fit(trainer, tmp_path, on_validation=on_validation)
    assert seen == [(4, None), (8, 4), (12, 4), (16, 4), (20, 16)]
    (warning,) = caplog.messages
    assert f"{reason}. Training goes on, and the next save tries again." in warning and str(folder) in warning
    assert trainer.checkpoints.latest().step == 20 and not list(trainer.checkpoints.folder.glob(".tmp-*"))


def test_a_device_without_room_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    trainer = make(tmp_path, accumulate=1)
    trainer.saver.save(trainer.state, score=1.0)
    trainer.state.step = 4
    real = Path.open

    def no_room(path, *args, **kwargs):
        full = path.name == "optimizer.safetensors" and "w" in str(args)
        return real(Path("/dev/full") if full else path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", no_room)
    with pytest.raises(CheckpointError, match=r"step-00000004` cannot be written: No space left on device\."):
        trainer.saver.save(trainer.state, score=2.0)
    monkeypatch.undo()
    assert trainer.checkpoints.latest().step == 0
    assert sorted(os.listdir(trainer.checkpoints.folder)) == ["best", "latest", "step-00000000"]  # noqa: PTH208


def test_too_little_room_is_said_before_the_start(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(199_000_000) if path == tmp_path else None)
    require_space(tmp_path / "runs/x", 99_000_000)
    with pytest.raises(CheckpointError) as refused:
        require_space(tmp_path / "runs/x", 100_000_000)
    assert str(refused.value) == (
        f"the disk of `{tmp_path}/runs/x` has 199 MB free, but two checkpoints of 100 MB must fit. hint: free some "
        "space, or choose another `run.root`."
    )
