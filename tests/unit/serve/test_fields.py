"""Fields from the body and the address of a request."""

import asyncio
import json
import re

import pytest
from linear import in_linear_time
from starlette.requests import Request

from mt.decode.constraints.glossary import Entry
from mt.serve import glossary
from mt.serve.fields import fields_of
from mt.serve.refusal import RefusedError


def fields(body, kind="application/json", address=""):
    async def receive():
        return {"type": "http.request", "body": body if isinstance(body, bytes) else body.encode()}

    headers = [(b"content-type", kind.encode())]
    address = address if isinstance(address, bytes) else address.encode()
    scope = {"type": "http", "method": "POST", "query_string": address, "headers": headers}
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


def parts(name, body, kind="multipart/form-data; boundary=x"):
    return fields(b"--x\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + body + b"\r\n--x--\r\n", kind)


@pytest.mark.parametrize("body", ["abc", "--y\r\n", "--x\r\nA B: c\r\n\r\n--x--", "--xx"])
def test_a_form_that_cannot_be_read_is_not_in_the_log(body, caplog):
    with pytest.raises(RefusedError, match=r"^Invalid request: the form cannot be read$"):
        fields(body, "multipart/form-data; boundary=x")
    assert not caplog.records


def test_letters_of_forms_and_addresses_with_and_without_escapes():
    for body in ("q=gr%C3%BC%C3%9Fe+%26", "q=grüße+%26"):
        assert form(body) == form("", body) == {"q": "grüße &"}
    for charset in ("", "; charset=utf-8", "; charset=utf-16", "; charset=klingon"):
        assert parts(b'name="q"', "grüße &".encode(), f"multipart/form-data; boundary=x{charset}") == {"q": "grüße &"}
    file = parts('name="file"; filename="ä.txt"'.encode(), b"\xff")["file"]
    assert (file.filename, file.file.read(), file.file.close()) == ("ä.txt", b"\xff", None)


@pytest.mark.parametrize("q", [b"%ff", b"\xff", b"caf%e9", b"%ed%a0%80"])
def test_bytes_that_are_no_utf8_are_refused_and_not_replaced(q):
    refused = r"^Invalid request: the form is not UTF-8$"
    for body, address in ((b"q=" + q, ""), (b"", b"q=" + q), (b"q=one&" + q + b"=1", "")):
        with pytest.raises(RefusedError, match=refused):
            form(body, address)
    for name, body in ((b'name="q"', b"\xff"), (b'name="\xff"', b"one"), (b'name="file"; filename="\xff.txt"', b"one")):
        with pytest.raises(RefusedError, match=refused):
            parts(name, body)
    with pytest.raises(RefusedError, match=r"^Invalid JSON format$"):
        fields(b'{"q": "\xff"}')


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_json_under_another_content_type_is_told_the_right_one(kind):
    """`curl -d '{...}'` says that it sends a form; "missing q parameter" helps nobody there."""
    with pytest.raises(RefusedError, match=r"^Invalid request: JSON needs the header Content-Type: application/json$"):
        fields(' {"q": "one", "target": "de"}', kind)
    assert fields("", kind, "q=one") == {"q": "one"}


def test_a_form_of_too_many_fields():
    with pytest.raises(RefusedError, match=r"^Invalid request: the form cannot be read$"):
        form("&".join(f"{n}=1" for n in range(1001)))


@pytest.mark.parametrize(
    "terms", [[], [["house", "Haus"]], ["house\tHaus"], 5, True, {"house": ["Haus"]}, {"house": None}]
)
def test_a_glossary_of_another_shape_is_told_both_that_can_be(terms):
    with pytest.raises(RefusedError) as refused:
        glossary.glossary_field({"glossary": terms})
    assert refused.value.message == (
        'Invalid request: glossary parameter must be an object of source and target terms, such as {"house": "Haus"}, '
        "or text with a line for each entry"
    )
    typed = json.loads(re.findall(r"{.*?}", refused.value.message)[0])
    for given in (typed, "house\tHaus"):
        read = glossary.glossary_field({"glossary": given})
        assert read is not None and read.constraints("a house") != read.constraints("a cat")


@pytest.mark.parametrize("terms", ["one\teins\n" * 600_000, {f"one{number}": "eins" for number in range(100_000)}])
def test_a_glossary_that_is_too_large_is_not_read_to_its_end(terms, monkeypatch):
    read = []
    monkeypatch.setattr(glossary, "parse", lambda line, where: read.append(where) or Entry("one", ("eins",), False))
    with pytest.raises(RefusedError, match=r"^Invalid request: the glossary has more than 1000 entries$"):
        glossary.glossary_field({"glossary": terms})
    assert len(read) == 1001
