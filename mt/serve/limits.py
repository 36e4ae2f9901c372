"""What one request, one client and the queue may hold."""

from dataclasses import dataclass

REQUEST_TIME = 30.0  # seconds for a client to send a request


@dataclass(frozen=True, kw_only=True)
class Limits:
    """0 means no limit, except for `queue`."""

    characters: int = 100_000  # of all texts of a request
    texts: int = 1000  # of a request
    alternatives: int = 10
    body: int = 4 << 20  # bytes
    queue: int = 512  # requests that wait or are translated
    timeout: float = 60.0  # seconds from the request to its answer
    rate: int = 0  # requests a minute of one API key, or of one address


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How requests are put together."""

    tokens: int = 1024  # source tokens of a batch: more is faster, but who comes next waits longer
    wait: float = 0.003  # seconds that a request may wait for others, when nothing else is translated
