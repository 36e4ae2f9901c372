"""Batches that other processes prepare: the same ones, whoever prepares them, and nobody left behind."""

import multiprocessing.forkserver
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from letters import take
from toy import number_pairs, number_tokenizer

from mt.config import BatchConfig
from mt.data.batching import BatchStream, TokenizedCorpus, Variation, choose_workers, workers
from mt.errors import MtError
from mt.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    tokenizer = Tokenizer.from_files(number_tokenizer().files(), sampling=0.5)
    return TokenizedCorpus(number_pairs(200), tokenizer, max_length=64, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def stream(corpus):
    """A function that makes streams; they are closed, and nobody may be left."""
    made = []

    def make(number, sampling=True):
        section = BatchConfig(tokens=100, max_length=64, pool=50)
        made.append(BatchStream(corpus, section, seed=1, variation=Variation(sampling=sampling), workers=number))
        return made[-1]

    yield make
    for each in made:
        each.close()
    assert multiprocessing.active_children() == []


def pids():
    return [child.pid for child in multiprocessing.active_children()]


def heard(pid):
    """Which of the signals to stop would end a process: those that it neither blocks nor ignores."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").split("\n")
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigBlk", "SigIgn"))]
    return [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if not any(mask >> (s - 1) & 1 for mask in masks)]


def test_any_number_of_workers_gives_the_same_batches_also_from_the_middle(stream):
    """Also: dropout's random numbers and the handlers of signals are as they were."""
    wanted = take(stream(0), 90)  # more than an epoch, of about fifteen batches a pool
    before = torch.get_rng_state(), signal.getsignal(signal.SIGCHLD), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    one, two, none = stream(1), stream(2), stream(0)
    found = take(one, 37)
    two.load_state_dict(one.state_dict())
    assert two.epoch == one.epoch
    found += take(two, 34)
    assert len(pids()) == 3
    none.load_state_dict(two.state_dict())
    found += take(none, 19)
    assert found == wanted
    two.close()
    assert len(pids()) == 1
    one.load_state_dict({"epoch": 0, "pool": 0, "batch": 0})  # back: the worker starts anew from there
    assert take(one, 3) == wanted[:3]
    after = torch.get_rng_state(), signal.getsignal(signal.SIGCHLD), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_workers_are_deaf_to_the_signals_of_the_terminal_and_one_that_is_killed_ends_the_run(stream):
    wanted, two = take(stream(0), 600), stream(2)
    two._ahead._start((0, 0))
    two._ahead._next = (0, 0)
    assert len(pids()) == 2
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    # From the first moment, before they run any of our code.
    assert [heard(pid) for pid in (server, *pids())] == [[], [], []]
    found = take(two, 1)
    for pid in pids():
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    found += take(two, 99)
    assert found == wanted[:100]
    assert [heard(pid) for pid in pids()] == [[], []]
    os.kill(pids()[0], signal.SIGKILL)
    words = (
        r"^a data worker died \(SIGKILL\), perhaps for lack of memory, or of space in /dev/shm\. hint: run the same "
        r"command again: it goes on from the last checkpoint, and with `data\.workers=0` it needs no workers\."
    )
    with pytest.raises(MtError, match=words):
        take(two, 500)
    assert pids() == []
    with pytest.raises(ValueError, match="Original Traceback"):
        two._ahead[0, 99]  # new ones are started, and a fault of ours keeps its name and its place


SCRIPT = """
import multiprocessing.forkserver, torch
from toy import number_corpus
from mt.data.batching import BatchStream, Variation
from mt.config import BatchConfig

if __name__ == "__main__":
    torch.set_num_threads(1)
    stream = BatchStream(number_corpus(200), BatchConfig(tokens=100, max_length=64, pool=20), seed=1, workers=1)
    next(stream)
    (worker,) = multiprocessing.active_children()
    print(worker.pid, multiprocessing.forkserver._forkserver._forkserver_pid, flush=True)
    input()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_process_that_ends_without_closing_leaves_nobody(tmp_path, killed):
    script, here = tmp_path / "run.py", Path(__file__).parents[4]
    script.write_text(SCRIPT, encoding="utf-8")
    path = os.pathsep.join([str(here), str(here / "tests")])
    files = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": path}, text=True, **files
    ) as process:
        others = [os.pidfd_open(int(pid)) for pid in process.stdout.readline().split()]
        if killed:
            process.kill()
        _, errors = process.communicate("end\n" if not killed else None, timeout=600)
    if not killed:
        assert process.returncode == 0 and "Error" not in errors and "leaked" not in errors, errors
    assert len(others) == 2
    for handle in others:
        assert select.select([handle], [], [], 600)[0], "a process that did not end with the one that it works for"
        os.close(handle)


def test_where_a_fork_is_not_safe_workers_are_new_interpreters(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers._start_method() == "spawn"


@pytest.mark.parametrize(
    ("asked", "device", "sampling", "processes", "wanted"),
    [
        (None, "cpu", False, 1, 0), (None, "cpu", True, 1, 1), (None, "cuda", False, 1, 2),
        (None, "cuda", True, 1, 8), (None, "cuda", True, 4, 3), (None, "cuda", True, 16, 2), (None, "mps", False, 1, 2),
        (0, "cuda", True, 1, 0), (3, "cpu", False, 1, 3),
    ],
)  # fmt: skip
def test_workers_are_chosen_by_what_is_dear(monkeypatch, asked, device, sampling, processes, wanted):
    monkeypatch.setattr(workers, "processors", lambda: 16)
    assert choose_workers(asked, torch.device(device), sampling=sampling, processes=processes) == wanted
