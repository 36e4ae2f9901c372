"""Fields from the body and the address of a request."""

import asyncio
import json

import pytest
from linear import in_linear_time
from starlette.requests import Request

from mt.decode.constraints.glossary import Entry
from mt.serve import glossary
from mt.serve.fields import fields_of
from mt.serve.refusal import RefusedError


def fields(body, kind="application/json", address=""):
    async def receive():
        return {"type": "http.request", "body": body.encode()}

    headers = [(b"content-type", kind.encode())]
    scope = {"type": "http", "method": "POST", "query_string": address.encode(), "headers": headers}
    return asyncio.run(fields_of(Request(scope, receive)))


def form(body, address=""):
    return fields(body, "application/x-www-form-urlencoded", address)


def test_a_repeated_key_among_many_is_found_at_once():
    """All requests share the thread that reads them."""
    body = json.dumps({f"k{number}": 0 for number in range(100_000)})[:-1] + ', "z": 1, "z": 2}'
    repeated = pytest.raises(RefusedError, match=r"^Invalid request: the key 'z' appears more than once$")
    with in_linear_time(), repeated:  # it took minutes
        fields(body)


def test_texts_of_a_form_and_of_the_address_are_all_there():
    assert form("q=one&q=two&target=de") == {"q": ["one", "two"], "target": "de"}
    assert form("", "q=one&q=two&target=de") == {"q": ["one", "two"], "target": "de"}
    assert form("q=two", "q=one&target=de") == {"q": ["one", "two"], "target": "de"}
    assert form("q=one", "target=de") == {"q": "one", "target": "de"}


@pytest.mark.parametrize(
    ("body", "address"), [("target=de&target=en", ""), ("", "target=de&target=en"), ("target=de", "target=en")]
)
def test_any_other_field_is_there_once(body, address):
    with pytest.raises(RefusedError, match=r"^Invalid request: the key 'target' appears more than once$"):
        form(body, address)


@pytest.mark.parametrize("terms", ["one\teins\n" * 600_000, {f"one{number}": "eins" for number in range(100_000)}])
def test_a_glossary_that_is_too_large_is_not_read_to_its_end(terms, monkeypatch):
    read = []
    monkeypatch.setattr(glossary, "parse", lambda line, where: read.append(where) or Entry("one", ("eins",), False))
    with pytest.raises(RefusedError, match=r"^Invalid request: the glossary has more than 1000 entries$"):
        glossary.glossary_field({"glossary": terms})
    assert len(read) == 1001
