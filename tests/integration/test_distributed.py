"""Two processes give the bits of one process, for sources of text and others; and failures of one of two processes."""

import hashlib
import json
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

SETTINGS = (
    "schedule=inverse_sqrt data.train=[train.en,train.de] data.dev=[dev.en,dev.de] tokenizer.sampling=0.1 "
    "model.dropout=0.1 model.word_dropout=0.05 batch.tokens=128 batch.accumulate=2 batch.pool=60 optim.lr=5e-3 "
    "schedule.warmup_steps=8 train.ema=0.9 train.log_every=1 train.validate_every=8 train.average=2 train.keep=2 "
    "data.workers=0"
)
STEPS = 24
FILES = ("model", "ema", "optimizer")
BRIEF = 8
TABLES = (
    f"data.target=de data.tgt=de data.train=[train.tsv] data.dev=[dev.tsv] train.steps={BRIEF} tokenizer.sampling=0"
)
SOURCES = {
    "features": ["data.inputs=[frames:features]", "model.matching=1"],
    "text and features": [
        "data.inputs=[en:text,frames:features]", "model.fusion=co_attention", "model.source_dropout=0.3",
        "loss.consistency=0.5",
    ],
}  # fmt: skip
# `mt` whose last process gets a SIGTERM within one update: the run stops after that update.
STOPPING = """
import os, signal, sys
from mt.cli.main import main
from mt.train.trainer import Trainer

if __name__ == "__main__":
    stop, deal = int(sys.argv.pop(1)), Trainer._next_batches

    def deal_or_stop(trainer):
        if trainer.state.step == stop and trainer.group.rank == trainer.group.world - 1:
            signal.raise_signal(signal.SIGTERM)
        return deal(trainer)

    Trainer._next_batches = deal_or_stop
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, numbers) -> Path:
    path = tmp_path_factory.mktemp("distributed")
    numbers(path, "train", 160, seed=1)
    numbers(path, "dev", 12, seed=2)
    return path


@pytest.fixture(scope="module")
def together(start):
    """`together(folder, "train", ...)` starts a command as two processes under torchrun and returns at once."""
    process = start.__globals__["Process"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

    def begin(folder: Path, *argv: str, options: tuple[str, ...] = (), program: tuple[str, ...] = ("-m", "mt")):
        return process([*torchrun, *options, *program, *argv], folder)

    return begin


@pytest.fixture
def forked_together(imported):
    """`forked_together(folder, "train", ...)` runs a command as two processes without torchrun, which as each of its
    processes imports torch; returns the exit code and stderr of each."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun has one too
    shared = {
        **os.environ, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": store.host, "MASTER_PORT": str(store.port),
    }  # fmt: skip

    def run_both(folder: Path, *argv: str) -> list[tuple[int, str]]:
        def run_one(rank: int) -> tuple[int, str]:
            own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            done = forked.run_forked(imported, list(argv), folder, own, b"")
            return done.returncode, done.stderr.decode()

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(run_one, range(2)))

    yield run_both
    del store  # not before: the two processes meet there


@pytest.fixture(scope="module")
def alone(folder, command, run):
    done = run(folder, *command("alone"))
    assert done.returncode == 0, done.stderr.decode()
    return numbers_of(folder / "runs/alone"), weights_of(folder / "runs/alone")


def without_keys_bias(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The softmax ignores a vector added to all keys: the gradient of that bias is rounding error, from which Adam
    makes steps of full size."""
    return tensor.chunk(2)[1] if name.endswith("key_value.bias") else tensor


def numbers_of(run_folder: Path) -> list[tuple]:
    """The lines that must be equal, in the order of the file, without measured times."""
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().split("\n")[:-1]]
    keys = {"train": ("epoch", "loss", "nll", "lr", "grad_norm", "packing"), "dev": ("loss", "bleu", "chrf")}
    return [(line["kind"], line["step"], *(line[key] for key in keys[line["kind"]])) for line in lines]


def weights_of(run_folder: Path, steps: int = STEPS) -> dict[str, str]:
    files = [run_folder / f"checkpoints/step-{steps:08d}/{name}.safetensors" for name in FILES]
    files.append(run_folder / "model" / "model.safetensors")
    return {str(file.relative_to(run_folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def workers(process) -> list[int]:
    """The processes that torchrun started, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (pid := int(entry.name)) != process.inner.pid:
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                rank = re.search(rb"(?:^|\0)RANK=(\d+)\0", (entry / "environ").read_bytes())
            except (OSError, IndexError):
                continue
            if parent == process.inner.pid and rank:
                found[int(rank[1])] = pid
    return [found[rank] for rank in sorted(found)]


def test_two_processes_give_what_one_gives(folder, command, together, alone):
    # A save after every update, at which both processes agree.
    process = together(folder, *command("two"), "train.save_minutes=1e-6", "data.workers=1")
    said = process.end(), process.stdout.read_text(), process.stderr.read_text()
    assert said[0] == 0, said[2]
    assert (numbers_of(folder / "runs/two"), weights_of(folder / "runs/two")) == alone
    assert said[1].count(f"Trained {STEPS} updates") == 1
    assert said[2].count("dev loss") == 3 and "parameters on 2 processes (cpu) in fp32" in said[2]
    assert "tok/s  on 2 processes" in said[2]


def write_table(folder: Path, name: str) -> None:
    """The pairs with a column of frames: a row of numbers for each German word."""
    sides = [(folder / f"{name}.{end}").read_text(encoding="utf-8").split("\n")[:-1] for end in ("en", "de")]
    lines, rows = ["en\tframes\tde"], []
    for english, german in zip(*sides, strict=True):
        first = len(rows)
        rows += [[float(len(word)), float(ord(word[0])), float(ord(word[-1]))] for word in german.split()]
        lines.append(f"{english}\t{name}.npy:{first}:{len(rows)}\t{german}")
    np.save(folder / f"{name}.npy", np.array(rows, np.float32))
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES)
def test_two_processes_give_what_one_gives_for_other_sources(source, folder, command, run, forked_together):
    for name in ("train", "dev"):
        write_table(folder, name)
    settings, name = [*TABLES.split(), *SOURCES[source]], source.replace(" ", "-")
    done = run(folder, *command(f"one-{name}", *settings))
    assert done.returncode == 0, done.stderr.decode()
    (code, said), (other_code, other_said) = forked_together(folder, *command(f"two-{name}", *settings))
    assert (code, other_code) == (0, 0), said + other_said
    assert "parameters on 2 processes (cpu) in fp32" in said
    one, two = (folder / f"runs/{count}-{name}" for count in ("one", "two"))
    assert len(numbers_of(one)) == BRIEF + 1
    assert (numbers_of(two), weights_of(two, BRIEF)) == (numbers_of(one), weights_of(one, BRIEF))


@pytest.mark.slow
def test_the_number_of_processes_may_change_from_one_attempt_to_the_next(folder, command, run, together, alone):
    first = run(folder, *command("mixed"), "train.steps=8")
    assert first.returncode == 0, first.stderr.decode()
    second = together(folder, *command("mixed"), "train.steps=16")
    assert second.end() == 0, second.stderr.read_text()
    assert "going on from step 8" in second.stderr.read_text()
    third = run(folder, *command("mixed"))
    assert third.returncode == 0, third.stderr.decode()
    assert "going on from step 16" in third.stderr.decode()
    assert (numbers_of(folder / "runs/mixed"), weights_of(folder / "runs/mixed")) == alone


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(6, 9), (9, 13)], ids=lambda stops: f"at {stops[0]} and {stops[1]}")
def test_one_process_then_two_then_one_stopped_at_awkward_places(stops, folder, command, start, together, alone):
    """In the middle of an epoch (6 and 13) and one update after a validation (9, where one ends), alone and as two."""
    epochs = {line[1]: line[2] for line in alone[0] if line[0] == "train"}
    assert all(0.1 < epochs[step] % 1 < 0.9 for step in (6, 13)) and epochs[9] == 2
    assert [line[1] for line in alone[0] if line[0] == "dev"] == [8, 16, 24]
    name, program = f"awkward-{stops[0]}", folder / "stopping.py"
    program.write_text(STOPPING, encoding="utf-8")
    first = start.__globals__["Process"]([sys.executable, str(program), str(stops[0]), *command(name)], folder)
    assert first.end() == 75, first.stderr.read_text()
    assert f"stopped by SIGTERM at step {stops[0]}, saved" in first.stderr.read_text()
    second = together(folder, *command(name), program=(str(program), str(stops[1])))
    assert second.end() == 1  # torchrun's
    said = second.stderr.read_text()
    assert f"going on from step {stops[0]}" in said and "on 2 processes" in said
    assert f"stopped by a signal to another process at step {stops[1]}, saved" in said
    third = start(folder, *command(name))
    assert third.end() == 0, third.stderr.read_text()
    assert f"going on from step {stops[1]}" in third.stderr.read_text()
    assert (numbers_of(folder / f"runs/{name}"), weights_of(folder / f"runs/{name}")) == alone


@pytest.mark.slow
def test_a_sharded_model_learns_the_same_and_its_checkpoint_is_whole(folder, command, run, together, alone):
    process = together(folder, *command("sharded"), "train.sharding=full", "train.steps=16")
    assert process.end() == 0, process.stderr.read_text()
    resumed = run(folder, *command("sharded"))
    assert resumed.returncode == 0, resumed.stderr.decode()
    for here, there in zip(numbers_of(folder / "runs/sharded"), alone[0], strict=True):
        assert here[:2] == there[:2] and here[2:] == pytest.approx(there[2:], rel=2e-3)
    for name in FILES:
        mine, other = (load_file(folder / f"runs/{run}/checkpoints/step-{STEPS:08d}/{name}.safetensors")
                       for run in ("sharded", "alone"))  # fmt: skip
        assert mine.keys() == other.keys()
        for key, tensor in mine.items():
            torch.testing.assert_close(
                without_keys_bias(key, tensor), without_keys_bias(key, other[key]), rtol=1e-2, atol=2e-4
            )


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_the_run_goes_on(folder, command, run, together, alone):
    process = together(folder, *command("stopped"))
    assert process.wait_for(lambda: lines_in(folder / "runs/stopped/metrics.jsonl") >= 3)
    os.kill(workers(process)[1], signal.SIGTERM)
    assert process.end() == 1  # torchrun's
    said = process.stderr.read_text()
    assert "stopped by SIGTERM at step" in said and "stopped by a signal to another process at step" in said
    assert said.count("exitcode  : 75") == 2 and "internal error" not in said
    done = run(folder, *command("stopped"))
    assert done.returncode == 0, done.stderr.decode()
    assert (numbers_of(folder / "runs/stopped"), weights_of(folder / "runs/stopped")) == alone


def test_a_failure_of_one_process_is_reported_by_all(folder, command, forked_together):
    (folder / "long.en").write_text("one\ntwo\n")
    (folder / "short.de").write_text("eins\n")
    (code, said), (other_code, other_said) = forked_together(folder, *command("failed"), "data.dev=[long.en,short.de]")
    assert (code, other_code) == (3, 1)
    assert re.search(r"^mt train: .*short\.de", said, re.MULTILINE)
    assert re.search(r"^mt train: process 0 of the run failed: .*short\.de", other_said, re.MULTILINE)


def test_batches_that_cannot_be_dealt_out_are_refused(folder, command, forked_together):
    (code, said), _ = forked_together(folder, *command("odd"), "batch.accumulate=3")
    assert code == 2
    assert (
        "`batch.accumulate` must be a multiple of the 2 processes, which share the batches of an update, but is 3.\n\n"
        "hint: set `batch.accumulate=4`."
    ) in said


@pytest.mark.slow
def test_killed_and_restarted_by_torchrun_it_ends_the_same(folder, command, together, alone):
    process = together(folder, *command("killed"), options=("--max-restarts=1",))
    assert process.wait_for(lambda: lines_in(folder / "runs/killed/metrics.jsonl") >= 11)
    os.kill(workers(process)[1], signal.SIGKILL)
    said = process.end(), process.stderr.read_text()
    assert said[0] == 0, said[1]
    assert "going on from step" in said[1]
    assert (numbers_of(folder / "runs/killed"), weights_of(folder / "runs/killed")) == alone


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_run(folder, command, together):
    argv = (*command("hung"), "train.timeout_minutes=0.25", "train.steps=100000")
    process = together(folder, *argv, options=("--shutdown-timeout=2",))
    assert process.wait_for(lambda: lines_in(folder / "runs/hung/metrics.jsonl") >= 3)
    os.kill(workers(process)[1], signal.SIGSTOP)
    assert process.end() == 1
    assert "mt train: another process of the run failed or hung; see its messages." in process.stderr.read_text()
