"""API keys, and how many requests a minute each of them, or each address, may send."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from mt.errors import DataError
from mt.serve.refusal import RefusedError
from mt.text.lines import read_lines

ONE_A_LINE = "write one key in each line."
MOST_CLIENTS = 100_000  # remembered; the one that was idle longest is forgotten


class Keys:
    """The keys of a file: one a line, `#` begins a comment. They are kept as hashes, so that the time of a comparison
    tells nothing about them."""

    def __init__(self, keys: list[str]) -> None:
        self._hashes = {_hash(key) for key in keys}

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Raises: DataError: for a file that cannot be read, or has no key or one with spaces."""
        keys = []
        for number, line in enumerate(read_lines(path), 1):
            key = line.partition("#")[0].strip()
            if len(key.split()) > 1:
                raise DataError(f"{path}:{number}: an API key must not have spaces.", hint=ONE_A_LINE)
            if key:
                keys.append(key)
        if not keys:
            raise DataError(f"{path} has no API key.", hint=ONE_A_LINE)
        return cls(keys)

    def check(self, key: str) -> None:
        """Raises: RefusedError: for no key, or one that is not ours."""
        if not key:
            raise RefusedError(400, "Please contact the server operator to get an API key")
        if _hash(key) not in self._hashes:
            raise RefusedError(403, "Invalid API key")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


class Rate:
    """At most so many requests a minute of each client, in any order; what is not used adds up to one minute's."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was

    def count(self, client: str) -> None:
        """Raises: RefusedError: when the client has sent too many."""
        if not self.per_minute:
            return
        now, most = self._clock(), float(self.per_minute)
        left, then = self._clients.pop(client, (most, now))
        left = min(most, left + (now - then) * most / 60)
        self._clients[client] = (max(0.0, left - 1), now) if left >= 1 else (left, now)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        if left < 1:
            wait = max(1, round((1 - left) * 60 / most))
            raise RefusedError(429, f"Slowdown: {self.per_minute} per 1 minute", retry_after=wait)
