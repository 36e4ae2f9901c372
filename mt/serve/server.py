"""Run the application on a socket until a signal ends it; requests that were accepted are answered first."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Generator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mt.errors import ConfigError
from mt.serve.limits import REQUEST_TIME

HEADER_BYTES = 64 << 10
ONLY_HOST = "name an address or a host alone, such as 127.0.0.1, ::1 or localhost; its port is named with `--port`."


class Connection(H11Protocol):
    """uvicorn's, which ends when its client sends no request, or takes nothing of an answer, for `patience` seconds.

    uvicorn waits for ever before the first request, within its headers, after an answer to a request whose body never
    came to its end, and for a client that reads nothing; such connections would take all files that a process may open.
    """

    patience = REQUEST_TIME

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._seen, self._since = self._state(), self.loop.time()
        self._timer = self.loop.call_later(self.patience / 4, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: such a request is answered without an upgrade, as HTTP has it. Java's client asks for HTTP/2 each
        time, and uvicorn's two lines for it advise to install what the server would not use."""

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or too long for its headers, gets an error as all others are: uvicorn's is plain text."""
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        told = h11.Data(data=json.dumps({"error": msg}).encode())
        for event in (h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), told, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _state(self) -> tuple[object, bool, int]:
        """The request, whether none is being answered, and the bytes of answers that wait for the client."""
        idle = self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        return self.cycle, idle, self.transport.get_write_buffer_size()

    def _look(self) -> None:
        state, now = self._state(), self.loop.time()
        if state != self._seen:
            self._seen, self._since = state, now
        elif now - self._since >= self.patience and (state[1] or state[2]):
            self.transport.abort()
            return
        self._timer = self.loop.call_later(self.patience / 4, self._look)


class Server(uvicorn.Server):
    """uvicorn's, which says when it is ready, and after a signal returns instead of raising the signal again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        """The first signal ends the server gently; the second one ends the process at once, with the exit code of a
        process that the signal has ended. Nothing is on disk, and the engine's thread, which may be inside torch, must
        not come back from there when Python has ended: that would abort the process."""
        if self.should_exit:
            os._exit(128 + number)
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A socket that does not listen yet. Raises: ConfigError: when the address cannot be used."""
    try:
        found, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found
        # asyncio sets TCP_NODELAY only where the protocol is named. Without it the body of an answer waits until the
        # client has acknowledged the headers: 40 ms.
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # of names that are too long, or have an empty part
        why = error.strerror if isinstance(error, OSError) else "no name can be so"
        raise ConfigError(f"--host {host} is no address of this machine: {why}.", hint=ONLY_HOST) from None
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listening(host, port):
        try:
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    return bound


@contextlib.contextmanager
def listening(host: str, port: int) -> Generator[None, None, None]:
    """Raise an `OSError` of the block as `ConfigError`."""
    try:
        yield
    except OSError as error:
        hint = "name another with `--port`, or 0 for any that is free."
        if error.errno == errno.EADDRNOTAVAIL:
            hint = "name an address of this machine with `--host`, or 0.0.0.0 for all of them."
        raise ConfigError(f"the server cannot listen on {host}, port {port}: {error.strerror}.", hint=hint) from None


def address_of(bound: socket.socket) -> str:
    """ "http://127.0.0.1:8000"."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: ASGIApp, bound: socket.socket, *, ready: Callable[[], None], grace: float) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises: ConfigError: when another server, which began at the same time, has taken the port.
    Args: ready: called when requests are accepted; grace: seconds that open requests have after the signal.
    """
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on", http=Connection, ws="none",
        loop="asyncio", timeout_keep_alive=30, timeout_graceful_shutdown=max(1, round(grace)),
        h11_max_incomplete_event_size=HEADER_BYTES, backlog=1024,
    )  # fmt: skip
    with listening(*bound.getsockname()[:2]):
        bound.listen(config.backlog)
    Server(config, ready).run([bound])
