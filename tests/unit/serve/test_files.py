"""Translated files that wait to be fetched."""

import pytest
from starlette.requests import Request

from mt.serve import files
from mt.serve.files import Files, base_url, file_name
from mt.serve.refusal import RefusedError


def test_files_wait_for_a_time_and_the_oldest_goes_first(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(files, "MOST_BYTES", 10)
    kept = Files(clock=lambda: now[0])
    first = kept.keep("a.txt", b"12345")
    now[0] = files.SECONDS
    second = kept.keep("b.txt", b"6789")
    assert kept.find(first) == ("a.txt", b"12345") and first != kept.keep("a.txt", b"1")
    kept.keep("c.txt", b"123")  # no room for all
    with pytest.raises(RefusedError, match=r"^There is no such file, or no longer\.$") as refused:
        kept.find(first)
    assert refused.value.status == 404 and kept.find(second) == ("b.txt", b"6789")
    now[0] = 2 * files.SECONDS + 1
    with pytest.raises(RefusedError):
        kept.find(second)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a.txt", "a.txt"), ("../../etc/pass wd", "pass_wd"), (r"C:\\x\\ü.txt", "ü.txt"), ('a"\r\nb.txt', "a_b.txt")],
)
def test_names_of_files(sent, kept):
    assert file_name(sent) == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("", ""), ("/mt", "/mt"), ("/a/b-c/", "/a/b-c"), ("mt", ""), ("/", ""), ("//evil.example", ""), ("/a?b", ""),
        ("/a/../b c", ""), ("@evil.example", ""),
    ],
)  # fmt: skip
def test_the_prefix_that_a_proxy_removes_is_in_the_address(sent, kept):
    headers = [(b"host", b"translate.example"), (b"x-forwarded-prefix", sent.encode())]
    scope = {"type": "http", "scheme": "https", "path": "/translate_file", "headers": headers, "query_string": b""}
    assert base_url(Request(scope)) == f"https://translate.example{kept}"
