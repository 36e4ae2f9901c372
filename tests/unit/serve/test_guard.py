"""Bodies that are too large, or that do not come to their end: what a client is told, and when."""

import asyncio
import json

import pytest

from mt.serve import guard
from mt.serve.guard import Guard
from mt.serve.metrics import Metrics

MOST = 100  # bytes of a body
TOO_LARGE = (413, "Invalid request: the body has more than 100 bytes")


def answer(bodies: list[bytes], *headers: tuple[bytes, bytes]) -> tuple[int, str]:
    """The status and the sentence for a client that sends these parts of a body and then nothing more."""
    parts = iter(bodies)
    sent = []

    async def receive():
        part = next(parts, None)
        if part is None:
            await asyncio.Event().wait()  # which never comes
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass

    scope = {"type": "http", "method": "POST", "path": "/translate", "headers": list(headers), "query_string": b""}
    guarded = Guard(app, most_bytes=MOST, cors="", metrics=Metrics(), paths=["/translate"])
    asyncio.run(asyncio.wait_for(guarded(scope, receive, send), timeout=60))
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


@pytest.mark.parametrize(
    ("bodies", "headers"),
    [
        ([], [(b"content-length", b"101")]),
        ([b"x"], [(b"content-length", b"101")]),
        ([b"x" * 60, b"x" * 60], []),  # in chunks, whose sum nobody has told
        ([b"x" * 1000], []),  # so much that no more is read
    ],
)
def test_a_client_whose_body_is_too_large_and_who_then_waits_is_told_so(bodies, headers, monkeypatch):
    monkeypatch.setattr(guard, "PAUSE", 0.01)
    monkeypatch.setattr(guard, "REQUEST_TIME", 1e6)  # a test that waited for this would not end
    assert answer(bodies, *headers) == TOO_LARGE


def test_a_client_that_asks_before_it_sends_too_much_is_told_at_once(monkeypatch):
    monkeypatch.setattr(guard, "PAUSE", 1e6)
    assert answer([], (b"content-length", b"101"), (b"expect", b"100-Continue")) == TOO_LARGE


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"100")], [(b"expect", b"100-continue")]])
def test_a_body_within_the_limit_that_does_not_end_has_its_whole_time(headers, monkeypatch):
    monkeypatch.setattr(guard, "PAUSE", 0.0)  # which is for bodies that are too large alone
    monkeypatch.setattr(guard, "REQUEST_TIME", 0.2)
    assert answer([b"x" * 50, b"x" * 50], *headers) == (408, "The request did not come to its end in time.")
