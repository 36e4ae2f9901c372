"""Processes of one run: what they know of themselves, sums in buckets, waiting for the living and not for the dead."""

import threading
import time
from contextlib import suppress
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import HashStore

from mt.compute import distributed as module
from mt.compute.distributed import Group, LostError, buckets, joined, place_in_group
from mt.errors import ConfigError, DataError, StoppedError

CPU = torch.device("cpu")


@pytest.fixture
def pair():
    """Two groups that share a store, as two processes would."""
    store = HashStore()
    for rank in range(2):
        store.set(f"pulse {rank}", "0")

    def make(patience: float = 60.0) -> list[Group]:
        return [Group(rank=rank, world=2, store=store, patience=patience) for rank in range(2)]

    return make


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.001)


class Thread(threading.Thread):
    """A call in a thread, with what it gave or raised."""

    def __init__(self, call, *args) -> None:
        super().__init__(daemon=True)
        self.call, self.args, self.result, self.error = call, args, None, None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.call(*self.args)
        except Exception as error:
            self.error = error

    def end(self):
        self.join(timeout=600)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


# ---------------------------------------------------------------- alone


def test_alone_every_call_is_free(monkeypatch):
    for name in ("all_reduce", "broadcast"):
        monkeypatch.setattr(dist, name, None)
    group, tensor = Group(), torch.ones(3)
    group.all_reduce_tensors([tensor])
    group.broadcast([tensor])
    with group.main_first():
        assert (group.all_reduce(2, 0.5), group.from_main(lambda: "done"), group.is_main) == ([2, 0.5], "done", True)
    assert tensor.tolist() == [1, 1, 1] and all(group.owns(place) for place in range(5))


def test_without_a_launcher_a_run_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert place_in_group() == (0, 1, 0, 1)
    with joined("x", device=torch.device("mps"), minutes=1) as group:
        assert group.world == 1


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}, (5, 8, 1, 4)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2, 1, 2)),
        ({"WORLD_SIZE": "2"}, (0, 1, 0, 1)),
    ],
)
def test_the_environment_of_the_launcher_is_read(monkeypatch, environment, place):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert place_in_group() == place


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"RANK": "two", "WORLD_SIZE": "4"}, "RANK=two"),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK=4 with WORLD_SIZE=4"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(monkeypatch, environment, wrong):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigError, match=rf"^the environment has {wrong}, which no launcher sets\. hint: use torchrun"
    ):
        place_in_group()


def test_devices_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = "several processes can train on cpu or cuda, but the device is mps"
    with pytest.raises(ConfigError, match=words), joined("x", device=torch.device("mps"), minutes=1):
        pass


def test_missing_processes_are_not_waited_for_for_ever(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    words = "^the 2 processes of the run did not find each other: "
    with pytest.raises(LostError, match=words), joined("x", device=CPU, minutes=0.5 / 60):
        pass


# ---------------------------------------------------------------- sums


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 40))
def test_buckets_hold_everything_in_order_and_no_more_than_they_may(sizes, most):
    tensors = [torch.zeros(size, dtype=torch.uint8) for size in sizes]
    found = list(buckets(tensors, most))
    assert [id(t) for bucket in found for t in bucket] == [id(t) for t in tensors]
    assert all(len(bucket) == 1 or sum(t.nbytes for t in bucket) <= most for bucket in found)
    # None could have gone into the bucket before it.
    assert all(sum(t.nbytes for t in [*a, b[0]]) > most for a, b in pairwise(found))


def test_sums_are_written_back_to_their_tensors(monkeypatch, pair):
    calls = []
    monkeypatch.setattr(module, "BUCKET_BYTES", 24)
    monkeypatch.setattr(dist, "all_reduce", lambda flat: (calls.append(flat.numel()), flat.mul_(2)))
    tensors = [torch.arange(6.0).view(2, 3), torch.tensor(7.0), torch.arange(4.0).view(2, 2).t()]
    group = pair()[1]
    group.all_reduce_tensors(tensors)
    assert [t.tolist() for t in tensors] == [[[0, 2, 4], [6, 8, 10]], 14, [[0, 4], [2, 6]]] and calls == [6, 5]
    assert group.all_reduce(3, 2.0**40 + 1, 0.5) == [6, 2 * (2.0**40 + 1), 1]


def test_batches_are_distributed_round_robin(pair):
    assert [[place for place in range(6) if group.owns(place)] for group in pair()] == [[0, 2, 4], [1, 3, 5]]


# ---------------------------------------------------------------- waiting


def test_only_the_first_works_and_all_get_the_result(pair, impatient):
    main, other = pair()
    waiting = Thread(other.from_main, lambda: pytest.fail("this is the work of the first"))
    assert main.from_main(lambda: {"score": 1.5, "path": "ä"}) == {"score": 1.5, "path": "ä"} == waiting.end()


def test_the_first_runs_first_and_all_leave_together(pair, impatient):
    main, other = pair()
    seen, go = [], threading.Event()

    def through(group: Group) -> None:
        with group.main_first():
            seen.append(f"{group.rank} in")
            if not group.is_main:
                go.wait(60)
                seen.append("the other is done")
        seen.append(f"{group.rank} out")

    one, two = Thread(through, other), Thread(through, main)
    while "1 in" not in seen:
        assert one.is_alive()
    assert seen == ["0 in", "1 in"]
    go.set()
    one.end(), two.end()
    assert seen[:3] == ["0 in", "1 in", "the other is done"] and set(seen[3:]) == {"0 out", "1 out"}


class Slow:
    """A store without the key until the thirtieth check; the others send heartbeats, or do not."""

    def __init__(self, *, lives: bool) -> None:
        self.lives, self.looks = lives, 0

    def check(self, keys) -> bool:
        if keys == ["failed"]:
            return False
        self.looks += 1
        return self.looks == 30

    def get(self, name) -> bytes:
        return b'"at last"' if name.startswith("turn") else b"%d" % (self.looks if self.lives else 0)


@pytest.mark.parametrize("lives", [True, False])
def test_processes_with_heartbeats_are_waited_for_and_others_are_not(monkeypatch, lives):
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 1  # it is looked at once for each of two processes, or twice when a sign is an old one
            return self.now

        def sleep(self, seconds: float) -> None:
            pass

    monkeypatch.setattr(module, "time", Clock())
    store = Slow(lives=lives)
    group = Group(rank=1, world=2, store=store, patience=6.5)  # pyright: ignore
    if lives:
        assert (group.from_main(list), store.looks) == ("at last", 30)
    else:
        with pytest.raises(LostError, match=r"^another process of the run failed or hung; see its messages\.$"):
            group.from_main(list)
        assert 2 < store.looks < 6


def test_heartbeats_are_sent_inside_the_block_only(pair, impatient, monkeypatch):
    main, _ = pair()
    monkeypatch.setattr(Group, "all_reduce", lambda self, *numbers: list(numbers))
    monkeypatch.setattr(HashStore, "clone", lambda self: self, raising=False)
    with main.alive():
        (pulse,) = (thread for thread in threading.enumerate() if thread.name == "pulse")
        seen = {main._store.get("pulse 0")}
        while len(seen) < 4:
            assert pulse.is_alive()
            seen.add(main._store.get("pulse 0"))
    assert not pulse.is_alive()


def test_the_reason_of_a_failure_reaches_the_others(pair, impatient, monkeypatch):
    main, other = pair()
    monkeypatch.setattr(Group, "all_reduce", lambda self, *numbers: list(numbers))
    monkeypatch.setattr(HashStore, "clone", lambda self: self, raising=False)
    waiting = Thread(other.from_main, list)
    with pytest.raises(DataError, match="no such file"), main.alive():
        raise DataError("no such file.")
    with pytest.raises(LostError, match=r"^process 0 of the run failed: no such file\.$"):
        waiting.end()
    # What fails because of it is no reason of its own, and a stop is no failure.
    with pytest.raises(LostError, match="process 0"), other.alive():
        raise RuntimeError("Connection closed by peer")


def test_the_failed_process_ends_after_the_others(pair, impatient, monkeypatch):
    monkeypatch.setattr(module, "PARTING_SECONDS", 600.0)
    failed, other = pair()
    failed._report(DataError("de.txt: not there"))
    parting = Thread(failed.part)
    while failed._store.add("gone", 0) < 1:
        time.sleep(0.001)
    parting.join(timeout=0.05)
    assert parting.is_alive()
    other.part()
    parting.end()


def test_a_process_that_hangs_is_not_waited_for_when_another_has_failed(pair, impatient, monkeypatch):
    monkeypatch.setattr(module, "PARTING_SECONDS", 0.01)
    failed, _ = pair()
    failed._report(DataError("de.txt: not there"))
    failed.part()


def test_after_a_stop_nobody_waits(pair):
    for group in pair():
        group.part()


def test_a_stop_is_no_failure(pair, monkeypatch):
    main, _ = pair()
    monkeypatch.setattr(Group, "all_reduce", lambda self, *numbers: list(numbers))
    monkeypatch.setattr(HashStore, "clone", lambda self: self, raising=False)
    with pytest.raises(StoppedError), main.alive():
        raise StoppedError("stopped")
    with pytest.raises(RuntimeError, match=r"^out of memory$"), main.alive():
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("stopped", [False, True])
def test_none_leaves_before_the_last_for_the_store_may_go_with_the_first(pair, impatient, monkeypatch, stopped):
    main, other = pair()
    together, calls, gone, go = threading.Barrier(2), [], [], threading.Event()

    def all_reduce(self, *numbers):
        calls.append(self.rank)
        together.wait(60)

    monkeypatch.setattr(Group, "all_reduce", all_reduce)
    monkeypatch.setattr(HashStore, "clone", lambda self: self, raising=False)

    def through(group: Group) -> None:
        with suppress(StoppedError), group.alive():
            if not group.is_main:
                go.wait(60)
            if stopped:
                raise StoppedError("stopped")
        gone.append(group.rank)

    one, two = Thread(through, main), Thread(through, other)
    while calls.count(0) < 2:  # when it came, and when it would go
        assert one.is_alive(), "the first has left alone"
    assert not gone
    go.set()
    one.end(), two.end()
    assert sorted(gone) == [0, 1]


def test_an_error_of_a_collective_becomes_a_lost_error(pair, monkeypatch):
    def broken(flat):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer")

    monkeypatch.setattr(dist, "all_reduce", broken)
    monkeypatch.setattr(dist, "broadcast", lambda tensor, src: broken(tensor))
    group = pair()[0]
    for call in (
        lambda: group.all_reduce(1),
        lambda: group.all_reduce_tensors([torch.ones(2)]),
        lambda: group.broadcast([CPU]),
    ):
        with pytest.raises(LostError, match="another process of the run failed or hung"):
            call()
