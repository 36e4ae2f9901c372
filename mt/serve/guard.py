"""What stands around every answer: limits of a request's body, headers, counts, and errors that nobody expected."""

import asyncio
import logging
import time
from collections.abc import Collection

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mt.serve.limits import REQUEST_TIME
from mt.serve.metrics import Metrics
from mt.serve.refusal import RefusedError

logger = logging.getLogger("mt.serve")
GONE = 499  # nginx's status for a client that went away, which nobody sees but the counts
PAUSE = 1.0  # seconds without a byte after which the client of a body that is too large waits for an answer
DRAINED = 4  # times the largest body are read of one that is too large
# The page needs nothing from elsewhere; answers of the interface are no pages.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


def refusal(refused: RefusedError) -> JSONResponse:
    """The answer to a request that is refused."""
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    return JSONResponse({"error": refused.message}, refused.status, headers)


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, cors: str, metrics: Metrics, paths: Collection[str]) -> None:
        """Args: cors: the origin whose pages may use the server, "*": all, empty: none; paths: that are counted by
        name."""
        self.app = app
        self.most_bytes = most_bytes
        self.headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        if cors:
            self.headers += [
                (b"access-control-allow-origin", cors.encode()),
                (b"access-control-allow-headers", b"Authorization, Content-Type"),
                (b"access-control-allow-methods", b"GET, POST"),
                (b"vary", b"Origin"),
            ]
        self.cors = cors
        self.metrics = metrics
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, started = time.monotonic(), GONE, False

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in self.headers if pair[0] not in given)]
            await send(message)

        try:
            if scope["method"] == "OPTIONS" and self.cors:
                await Response(status_code=204)(scope, receive, sending)
            else:
                await self.app(scope, self._bounded(scope, receive), sending)
        except RefusedError as refused:
            await refusal(refused)(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Exception as error:
            logger.exception("internal error in %s: %s", scope["path"], type(error).__name__)
            if not started:
                answer = refusal(RefusedError(500, "The server has an internal error; its log has more."))
                await answer(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.add(path, status, time.monotonic() - began)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, refusing a body that is too large or comes too slowly."""
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        too_large = RefusedError(413, f"Invalid request: the body has more than {self.most_bytes:,} bytes")
        refused_early = declared.isdigit() and int(declared) > self.most_bytes
        # The client sends its body only after an interim answer, which the first `receive` would send.
        asks_first = any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])
        size, whole, deadline = 0, False, time.monotonic() + REQUEST_TIME

        async def receiving() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            if refused_early and asks_first:
                raise too_large
            while True:
                refused = refused_early or size > self.most_bytes
                left = max(0.0, deadline - time.monotonic())
                try:
                    async with asyncio.timeout(min(left, PAUSE) if refused else left):
                        message = await receive()
                except TimeoutError:
                    if refused:
                        raise too_large from None
                    raise RefusedError(408, "The request did not come to its end in time.") from None
                if message["type"] == "http.request":
                    size += len(message.get("body", b""))
                    whole = not message.get("more_body", False)
                    if refused_early or size > self.most_bytes:
                        if not whole and size < DRAINED * self.most_bytes:
                            continue  # a client that still sends would not read the answer
                        raise too_large
                return message

        return receiving
