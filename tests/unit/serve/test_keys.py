"""How many requests a client may send."""

import pytest

from mt.serve import keys
from mt.serve.keys import Rate
from mt.serve.refusal import RefusedError


def test_what_is_not_used_adds_up_to_a_minutes_worth():
    now = [0.0]
    rate = Rate(3, clock=lambda: now[0])
    for _ in range(3):
        rate.count("a")
    with pytest.raises(RefusedError, match=r"^Slowdown: 3 per 1 minute$") as refused:
        rate.count("a")
    assert (refused.value.status, refused.value.retry_after) == (429, 20)
    rate.count("b")
    now[0] = 20.0
    rate.count("a")
    with pytest.raises(RefusedError):
        rate.count("a")
    now[0] = 1000.0
    for _ in range(3):
        rate.count("a")
    with pytest.raises(RefusedError):
        rate.count("a")


def test_only_so_many_clients_are_remembered(monkeypatch):
    monkeypatch.setattr(keys, "MOST_CLIENTS", 2)
    rate = Rate(1, clock=lambda: 0.0)
    for client in "abc":
        rate.count(client)
    with pytest.raises(RefusedError):
        rate.count("c")
    rate.count("a")  # forgotten


def test_without_a_limit_nothing_is_remembered():
    rate = Rate(0)
    for _ in range(1000):
        rate.count("a")
    assert not rate._clients
