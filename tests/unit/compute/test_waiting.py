"""How OpenMP's threads wait. Times are made by hand, so that no test depends on the load of the machine."""

import subprocess
import sys
import threading

import pytest
import torch

from mt.compute import waiting
from mt.compute.host import CHOSEN_BY_USER, ProcessorTime
from mt.compute.waiting import adjusted, watch_processors

BUSY = ProcessorTime(wall=1, used=1, waited=0.6)
BETWEEN = ProcessorTime(wall=1, used=1.6, waited=0.3)
QUIET = ProcessorTime(wall=1, used=1.8, waited=0.03)
NO_WORK = ProcessorTime(wall=1, used=0, waited=0)


class Team:
    """Stands in for the threads."""

    made: list["Team"]

    def __init__(self):
        self.dismissed = False
        Team.made.append(self)

    def dismiss(self):
        self.dismissed = True


@pytest.fixture(autouse=True)
def nothing_chosen_and_nothing_watched(monkeypatch):
    for name in CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    # With as many threads as processors a command that an earlier test called in this process is watched already.
    monkeypatch.setattr(waiting, "WATCH", "mt-watch-in-a-test")


@pytest.fixture
def teams(monkeypatch):
    Team.made = []
    monkeypatch.setattr(waiting, "IdleTeam", Team)
    return Team.made


@pytest.mark.parametrize(
    ("times", "there"),
    [
        ([QUIET, None, BETWEEN, NO_WORK], [False, False, False, False]),
        ([BUSY, BUSY, BETWEEN, None, NO_WORK], [True, True, True, True, False]),
        ([BUSY, QUIET, BETWEEN, BUSY], [True, False, False, True]),
    ],
)
def test_the_team_exists_from_a_busy_second_to_a_quiet_one(teams, times, there):
    team, seen = None, []
    for time in times:
        team = adjusted(team, time)
        seen.append(team is not None)
    assert seen == there
    assert [team.dismissed for team in teams] == [True] * (len(teams) - there[-1]) + [False] * there[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list of threads")
def test_a_team_adds_as_many_threads_and_removes_them(tmp_path):
    code = """
import os, torch
from mt.compute.waiting import IdleTeam, PARALLEL
torch.set_num_threads(3)
count = lambda: len(os.listdir("/proc/self/task"))
torch.ones(PARALLEL).sum()
alone = count()
team = IdleTeam()
while count() < alone + 3:  # ends, or the test's time limit does
    pass
team.dismiss()
while count() > alone:
    pass
print("left none")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert (done.stdout, done.stderr) == ("left none\n", "")


@pytest.mark.parametrize(
    ("threads", "cores", "measured", "watched"),
    [(2, 2, NO_WORK, True), (4, 2, NO_WORK, True), (1, 1, NO_WORK, False), (2, 8, NO_WORK, False), (2, 2, None, False)],
)
def test_processors_are_watched_only_if_spinning_may_take_one(monkeypatch, threads, cores, measured, watched):
    class Meter:
        def read(self):
            return measured

    started = threading.Event()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(waiting, "processors", lambda: cores)
    monkeypatch.setattr(waiting, "ProcessorMeter", Meter)
    monkeypatch.setattr(waiting, "_watch", lambda ended: started.set())
    watch_processors()
    for thread in threading.enumerate():
        if thread.name == waiting.WATCH:
            thread.join()
    assert started.is_set() is watched


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts how long threads wait")
def test_a_process_watches_once():
    code = """
import threading, torch
from mt.compute import waiting
waiting.processors = lambda: 2
torch.set_num_threads(2)
for _ in range(3):
    waiting.watch_processors()
print([thread.name for thread in threading.enumerate()].count(waiting.WATCH))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_choice_of_the_user_is_kept(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(waiting, "processors", lambda: 2)
    monkeypatch.setattr(threading, "Thread", None)  # no thread can be started
    for name in CHOSEN_BY_USER:
        with monkeypatch.context() as chosen:
            chosen.setenv(name, "77")
            watch_processors()


def test_a_process_may_end_while_the_team_is_being_made():
    """A thread that comes back from torch when Python has ended aborts the process: "terminate called ..."."""
    code = """
import threading, torch
from mt.compute import waiting
class Busy:
    contended, quiet_again = True, False
waiting.INTERVAL, waiting.PARALLEL = 0.001, 1 << 27
waiting.ProcessorMeter = type("Meter", (), {"read": lambda self: Busy()})
waiting.processors = lambda: 2
torch.set_num_threads(2)
waiting.watch_processors()
while all(thread.name != "mt-idle-team" for thread in threading.enumerate()):
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
