"""Translated files that wait to be fetched."""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request

from mt.serve.refusal import RefusedError

MOST_BYTES = 64 << 20  # of all translations that wait
PREFIX = re.compile(r"(/[\w.~-]+)+/?", re.ASCII)  # without "//": what follows would be a host
SECONDS = 900.0  # that a translation waits


class Files:
    """Translated files in memory, by a name that nobody can guess. The oldest goes when there is no room."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: OrderedDict[str, tuple[float, str, bytes]] = OrderedDict()

    def keep(self, name: str, content: bytes) -> str:
        """Returns: the name to fetch it by."""
        token = f"{secrets.token_urlsafe(16)}.{name}"
        self._files[token] = self._clock(), name, content
        while self._files and (self._too_old() or sum(len(one[2]) for one in self._files.values()) > MOST_BYTES):
            self._files.popitem(last=False)
        return token

    def find(self, token: str) -> tuple[str, bytes]:
        """The file's own name, and its content. Raises: RefusedError: when it is not, or no longer, there."""
        while self._files and self._too_old():
            self._files.popitem(last=False)
        if token not in self._files:
            raise RefusedError(404, "There is no such file, or no longer.")
        _, name, content = self._files[token]
        return name, content

    def _too_old(self) -> bool:
        return next(iter(self._files.values()))[0] < self._clock() - SECONDS


def file_name(sent: str) -> str:
    """What a client calls its file, without folders and with characters that are safe in an address."""
    return re.sub(r"[^\w.-]+", "_", re.split(r"[/\\]", sent)[-1])[-100:]


def base_url(request: Request) -> str:
    """The address of the server as the client knows it, without a slash at its end: behind a proxy, which removes a
    prefix of the path, with this prefix. Only who sent the headers sees what is made of them."""
    prefix = request.headers.get("x-forwarded-prefix", "")
    return str(request.base_url).rstrip("/") + (prefix.rstrip("/") if PREFIX.fullmatch(prefix) else "")
