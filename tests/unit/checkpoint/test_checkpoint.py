"""A checkpoint appears whole or not at all, and what is wrong with a damaged one is said by name."""

import errno
import fcntl
import json
import logging
import os
import random
import resource
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from crash import all_crashes, in_child
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mt.checkpoint import (
    Checkpoint,
    Checkpoints,
    Manifest,
    RunLock,
    Score,
    average,
    load_into,
    random_state,
    read_manifest,
    read_tensors,
    set_random_state,
    verify_folder,
    write_folder,
)
from mt.checkpoint import folder as folder_module
from mt.errors import CheckpointError
from mt.files import clean_up, read_json

FILES = ["MANIFEST.json", "config.json", "ema.safetensors", "model.safetensors", "optimizer.safetensors", "state.json"]


def tensors_of(step: int) -> dict[str, Tensor]:
    return {"weight": torch.full((4, 3), float(step)), "bias": torch.arange(4) * step}


def save(folder: Path, step: int, score: Score | None = None, keep: int = 1, ema: bool = True) -> Path:
    return Checkpoints(folder, keep, {"config.json": b'{"dim": 4}'}).save(
        step,
        model=tensors_of(step),
        optimizer={"weight.mean": torch.full((4, 3), step / 2)},
        state={"step": step, "random": random_state()},
        score=score,
        ema={"weight": torch.full((4, 3), -float(step))} if ema else None,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "mt")
    return lambda: [record.getMessage() for record in caplog.records]


# ---------------------------------------------------------------- what is saved comes back


def test_a_checkpoint_comes_back(tmp_path: Path):
    path = save(tmp_path, 7, score=31.5)
    checkpoint = Checkpoints(tmp_path, 1).latest()
    assert checkpoint == Checkpoint(path, 7, 31.5)
    assert path.name == "step-00000007" and names(path) == FILES
    assert torch.equal(checkpoint.model()["weight"], torch.full((4, 3), 7.0))
    assert torch.equal(checkpoint.model()["bias"], torch.arange(4) * 7)
    assert torch.equal(checkpoint.optimizer()["weight.mean"], torch.full((4, 3), 3.5))
    assert torch.equal((checkpoint.ema() or {})["weight"], torch.full((4, 3), -7.0))
    assert checkpoint.state()["step"] == 7
    assert (path / "config.json").read_bytes() == b'{"dim": 4}'


def test_ema_is_none_when_the_run_keeps_none(tmp_path: Path):
    Checkpoints(tmp_path, 1).save(1, model={}, optimizer={}, state={})
    checkpoint = Checkpoints(tmp_path, 1).latest()
    assert checkpoint and checkpoint.ema() is None and checkpoint.model() == {}


@given(
    st.sampled_from(
        [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
    ),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_tensors_of_every_type_and_shape_come_back(tmp_path_factory, dtype: torch.dtype, shape: list[int]):
    target = tmp_path_factory.mktemp("tensors") / "folder"
    tensor = torch.randn(shape).mul(5).to(dtype)
    views = {
        "straight": tensor,
        "turned": tensor.transpose(0, -1) if shape else tensor,
        "wide": tensor.expand(2, *shape),
    }
    write_folder(target, {"a.safetensors": views})
    back = read_tensors(target / "a.safetensors")
    assert back.keys() == views.keys()
    assert all(torch.equal(back[name], views[name]) and back[name].dtype == dtype for name in views)


def test_random_numbers_go_on_after_json():
    state = json.loads(json.dumps(random_state()))
    expected = random.random(), random.gauss(), torch.rand(3).tolist(), torch.randn(2).tolist()
    set_random_state(state)
    assert (random.random(), random.gauss(), torch.rand(3).tolist(), torch.randn(2).tolist()) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"python": None},
        {"python": [3, [1, 2], None]},
        {"torch": "not hex"},
        {"torch": "00"},
        {"torch": ""},
        {"cuda": None},
    ],
)
def test_a_random_state_that_is_none_is_refused(change: dict):
    with pytest.raises(CheckpointError, match="the random state of the checkpoint cannot be restored: "):
        set_random_state({**random_state(), **change})


def test_pointers_name_the_latest_and_the_best(tmp_path: Path):
    for step, score in [(1, 10.0), (2, 30.0), (3, 20.0)]:
        save(tmp_path, step, score)
    assert (tmp_path / "latest").read_text() == "step-00000003\n"
    assert (tmp_path / "best").read_text() == "step-00000002\n"


# ---------------------------------------------------------------- which one, and which are kept


def test_nothing_saved_is_none(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "none", 1)
    clean_up(checkpoints.folder)
    checkpoints.prune()
    assert checkpoints.latest() is None and checkpoints.best() is None


def test_steps_are_ordered_as_numbers(tmp_path: Path):
    for step in (99_999_999, 100_000_000):
        save(tmp_path, step)
    latest = Checkpoints(tmp_path, 1).latest()
    assert latest and latest.step == 100_000_000


@pytest.mark.parametrize(
    ("scores", "best"),
    [([1.0, 3.0, 2.0], 2), ([3.0, 3.0, 2.0], 2), ([None, None], 2), ([-2.0, None, float("nan")], 1), ([-3.5, -2.5], 2)],
)
def test_best_is_the_highest_score_and_of_equals_the_newer(tmp_path: Path, scores: list[float | None], best: int):
    for step, score in enumerate(scores, 1):
        save(tmp_path, step, score)
    found = Checkpoints(tmp_path, 1).best()
    assert found and found.step == best


def test_ranked_are_the_valid_ones_with_a_score_best_first(tmp_path: Path):
    paths = [save(tmp_path, step, score) for step, score in enumerate([1.0, 4.0, None, 3.0], 1)]
    flip(paths[1] / "model.safetensors")
    assert Checkpoints(tmp_path, 1).ranked() == [paths[3], paths[0]]
    assert Checkpoints(tmp_path, 1).scored() == [paths[3], paths[0]]
    save(tmp_path, 5, -7.0)
    assert [path.name[-1] for path in Checkpoints(tmp_path, 1).ranked()] == ["4", "1", "5"]
    assert [path.name[-1] for path in Checkpoints(tmp_path, 1).scored()] == ["5", "4", "1"]


@pytest.mark.parametrize(
    ("keep", "scores", "kept"),
    [
        (1, [5.0, 9.0, 1.0, 2.0, 3.0], [2, 4, 5]),
        (2, [5.0, 9.0, 1.0, 2.0, 3.0], [1, 2, 4, 5]),
        (1, [5.0, 5.0, 1.0, 2.0], [2, 3, 4]),
        (1, [1.0, 2.0, 9.0], [2, 3]),
        (3, [None] * 5, [5]),
        (1, [9.0, 1.0, None, 2.0, None, None], [1, 2, 4, 6]),
        (2, [5.0, None, None, -1.0], [1, 4]),
        (1, [None, 5.0, None], [2, 3]),
        (1, [9.0, float("nan"), 1.0, 2.0], [1, 3, 4]),
        (9, [1.0, 2.0, 3.0], [1, 2, 3]),
    ],
)
def test_prune_keeps_the_best_the_newest_two_with_a_score_and_the_newest(
    tmp_path: Path, keep: int, scores: list, kept: list[int]
):
    for step, score in enumerate(scores, 1):
        save(tmp_path, step, score)
    Checkpoints(tmp_path, keep).prune()
    assert names(tmp_path) == ["best", "latest", *(f"step-{step:08d}" for step in kept)]


def test_completed_pointers_name_only_what_verifies(tmp_path: Path):
    for step, score in ((1, 5.0), (2, 9.0), (3, 1.0), (4, 2.0)):
        save(tmp_path, step, score)
    for step in (2, 4):
        (tmp_path / f"step-{step:08d}" / "state.json").write_text("{}")
    checkpoints = Checkpoints(tmp_path, 9)
    latest = checkpoints.latest()
    assert latest is not None
    checkpoints.complete_save(latest.path)
    assert [(tmp_path / name).read_text() for name in ("latest", "best")] == ["step-00000003\n", "step-00000001\n"]


def test_prune_counts_only_checkpoints_that_verify(tmp_path: Path):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step, score=float(step))
    (tmp_path / "step-00000005" / "state.json").write_bytes(b"")
    (tmp_path / "step-00000004" / "MANIFEST.json").unlink()
    Checkpoints(tmp_path, 1).prune()
    assert names(tmp_path) == ["best", "latest", *(f"step-{step:08d}" for step in (2, 3, 4, 5))]


def test_a_state_without_a_score_stays_where_the_one_after_it_is_damaged(tmp_path: Path):
    for step, score in enumerate([5.0, None, None, None], 1):
        save(tmp_path, step, score)
    flip(tmp_path / "step-00000004" / "model.safetensors")
    Checkpoints(tmp_path, 1).prune()
    assert names(tmp_path) == ["best", "latest", "step-00000001", "step-00000003", "step-00000004"]
    latest = Checkpoints(tmp_path, 1).latest()
    assert latest is not None and latest.step == 3


@given(st.lists(st.sampled_from([None, 1.0, 2.0, 3.0]), min_size=1, max_size=7), st.integers(1, 3))
@settings(max_examples=15)
def test_states_without_a_score_displace_none(tmp_path_factory, scores: list[float | None], keep: int):
    """Saved and pruned as a run does it, with them and without."""
    mixed, plain = tmp_path_factory.mktemp("mixed"), tmp_path_factory.mktemp("plain")
    for step, score in enumerate(scores, 1):
        for folder in (mixed, plain):
            if score is not None or folder == mixed:
                save(folder, step, score)
                Checkpoints(folder, keep).prune()
        newest = {f"step-{step:08d}"} if score is None else set()
        assert set(names(mixed)) - {"best", "latest"} == set(names(plain)) - {"best", "latest"} | newest


def test_clean_up_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path):
    save(tmp_path, 1)
    before = names(tmp_path)
    for leftover in (".tmp-step-00000002-77", ".trash-step-00000001-1"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".tmp-latest").write_text("step")
    clean_up(tmp_path)
    assert names(tmp_path) == before


def test_free_files_may_be_edited_and_removed_and_others_not(tmp_path: Path):
    folder = tmp_path / "model"
    write_folder(folder, {"a.json": b"{}", "README.md": b"a card"}, free={"README.md", "not-there"})
    assert verify_folder(folder).free == {"README.md"}
    (folder / "README.md").write_text("my card")
    assert verify_folder(folder).files.keys() == {"a.json", "README.md"}
    (folder / "README.md").unlink()
    assert verify_folder(folder) == Manifest({"a.json": read_manifest(folder).files["a.json"]}, {})
    (folder / "README.md").mkdir()
    with pytest.raises(CheckpointError, match=r"README\.md` is in the manifest of its folder, but missing\.$"):
        verify_folder(folder)
    (folder / "README.md").rmdir()
    (folder / "a.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"a\.json` must have SHA-256"):
        verify_folder(folder)


def test_tensors_are_never_free(tmp_path: Path):
    write_folder(tmp_path / "m", {"a.safetensors": b"1"}, free={"a.safetensors"})
    (tmp_path / "m" / "a.safetensors").write_bytes(b"2")
    with pytest.raises(CheckpointError, match=r"a\.safetensors` must have SHA-256"):
        verify_folder(tmp_path / "m")


def test_a_valid_folder_stays_as_it_is_unless_told_otherwise(tmp_path: Path):
    target = tmp_path / "model"
    write_folder(target, {"a": b"one"}, meta={"step": 1})
    write_folder(target, {"a": b"two"})
    assert (target / "a").read_bytes() == b"one" and read_manifest(target).meta == {"step": 1}
    write_folder(target, {"a": b"two"}, replace=True)
    assert (target / "a").read_bytes() == b"two" and names(tmp_path) == ["model"]


def test_an_invalid_folder_is_moved_aside(tmp_path: Path, warned):
    for count in (1, 2):
        save(tmp_path, 1)
        (tmp_path / "step-00000001" / "state.json").write_bytes(b"")
        save(tmp_path, 1)
        assert f"The damaged folder was moved to `{tmp_path}/bad-step-00000001-{count}`." in warned()[-1]
        assert Checkpoints(tmp_path, 1).latest() is not None
    assert [name for name in names(tmp_path) if name.startswith("bad")] == [f"bad-step-00000001-{n}" for n in (1, 2)]


@pytest.mark.parametrize("name", ["../escape", ".hidden", "a/b", "", "tab\t", "straße"])
def test_names_that_are_not_plain_are_our_fault(tmp_path: Path, name: str):
    with pytest.raises(AssertionError):
        write_folder(tmp_path / "x", {name: b""})
    assert names(tmp_path) == []


def test_everything_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[int | str] = []
    rename = Path.rename
    monkeypatch.setattr(folder_module.os, "fsync", lambda handle: order.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(Path, "rename", lambda path, to: (order.append("rename"), rename(path, to))[1])
    folder = tmp_path / "x"
    write_folder(folder, {"a": b"1", "b": {}})
    synced = [folder / "a", folder / "b", folder / "MANIFEST.json", folder, tmp_path]
    inodes = [path.stat().st_ino for path in synced]
    assert set(order[:3]) == set(inodes[:3]) and order[3:] == [inodes[3], "rename", inodes[4]]


# ---------------------------------------------------------------- killed anywhere


def save_and_prune(folder: Path) -> None:
    save(folder, 3, score=1.0)
    Checkpoints(folder, 1).prune()


@pytest.mark.parametrize("damaged", [False, True])
def test_killed_anywhere_the_old_or_the_new_checkpoint_is_there(tmp_path: Path, damaged: bool):
    origin = tmp_path / "origin"
    for step in (1, 2, 3) if damaged else (1, 2):
        save(origin, step, score=float(-step))
    if damaged:
        (origin / "step-00000003" / "state.json").unlink()
    shutil.copytree(origin, tmp_path / "imports")
    save_and_prune(tmp_path / "imports")  # so that the child opens no files to import modules
    killed = all_crashes(origin, lambda: save_and_prune(origin), tmp_path / "killed")
    assert len(killed) > 40
    found = set()
    for run in killed:
        checkpoints = Checkpoints(run, 1)
        latest = checkpoints.latest()
        assert latest and latest.step in (2, 3)
        assert torch.equal(latest.model()["weight"], tensors_of(latest.step)["weight"])
        found.add(latest.step)
        clean_up(run)
        save_and_prune(run)
        assert not [name for name in names(run) if name.startswith(".")]
        after = checkpoints.latest()
        assert after and after.step == 3
    assert found == {2, 3}


# ---------------------------------------------------------------- damage is named and passed over


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the last byte is data in safetensors and a bracket in JSON
    path.write_bytes(content)


DAMAGES = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "flipped": flip,
    "lengthened": lambda path: path.write_bytes(path.read_bytes() + b" x"),
    "swapped": lambda path: shutil.copy(path.parents[1] / "step-00000001" / path.name, path),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_its_checkpoint_passed_over(tmp_path: Path, name: str, damage: str, warned):
    save(tmp_path, 1, score=1.0)
    path = save(tmp_path, 2, score=2.0) / name
    before = path.read_bytes()
    DAMAGES[damage](path)
    checkpoints = Checkpoints(tmp_path, 1)
    latest, best = checkpoints.latest(), checkpoints.best()
    if path.exists() and path.read_bytes() == before:  # swapped with a file that is the same
        assert latest and latest.step == 2 and warned() == []
        return
    assert latest and latest.step == 1 and best and best.step == 1
    message = warned()[0]
    assert message.startswith("skipping a damaged checkpoint: `") and message.endswith(".")
    assert str(path.parent) in message and (name in message or name == "MANIFEST.json")
    assert path.parent.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "state.json").unlink(), "`{f}/state.json` is in the manifest of its folder, but missing."),
        (lambda f: (f / "config.json").write_bytes(b"{}"), "`{f}/config.json` must have 10 bytes, but has 2."),
        (
            lambda f: flip(f / "config.json"),
            "`{f}/config.json` must have SHA-256 5e0f5a4d3dcf…, but has 16a06fa6efab…: ",
        ),
        (
            lambda f: (f / "model.pt").touch(),
            "`{f}/model.pt` is not in the manifest of its folder. hint: move it elsewhere.",
        ),
        (lambda f: (f / "MANIFEST.json").unlink(), "`{f}/MANIFEST.json` cannot be read: No such file or directory."),
        (lambda f: shutil.rmtree(f), "`{f}` must be a folder, but is not there."),
        (lambda f: (shutil.rmtree(f), f.touch()), "`{f}` must be a folder, but is a file."),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, damage: Callable[[Path], object], message: str):
    folder = save(tmp_path, 1)
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        verify_folder(folder)
    assert str(caught.value).startswith(message.format(f=folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not valid JSON in UTF-8; it may be damaged."),
        ("[" * 100_000, "is not valid JSON in UTF-8; it may be damaged."),
        ("[]", "must contain a JSON object, but contains an array."),
        ('{"schema": 1, "schema": 1}', "is not valid JSON in UTF-8; it may be damaged."),
        (" " * (1 << 20) + "{}", "must have at most 1,048,576 bytes, but has more."),
        ("{}", "must have a `schema` number, but has null: it is damaged, or not a file of mt."),
        ('{"schema": 2}', "has schema 2, but this version of mt reads 1. hint: update mt to read newer files."),
        ('{"schema": 1, "files": []}', "must contain the objects `files` and `meta`, but does not."),
        (
            json.dumps({"schema": 1, "meta": {}, "files": dict.fromkeys(map(str, range(1001)))}),
            "must list at most 1000 files, but lists 1,001.",
        ),
        ('{"schema": 1, "meta": {}, "files": {"../x": 1}}', "must list plain file names, but lists '../x'."),
        ('{"schema": 1, "meta": {}, "files": {"MANIFEST.json": 1}}', "must list plain file names, but lists "),
        ('{"schema": 1, "meta": {}, "files": {"x": {"size": 1}}}', "must give the size and SHA-256 of `x`, but does "),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(tmp_path: Path, content: str, message: str):
    (tmp_path / "MANIFEST.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        verify_folder(tmp_path)
    assert str(caught.value).startswith(f"`{tmp_path}/MANIFEST.json` {message}")


def test_hidden_files_of_the_system_are_let_be(tmp_path: Path):
    folder = save(tmp_path, 1)
    (folder / ".DS_Store").touch()
    verify_folder(folder)


def test_a_valid_folder_need_not_be_a_checkpoint(tmp_path: Path):
    write_folder(tmp_path / "model", {"model.safetensors": {}, "optimizer.safetensors": {}})
    with pytest.raises(CheckpointError, match=r"model` must contain `state.json` to be a checkpoint, but does not\."):
        Checkpoint.open(tmp_path / "model")
    write_folder(tmp_path / "other", {"model.safetensors": {}, "optimizer.safetensors": {}, "state.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"MANIFEST.json` must give a step and a score, but gives \{\}\."):
        Checkpoint.open(tmp_path / "other")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"none.json` cannot be read: No such file or directory\."):
        read_json(tmp_path / "none.json")
    with pytest.raises(CheckpointError, match=r"none.safetensors` cannot be read: No such file or directory"):
        read_tensors(tmp_path / "none.safetensors")
    (tmp_path / "short").write_bytes(b"1234")
    with pytest.raises(CheckpointError, match=r"short` cannot be read as safetensors: "):
        read_tensors(tmp_path / "short")


# ---------------------------------------------------------------- a disk that refuses


def test_a_disk_that_is_full_costs_one_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path, 1)
    calls = fail_at = 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder_module.os, "fsync", full)
    for n in range(1, 8):
        calls, fail_at = 0, n
        with pytest.raises(CheckpointError) as caught:
            save(tmp_path, 2)
        assert str(caught.value) == f"`{tmp_path}/step-00000002` cannot be written: No space left on device."
        assert names(tmp_path) == ["best", "latest", "step-00000001"]
    monkeypatch.undo()
    latest = Checkpoints(tmp_path, 1).latest()
    assert latest and latest.step == 1 and latest.state()["step"] == 1
    save(tmp_path, 2)


def test_a_file_that_may_not_grow_is_a_checkpoint_error(tmp_path: Path):
    save(tmp_path, 1)

    def outgrow() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        try:
            save(tmp_path, 2)
        except CheckpointError as error:
            assert "cannot be written: File too large." in str(error)
        else:
            raise AssertionError("no error")

    assert in_child(outgrow)
    assert names(tmp_path) == ["best", "latest", "step-00000001"]
    assert Checkpoints(tmp_path, 1).latest() is not None


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_module.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 1)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("call", "work", "message"),
    [
        ("replace", lambda folder: save(folder, 4), "`{}/latest` cannot be written: Read-only file system."),
        ("rename", lambda folder: Checkpoints(folder, 1).prune(), "`{}/step-00000001` cannot be removed: Read-only "),
        ("iterdir", lambda folder: verify_folder(folder / "step-00000001"), "`{}/step-00000001` cannot be read: Read-"),
        ("mkdir", lambda folder: RunLock(folder).__enter__(), "`{}` cannot be used: Read-only file system."),
    ],
)
def test_every_refusal_of_the_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call, work, message):
    for step in (1, 2, 3):
        save(tmp_path, step, score=float(step))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(CheckpointError) as caught:
        work(tmp_path)
    assert str(caught.value).startswith(message.format(tmp_path))


# ---------------------------------------------------------------- weights


def test_the_average_of_checkpoints_is_the_mean_of_their_models(tmp_path: Path):
    paths = [save(tmp_path, step, ema=False) for step in (1, 2, 6)]
    mean = average(paths)
    assert torch.equal(mean["weight"], torch.full((4, 3), 3.0)) and mean["weight"].dtype == torch.float32
    assert torch.equal(mean["bias"], torch.arange(4) * 3) and mean["bias"].dtype == torch.int64


def test_the_average_takes_running_means_where_there_are_some(tmp_path: Path):
    mean = average([save(tmp_path, step) for step in (1, 2, 6)])
    assert mean.keys() == {"weight"}
    assert torch.equal(mean["weight"], torch.full((4, 3), -3.0))


def test_small_steps_are_not_lost_in_the_average(tmp_path: Path):
    values = torch.tensor([1e8, 1.0, -1e8])
    for number, value in enumerate(values):
        write_folder(tmp_path / f"{number}", {"model.safetensors": {"w": value}})
    assert average([tmp_path / f"{n}" for n in range(3)])["w"].item() == pytest.approx(1 / 3)


def test_an_average_that_makes_no_sense_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="`checkpoints` must name at least one folder to average, but is empty"):
        average([])
    write_folder(tmp_path / "a", {"model.safetensors": {"w": torch.zeros(2)}})
    write_folder(tmp_path / "b", {"model.safetensors": {"w": torch.zeros(3)}})
    with pytest.raises(CheckpointError) as caught:
        average([tmp_path / "a", tmp_path / "b"])
    problem = "`w` must be float32 [2], but is float32 [3]"
    assert str(caught.value) == f"`{tmp_path}/b` does not fit `{tmp_path}/a`: {problem}."


def test_weights_are_loaded_when_all_fit(tmp_path: Path):
    module, other = nn.Linear(3, 4), nn.Linear(3, 4)
    load_into(module, dict(other.state_dict()), "x")
    assert torch.equal(module.weight, other.weight) and torch.equal(module.bias, other.bias)


def test_a_matrix_with_two_names_is_saved_and_loaded_under_the_first():
    tied = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Linear(3, 3)})
    tied["second"].weight = tied["first"].weight
    weights = {name: torch.full_like(parameter, 2.0) for name, parameter in tied.named_parameters()}
    assert "second.weight" not in weights
    load_into(tied, weights, "x")
    assert torch.equal(tied["second"].weight, torch.full((3, 3), 2.0))


def test_weights_that_do_not_fit_change_nothing():
    module = nn.Linear(3, 4)
    before = module.weight.clone()
    wrong = {"weight": torch.zeros(3, 4), **{f"extra{n}": torch.zeros(1) for n in range(5)}}
    with pytest.raises(CheckpointError) as caught:
        load_into(module, wrong, "runs/x")
    assert str(caught.value) == (
        "`runs/x` does not fit the model: `bias` is missing; `extra0` is unknown; `extra1` is unknown; "
        "`extra2` is unknown; `extra3` is unknown; and 2 more."
    )
    with pytest.raises(CheckpointError, match=r"`weight` must be float32 \[4, 3\], but is float64 \[4, 3\]\."):
        load_into(module, {"weight": torch.zeros(4, 3).double(), "bias": torch.zeros(4)}, "runs/x")
    assert torch.equal(module.weight, before)


# ---------------------------------------------------------------- one writer


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(CheckpointError) as caught, RunLock(tmp_path):
        pass
    assert str(caught.value) == f"`{tmp_path}/.lock` cannot be used: Is a directory."


def test_a_second_process_is_refused(tmp_path: Path):
    run = tmp_path / "run"
    with RunLock(run), pytest.raises(CheckpointError) as caught, RunLock(run):
        pass
    hint = "wait for it, stop it, or give this run another name: `run.name=...`"
    assert str(caught.value) == f"`{run}` is in use by process {os.getpid()} on {socket.gethostname()}. hint: {hint}"
    with RunLock(run):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path):
    assert in_child(lambda: RunLock(tmp_path).__enter__())
    with RunLock(tmp_path):
        pass


def test_a_disk_without_locks_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunLock(tmp_path):
        pass
    assert warned() == [
        f"`{tmp_path}` cannot be locked (No locks available): make sure that only one process trains in it."
    ]


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "model"
    write_folder(target, {"a.txt": b"old"})
    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if path.name.startswith(".tmp-"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CheckpointError, match="cannot be written: Read-only file system"):
        write_folder(target, {"a.txt": b"new"}, replace=True)
    assert names(tmp_path) == ["model"]
    verify_folder(target)
    assert (target / "a.txt").read_bytes() == b"old"


def test_further_numbers_of_a_score_decide_between_equal_scores(tmp_path):
    for step, score in enumerate([(0.0, 9.0, -4.0), (0.0, 12.0, -5.0), (0.0, 12.0, -6.0), 0.0, None], 1):
        save(tmp_path, step, score=score)
    checkpoints = Checkpoints(tmp_path, keep=9)
    assert [path.name[-1] for path in checkpoints.ranked()] == ["2", "3", "1", "4"]
    best = checkpoints.best()
    assert best is not None and (best.step, best.score, best.rank) == (2, 0.0, (0.0, 12.0, -5.0))
    assert Checkpoint.open(tmp_path / "step-00000005").rank == ()
