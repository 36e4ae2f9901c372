"""A run that is killed, stopped or started again gives the bits of an unbroken run."""

import fcntl
import gzip
import hashlib
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import termios
from contextlib import closing
from pathlib import Path

import pytest

SETTINGS = (
    "data.train=[train.en,train.de] data.dev=[dev.en,dev.de] tokenizer.sampling=0.1 model.dropout=0.1 "
    "model.word_dropout=0.05 model.positions=learned model.tying=decoder batch.tokens=128 batch.accumulate=2 "
    "batch.pool=60 loss.label_smoothing=0.1 optim.lr=5e-3 schedule.warmup_steps=20 train.ema=0.9 train.log_every=1 "
    "train.validate_every=12 train.average=2 train.keep=2 data.workers=0"
)
STEPS = 96
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, numbers) -> Path:
    path = tmp_path_factory.mktemp("resume")
    numbers(path, "train", 160, seed=1)
    numbers(path, "dev", 12, seed=2)
    return path


@pytest.fixture(scope="module")
def unbroken(folder, command, run):
    done = run(folder, *command("unbroken"))
    assert done.returncode == 0, done.stderr.decode()
    return numbers_of(folder / "runs/unbroken"), weights_of(folder / "runs/unbroken")


def numbers_of(run_folder: Path) -> list[tuple]:
    """The lines that must be equal, in the order of the file, without measured times."""
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().split("\n")[:-1]]
    keys = {"train": ("epoch", "loss", "nll", "lr", "grad_norm", "packing"), "dev": ("loss", "bleu", "chrf")}
    return [(line["kind"], line["step"], *(line[key] for key in keys[line["kind"]])) for line in lines]


def weights_of(run_folder: Path) -> dict[str, str]:
    files = {
        "handed on": run_folder / "model" / "model.safetensors",
        **{
            name: run_folder / f"checkpoints/step-{STEPS:08d}/{name}.safetensors"
            for name in ("model", "ema", "optimizer")
        },
    }
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_the_unbroken_run_is_worth_comparing_with(unbroken):
    numbers, weights = unbroken
    losses = [line[3] for line in numbers if line[0] == "train"]
    assert [line[1] for line in numbers if line[0] == "train"] == list(range(1, STEPS + 1))
    assert [line[1] for line in numbers if line[0] == "dev"] == list(range(12, STEPS + 1, 12))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert len({weights[name] for name in ("model", "ema", "optimizer")}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_random_moments_it_ends_the_same(seed, folder, command, start, unbroken):
    draw, name = random.Random(seed), f"killed-{seed}"
    metrics, checkpoints = folder / f"runs/{name}/metrics.jsonl", folder / f"runs/{name}/checkpoints"
    killed = 0
    for round_number in range(4):
        process = start(folder, *command(name), fresh=True)
        # Within a save in one round, else after some lines; a resumed run first drops the lines after its checkpoint.
        lines = draw.randint(10, 30) + 20 * round_number
        moments = [lambda lines=lines: lines_in(metrics) >= lines, lambda: any(checkpoints.glob(".tmp-step-*"))]
        if process.wait_for(moments[round_number == 1]):
            process.signal(signal.SIGKILL)
            killed += process.end() == -signal.SIGKILL
    assert killed >= 3
    process = start(folder, *command(name))
    assert process.end() == 0, process.stderr.read_text()
    assert "going on from step" in process.stderr.read_text()
    assert (numbers_of(folder / f"runs/{name}"), weights_of(folder / f"runs/{name}")) == unbroken
    manifest = json.loads((folder / f"runs/{name}/manifest.json").read_text())
    assert len(manifest["attempts"]) == 5


def test_stopped_by_sigterm_it_says_so_and_goes_on(folder, command, start, run, unbroken):
    process = start(folder, *command("stopped"), "data.workers=1", fresh=True)
    assert process.wait_for(lambda: lines_in(folder / "runs/stopped/metrics.jsonl") >= 5)
    process.signal(signal.SIGTERM)
    assert process.end() == 75
    said, _, hint = process.stderr.read_text().strip().split("\n")[-3:]
    assert said.startswith("mt train: stopped by SIGTERM at step ") and said.endswith("; its state is saved.")
    assert hint == "hint: the same command continues it."
    assert "Traceback" not in process.stderr.read_text()
    assert not (folder / "runs/stopped/model").exists()
    done = run(folder, *command("stopped"))
    assert done.returncode == 0, done.stderr.decode()
    assert (numbers_of(folder / "runs/stopped"), weights_of(folder / "runs/stopped")) == unbroken


@pytest.mark.usefixtures("without_nohup")  # a new process inherits it
def test_a_terminal_that_is_closed_stops_it_like_sigterm(folder, command):
    ours, its = pty.openpty()
    argv = [sys.executable, "-m", "mt", *command("closed"), "data.workers=1"]
    process = subprocess.Popen(
        argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=its, stdout=its, stderr=its,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(its)
    with closing(os.fdopen(ours, "rb")) as terminal:
        while lines_in(folder / "runs/closed/metrics.jsonl") < 5:
            assert terminal.read1(), "it ended"
    assert process.wait(timeout=600) == 75
    said = (folder / "runs/closed/train.log").read_text()
    assert "INFO SIGHUP: saving after this update" in said and "ERROR" not in said
    assert (folder / "runs/closed/checkpoints/latest").exists()


def test_a_finished_run_says_so_and_changes_nothing(folder, command, run, unbroken):
    again = run(folder, *command("unbroken"))
    assert again.returncode == 0
    said = again.stdout.decode()
    assert said.startswith(f"runs/unbroken is finished after {STEPS} steps: the limit of {STEPS} steps was reached.")
    assert (numbers_of(folder / "runs/unbroken"), weights_of(folder / "runs/unbroken")) == unbroken


def without_repeated(stderr: bytes) -> list[str]:
    """The error and its hint, without the lines before them about settings that a command has twice."""
    said = stderr.decode().strip().split("\n")
    return "\n".join(line for line in said if "the last that is given, not" not in line).split("\n\n")


def test_a_fixed_setting_that_changed_is_named_with_both_values(folder, command, run, unbroken):
    refused = run(folder, *command("unbroken", "optim.lr=1e-3"))
    assert (refused.returncode, refused.stdout) == (2, b"")
    line, hint = without_repeated(refused.stderr)
    assert line == "mt train: `optim.lr` was 0.005 when `runs/unbroken` was started, but is 0.001 now."
    assert hint.startswith("hint: begin another run with `run.name=...`")


def test_other_training_text_under_the_same_name_is_refused(folder, command, start, run, numbers):
    other = folder / "other"
    other.mkdir()
    numbers(other, "train", 160, seed=1)
    numbers(other, "dev", 12, seed=2)
    process = start(other, *command("x"))
    assert process.wait_for(lambda: any((other / "runs/x/checkpoints").glob("step-*")))
    process.signal(signal.SIGKILL)
    process.end()
    begun = (other / "runs/x/config.yaml").read_bytes()
    numbers(other, "train", 160, seed=3)
    refused = run(other, *command("x"), "train.keep=3", "data.test=[dev.en,dev.de]")
    assert refused.returncode == 3
    assert "the training text is not the one that `runs/x` was started with." in refused.stderr.decode()
    assert (other / "runs/x/config.yaml").read_bytes() == begun  # a refused command changes nothing


def test_a_run_goes_on_when_its_text_has_moved_and_was_compressed(folder, command, start, run, unbroken):
    home, name = folder / "moved", "moved"
    home.mkdir()
    for file in folder.glob("*.[ed][ne]"):
        shutil.copy(file, home)
    process = start(home, *command(name))
    assert process.wait_for(lambda: any((home / f"runs/{name}/checkpoints").glob("step-*")))
    process.signal(signal.SIGKILL)
    process.end()
    (home / "kept").mkdir()
    for file in home.glob("*.[ed][ne]"):
        (home / "kept" / f"text.{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    lost = run(home, "train", "--resume", f"runs/{name}")
    assert lost.returncode == 3
    assert lost.stderr.decode().endswith("hint: if the text has moved, name it, as in `data.train=[new.en,new.de]`.\n")
    files = [f"data.{part}=[kept/text.{part}.en.gz,kept/text.{part}.de.gz]" for part in ("train", "dev")]
    moved = run(home, "train", "--resume", f"runs/{name}", *files)
    assert moved.returncode == 0, moved.stderr.decode()
    assert "going on with changed settings: `data.train` was ['train.en', 'train.de'], is" in moved.stderr.decode()
    assert (numbers_of(home / f"runs/{name}"), weights_of(home / f"runs/{name}")) == unbroken


def test_more_steps_go_on_from_the_end(folder, command, run, unbroken):
    name = "longer"
    shutil.copytree(folder / "runs/unbroken", folder / f"runs/{name}")
    longer = run(folder, *command(name), "train.steps=112")
    assert longer.returncode == 0, longer.stderr.decode()
    assert f"going on from step {STEPS}" in longer.stderr.decode()
    found = numbers_of(folder / f"runs/{name}")
    assert found[: len(unbroken[0])] == unbroken[0]
    assert [line[1] for line in found if line[0] == "train"] == list(range(1, 113))
    assert longer.stdout.decode().strip().startswith("Trained 112 updates")


def test_a_run_whose_checkpoints_cannot_be_read_does_not_begin_anew(folder, command, run, unbroken):
    shutil.copytree(folder / "runs/unbroken", folder / "runs/spoilt")
    before = numbers_of(folder / "runs/spoilt")
    for checkpoint in (folder / "runs/spoilt/checkpoints").glob("step-*"):
        (checkpoint / "state.json").write_bytes(b"{")
    refused = run(folder, *command("spoilt"))
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.decode().strip().split("\n")[-3:] == [
        "mt train: no checkpoint in `runs/spoilt/checkpoints` can be read.",
        "",
        "hint: repair them, or move `runs/spoilt` away to start again.",
    ]
    assert numbers_of(folder / "runs/spoilt") == before


def test_a_finished_model_without_checkpoints_stays_and_each_hint_can_be_typed(folder, command, run, unbroken):
    home = folder / "bare"
    home.mkdir()
    for file in folder.glob("*.[ed][ne]"):
        shutil.copy(file, home)
    shutil.copytree(folder / "runs/unbroken", home / "runs/unbroken")
    shutil.rmtree(home / "runs/unbroken/checkpoints")
    kept = {file: file.read_bytes() for file in (home / "runs/unbroken").rglob("*.*") if file.name != ".lock"}
    for again in (command("unbroken", "train.keep=3"), ["train", "--resume", "runs/unbroken"]):
        refused = run(home, *again)
        assert (refused.returncode, refused.stdout) == (1, b"")
        line, hint = without_repeated(refused.stderr)
        assert line.startswith(
            "mt train: `runs/unbroken` has a model but no checkpoint to go on from, and a new training"
        )
        assert "begin another run with `run.name=...`, from this model if you add `init=runs/unbroken`, or move" in hint
    assert kept == {file: file.read_bytes() for file in kept}
    text = ["data.train=[train.en,train.de]", "data.dev=[dev.en,dev.de]", "train.device=cpu"]
    brief = ["train.steps=2", "train.validate_every=2", "run.name=next"]
    assert run(home, "train", "init=runs/unbroken", *text, *brief).returncode == 0
    (home / "runs/unbroken").rename(home / "away")
    assert run(home, *command("unbroken"), "train.steps=2", "train.validate_every=2").returncode == 0


def test_a_run_without_time_for_all_of_its_text_says_so_and_goes_on(folder, command, run):
    brief = run(folder, *command("brief"), "train.minutes=1e-6")
    assert brief.returncode == 0, brief.stderr.decode()
    told = re.search(r"has not read all of its .* needs about `(train\.minutes=\d+)`\. The same", brief.stderr.decode())
    assert told is not None
    longer = run(folder, *command("brief"), told[1], "train.steps=3")
    assert longer.returncode == 0, longer.stderr.decode()
    said = longer.stderr.decode()
    assert "going on from step 1 " in said and "has not read all" not in said  # its steps have ended it
