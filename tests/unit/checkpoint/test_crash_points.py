"""Killed at any file-system event of a write, what was there or what was to come is found, and writing goes on."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from crash import all_crashes, killed_at

from mt.checkpoint import Checkpoints, verify_folder, write_folder
from mt.checkpoint.model_folder import Description, read_model
from mt.config import Config, DataConfig, TrainConfig
from mt.errors import CheckpointError
from mt.files import clean_up, read_json, write_text
from mt.train.run_folder import RunFolder
from mt.train.saved_config import read_config


def crashes(tmp_path: Path, before: Callable[[Path], object], work: Callable[[Path], object]):
    """For each event of `work`, the folder as it is if `work` is killed there, after what `before` has prepared."""
    before(tmp_path / "origin")
    shutil.copytree(tmp_path / "origin", tmp_path / "imports")
    work(tmp_path / "imports")  # so that the child opens no files to import modules
    found = all_crashes(tmp_path / "origin", lambda: work(tmp_path / "origin"), tmp_path / "killed")
    assert len(found) >= 4
    yield from found


@pytest.fixture(scope="module")
def files():
    from toy import number_tokenizer, tiny_config, tiny_model

    from mt.config import DecodeConfig, Precision

    size = number_tokenizer().tgt_size
    told = Description(
        src="en", tgt="de", src_size=size, tgt_size=size, max_length=64, precision=Precision.fp32,
        model=tiny_config(), decode=DecodeConfig(beam=2),
    )  # fmt: skip

    shapes, texts = dict(tiny_model().named_parameters()), told.files(number_tokenizer())

    def make(value: float) -> dict:
        return {**texts, "model.safetensors": {name: torch.full_like(p, value) for name, p in shapes.items()}}

    return make


@pytest.fixture
def save(files):
    """A save as a run makes it, and the pruning after it."""

    def call(run: Path, step: int, score: float) -> None:
        parts = files(float(step))
        weights = parts.pop("model.safetensors")
        checkpoints = Checkpoints(run, 1, parts)
        checkpoints.save(step, model=weights, optimizer={}, state={}, score=score)
        checkpoints.prune()

    return call


@pytest.fixture
def three(save):
    """Three checkpoints, of which the first is the best."""

    def call(run: Path) -> None:
        for step in (1, 2, 3):
            save(run, step, 3.0 - step)

    return call


def contents(folder: Path) -> list[tuple[str, bytes]]:
    """What the files hold, without the part of a temporary name that each process draws."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted((file.suffix.partition("-")[0], file.read_bytes()) for file in files)


def test_copies_are_what_a_kill_leaves(tmp_path):
    def work(folder: Path) -> None:
        write_text(folder / "a.txt", "new text")
        write_folder(folder / "model.new", {"weights.bin": bytes(1000)})

    (tmp_path / "origin").mkdir()
    write_text(tmp_path / "origin/a.txt", "old")
    for name in ("imports", "copied"):
        shutil.copytree(tmp_path / "origin", tmp_path / name)
    work(tmp_path / "imports")
    copies = all_crashes(tmp_path / "copied", lambda: work(tmp_path / "copied"), tmp_path / "copies")
    for event, copy in enumerate(copies):
        killed = tmp_path / f"killed-{event}"
        shutil.copytree(tmp_path / "origin", killed)
        assert not killed_at(event, lambda killed=killed: work(killed))
        assert contents(copy) == contents(killed)
    assert killed_at(len(copies), lambda: work(tmp_path / "imports"))
    assert len({str(contents(copy)) for copy in copies}) > 5


def value_of(found) -> float:
    return next(iter(found.tensors.values())).flatten()[0].item()


def test_a_text_that_a_full_disk_does_not_take_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"a\.txt` cannot be written: No space left on device\.$"):
        write_text(tmp_path / "a.txt", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_run_always_has_a_model_while_its_model_folder_is_replaced(tmp_path, files):
    def before(run: Path) -> None:
        parts = files(1.0)
        weights = parts.pop("model.safetensors")
        Checkpoints(run / "checkpoints", 1, parts).save(1, model=weights, optimizer={}, state={})
        write_folder(run / "model", files(2.0), meta={"step": 1})

    def work(run: Path) -> None:
        write_folder(run / "model", files(3.0), meta={"step": 2}, replace=True)

    seen = set()
    for run in crashes(tmp_path, before, work):
        seen.add(value_of(read_model(run)))
        clean_up(run)
        assert value_of(read_model(run)) in {2.0, 3.0}
        work(run)
        assert value_of(read_model(run)) == 3.0
        assert sorted(path.name for path in run.iterdir()) == ["checkpoints", "model"]
    assert seen == {1.0, 2.0, 3.0}  # the checkpoint's in the one instant between two renames


def test_a_checkpoint_that_gets_its_score_is_never_lost(tmp_path, files):
    def save(run: Path, score: float | None) -> None:
        Checkpoints(run, 1).save(1, model=weights, optimizer={}, state={}, score=score)

    weights, seen = files(1.0)["model.safetensors"], set[float | None]()
    for run in crashes(tmp_path, lambda run: save(run, None), lambda run: save(run, 2.5)):
        clean_up(run)
        found = Checkpoints(run, 1).latest()
        assert found is not None and found.step == 1
        seen.add(found.score)
        assert sorted(path.name for path in run.iterdir()) == ["best", "latest", "step-00000001"]
    assert seen == {None, 2.5}


def test_the_pointers_always_name_a_checkpoint_that_is_there(tmp_path, save, three):
    for run in crashes(tmp_path, three, lambda run: save(run, 4, 9.0)):
        for pointer in ("latest", "best"):
            verify_folder(run / (run / pointer).read_text().strip())
        clean_up(run)
        save(run, 4, 9.0)
        assert [(run / pointer).read_text() for pointer in ("latest", "best")] == ["step-00000004\n"] * 2


def test_whoever_goes_on_does_again_what_followed_the_rename(tmp_path, save, three):
    """Killed anywhere in a save and the pruning after it, the folder ends as before the save or as after it."""

    def completed(run: Path) -> tuple[list[str], str, str]:
        checkpoints = Checkpoints(run, 1)
        clean_up(run)
        latest = checkpoints.latest()
        assert latest is not None
        checkpoints.complete_save(latest.path)
        names = [path.name for path in run.iterdir() if path.name not in ("best", "latest")]
        return sorted(names), (run / "best").read_text(), (run / "latest").read_text()

    names = [f"step-{step:08d}" for step in (1, 2, 3, 4)]
    old = (names[:3], f"{names[0]}\n", f"{names[2]}\n")
    new = (names[2:], f"{names[3]}\n", f"{names[3]}\n")
    seen = [completed(run) for run in crashes(tmp_path, three, lambda run: save(run, 4, 9.0))]
    assert seen[0] == old and seen[-1] == new
    assert all(state in (old, new) for state in seen)


def test_settings_and_the_manifest_of_a_run_are_the_old_or_the_new(tmp_path):
    def settings(steps: int) -> dict:
        return Config(data=DataConfig(corpus=None, train=["a.en", "a.de"]), train=TrainConfig(steps=steps)).to_dict()

    def write(run: Path, steps: int) -> None:
        folder = RunFolder(run)
        folder.begin(settings(steps), Config().to_dict())
        folder.write_manifest({"steps": steps}, ["mt", "train"])

    for run in crashes(tmp_path, lambda run: write(run, 1), lambda run: write(run, 2)):
        folder = RunFolder(run)
        assert read_config(folder.config) in (settings(1), settings(2))
        told = read_json(folder.manifest)
        assert (told["steps"], len(told["attempts"])) in ((1, 1), (2, 2))
        clean_up(run)
        write(run, 3)
        assert read_config(folder.config) == settings(3) and json.loads(folder.manifest.read_text())["steps"] == 3
        assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "manifest.json"]
