"""`mt serve`: what is told before a model is loaded."""

import socket
import threading
from pathlib import Path

import pytest

from mt.cli import serve
from mt.cli.main import main
from mt.cli.serve import in_a_thread, parse
from mt.errors import ConfigError

pytest.importorskip("fastapi")
GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"


def told(capsys, *argv):
    code = main(["serve", *map(str, argv)])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.removeprefix("mt serve: ").strip()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], "the following arguments are required: MODEL.\n\nhint: `mt serve --help` lists the options."),
        (
            [GOLDEN, "--port", "70000"],
            "argument --port: must be a port from 0 to 65535 (0: any that is free), but is 70000.\n\n"
            "hint: `mt serve --help` lists the options.",
        ),
        (
            [GOLDEN, "--queue", "0"],
            "argument --queue: must be a whole number of at least 1, but is 0.\n\n"
            "hint: `mt serve --help` lists the options.",
        ),
        (
            [GOLDEN, "--batch-tokens", "10000001"],
            "argument --batch-tokens: must be a whole number of at least 1 and at most 10,000,000, but is 10000001.\n\n"
            "hint: `mt serve --help` lists the options.",
        ),
        (
            [GOLDEN, "--timeout", "1e300"],
            "argument --timeout: must be a number of at least 0 and at most 1,000,000, but is 1e300.\n\n"
            "hint: `mt serve --help` lists the options.",
        ),
        (
            [GOLDEN, "--batch-wait", "1e300"],
            "argument --batch-wait: must be a number of at least 0 and at most 1,000,000, but is 1e300.\n\n"
            "hint: `mt serve --help` lists the options.",
        ),
        (
            [GOLDEN, "--rate", "-1"],
            "argument --rate: must be a whole number, 0 for no limit, but is -1.\n\n"
            "hint: `mt serve --help` lists the options.",
        ),
        *(
            (
                [GOLDEN, "--cors", wrong],
                f"argument --cors: must be an origin without a path, such as https://example.org, or *: {wrong}.\n\n"
                "hint: `mt serve --help` lists the options.",
            )
            for wrong in ("example.org", "https://example.org/", "https://a.org,https://b.org")
        ),
    ],
)
def test_mistakes_in_options(options, error, capsys):
    assert told(capsys, *options) == (2, error)


def test_two_models_of_one_direction(capsys):
    code, error = told(capsys, GOLDEN, GOLDEN / "model", "--port", "0")
    assert code == 2
    assert error == (
        f"{GOLDEN} and {GOLDEN / 'model'} both translate from en to de; a server has one model for each direction."
    )


def test_a_model_that_is_not_there(capsys):
    code, error = told(capsys, GOLDEN.parent / "goldan", "--port", "0")
    assert (code, error) == (
        1,
        f"`{GOLDEN.parent / 'goldan'}` does not exist.\n\nhint: did you mean `{GOLDEN}`?",
    )


def test_a_port_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, error = told(capsys, GOLDEN, "--port", port)
    assert code == 2
    assert error == (
        f"the server cannot listen on 127.0.0.1, port {port}: Address already in use.\n\nhint: name another with "
        "`--port`, or 0 for any that is free."
    )


def test_origins_are_written_as_browsers_do():
    assert [parse(["model", "--cors", text]).cors for text in ("HTTPS://Example.org:8443", "*", "null")] == [
        "https://example.org:8443",
        "*",
        "null",
    ]


def test_an_address_that_this_machine_does_not_have(capsys):
    code, error = told(capsys, GOLDEN, "--host", "192.0.2.1", "--port", "0")
    assert (code, error) == (
        2,
        "the server cannot listen on 192.0.2.1, port 0: Cannot assign requested address.\n\nhint: name an address of "
        "this machine with `--host`, or 0.0.0.0 for all of them.",
    )


@pytest.mark.parametrize(
    "host", ["no.such.host.invalid", "127.0.0.1:5000", "[::1]", "http://127.0.0.1", "a..b", "x" * 64]
)
def test_an_address_of_another_machine_and_what_is_none(host, capsys):
    code, error = told(capsys, GOLDEN, "--host", host, "--port", "0")
    assert code == 2 and error.startswith(f"--host {host} is no address of this machine: ")
    hint = "name an address or a host alone, such as 127.0.0.1, ::1 or localhost; its port is named with `--port`."
    assert error.endswith(f".\n\nhint: {hint}")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("# none\n\n", "{} has no API key.\n\nhint: write one key in each line."),
        ("one\ntwo words\n", "{}:2: an API key must not have spaces.\n\nhint: write one key in each line."),
    ],
)
def test_files_of_keys(content, error, capsys, tmp_path):
    (tmp_path / "keys").write_text(content)
    assert told(capsys, GOLDEN, "--api-keys", tmp_path / "keys") == (3, error.format(tmp_path / "keys"))


def test_packages_that_are_missing(capsys, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name != "uvicorn" else object())
    assert told(capsys, GOLDEN) == (
        2,
        "`mt serve` needs 2 more packages (fastapi, python-multipart).\n\n"
        "hint: install them with `pip install fastapi uvicorn python-multipart`.",
    )


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_addresses_of_this_machine_alone(host, own):
    assert serve.is_loopback(host) is own


def test_models_are_loaded_in_a_thread_that_ends():
    """A team of OpenMP's threads would stay with the thread that loads, and slow the engine's."""
    loader = in_a_thread(threading.current_thread)
    assert loader is not threading.current_thread() and not loader.is_alive()
    with pytest.raises(ConfigError, match="no model"):
        in_a_thread(lambda: refuse("no model"))


def refuse(message):
    raise ConfigError(message)
