"""The socket of the server, and what its handlers read from an address."""

import asyncio
import inspect
import json
import re
import socket
from collections.abc import Callable
from functools import partial

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from mt.errors import ConfigError
from mt.serve.app import PAGE, Service, page
from mt.serve.server import Connection, Server, bind, run


def test_answers_do_not_wait_for_the_clients_acknowledgement():
    """asyncio sets TCP_NODELAY on what a socket accepts only if the socket was made with its protocol by name."""

    async def option_of_a_connection():
        found = asyncio.get_running_loop().create_future()

        async def accepted(reader, writer):
            accepted_socket = writer.get_extra_info("socket")
            found.set_result(accepted_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = bind("127.0.0.1", 0)
        async with await asyncio.start_server(accepted, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname())
            option = await found
            writer.close()
            return option

    assert asyncio.run(option_of_a_connection()) != 0


def test_handlers_take_the_request_alone():
    """FastAPI fills any other parameter from the address, whatever its default was meant for."""
    of_paths = [one for one in vars(Service).values() if inspect.iscoroutinefunction(one)]
    of_paths = [one for one in of_paths if inspect.signature(one).return_annotation is Response]
    of_files = [answer for _, answer in page()]
    assert len(of_paths) == 11 and len(of_files) == 6
    assert {tuple(inspect.signature(one).parameters) for one in of_paths} == {("self", "request")}
    assert {tuple(inspect.signature(one).parameters) for one in of_files} == {("request",)}


async def whole(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], sent: bytes) -> bytes:
    """What the server says on a connection until it ends it, which it must."""
    reader, writer = connection
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_connections_that_ask_nothing_end(monkeypatch: pytest.MonkeyPatch):
    """Those that send nothing, half of the headers, or not the whole body, and those that do not read their answer."""
    monkeypatch.setattr(Connection, "patience", 1.5)  # a busy machine may stop this process for a while
    large = b"x" * (16 << 20)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(3.5)  # longer than the patience: the server works, the client may wait
        await Response(large if scope["path"] == "/large" else b"done")(scope, receive, send)

    async def ends() -> None:
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_keep_alive=60)
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        made = partial(Connection, config, state, {})
        async with await loop.create_server(made, sock=bind("127.0.0.1", 0)) as server:
            address = server.sockets[0].getsockname()
            requests = [
                b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n",
            ]  # fmt: skip
            clients = [await asyncio.open_connection(*address) for _ in requests]
            never, half, body, good, slow = await asyncio.gather(*map(whole, clients, requests))
            assert never == half == b""
            assert all(said.startswith(b"HTTP/1.1 200") and said.endswith(b"done") for said in (body, good, slow))
            with socket.create_connection(address) as client:
                client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                for there in (1, 0):
                    async with asyncio.timeout(20):
                        while len(state.connections) != there:
                            await asyncio.sleep(0.02)

    asyncio.run(ends())


@pytest.mark.parametrize("wanted", ["h2c", "websocket"])
def test_a_client_that_asks_for_another_protocol_is_answered_in_this_one(wanted: str, caplog: pytest.LogCaptureFixture):
    """Java's client asks for HTTP/2 in each request; the log says nothing of it."""
    said = asyncio.run(
        answer(f"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {wanted}\r\n\r\n".encode())
    )
    assert said.startswith(b"HTTP/1.1 200") and said.endswith(b"done") and not caplog.records


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: some\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["no request", "no host", "no length", "TLS"],
)  # fmt: skip
def test_what_is_no_http_gets_an_error_in_json(sent: bytes):
    head, body = asyncio.run(answer(sent)).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"\r\ncontent-type: application/json" in head.lower()
    assert json.loads(body[body.index(b"{") : body.rindex(b"}") + 1]) == {"error": "Invalid HTTP request received."}


async def answer(sent: bytes) -> bytes:
    """What a server whose application says "done" sends to one client."""
    config = uvicorn.Config(Response(b"done"), log_config=None, lifespan="off", ws="none", timeout_keep_alive=1)
    config.load()
    made = partial(Connection, config, ServerState(), {})
    async with await asyncio.get_running_loop().create_server(made, sock=bind("127.0.0.1", 0)) as server:
        return await whole(await asyncio.open_connection(*server.sockets[0].getsockname()), sent)


def test_the_server_uses_such_connections(monkeypatch: pytest.MonkeyPatch):
    found = []
    monkeypatch.setattr(Server, "run", lambda self, sockets: found.append(self.config.http_protocol_class))
    monkeypatch.setattr(Server, "__init__", init_and_load)
    with bind("127.0.0.1", 0) as bound:
        run(Response(), bound, ready=lambda: None, grace=1)
    assert found == [Connection]


def init_and_load(self: Server, config: uvicorn.Config, ready: Callable[[], None]) -> None:
    config.load()
    self.config = config


def test_two_servers_that_began_at_the_same_time():
    """A port can be bound twice as long as nobody listens; models are loaded meanwhile."""
    began = []

    async def app(scope, receive, send):
        began.append(scope)

    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bind("127.0.0.1", port) as second:
            first.listen()
            with pytest.raises(ConfigError, match=f"^the server cannot listen on 127.0.0.1, port {port}: Address alr"):
                run(app, second, ready=lambda: began.append("ready"), grace=1)
    assert not began


def test_the_page_asks_for_nothing_from_the_root_of_its_host():
    """A proxy may serve it below a prefix."""
    rooted = re.compile(r"""(?:src|href)="/|\b(?:get|post\w*|fetch)\(["'`]/|href = (?!.*\.slice\(1\);).*pathname""")
    for file in PAGE.iterdir():
        assert not rooted.findall(file.read_text(encoding="utf-8")), file.name
