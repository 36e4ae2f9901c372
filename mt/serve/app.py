"""The interface: LibreTranslate's paths and fields, and our own `/align` and `/alternatives`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

import mt
from mt.decode.request import Options
from mt.documents.names import SUFFIXES, suffix_of
from mt.documents.readers import read_document
from mt.errors import DataError, MtError
from mt.serve import schema
from mt.serve.engine import Engine, Job, Work, told
from mt.serve.fields import (
    Fields,
    count_field,
    fields_of,
    file_field,
    flag_field,
    format_field,
    optional_text,
    text_field,
    texts_field,
)
from mt.serve.files import Files, base_url, file_name
from mt.serve.glossary import glossary_field
from mt.serve.guard import GONE, Guard, refusal
from mt.serve.keys import Keys, Rate
from mt.serve.language_names import language_name
from mt.serve.limits import Limits
from mt.serve.links import align, other_words
from mt.serve.metrics import Metrics
from mt.serve.refusal import RefusedError, invalid
from mt.serve.served import AUTO, Directory, Served
from mt.serve.texts import document, html, plain

FORMATS = ("text", "html")
WITH_LINKS = ("text",)  # links are between the words of a text
PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
ALIGNED = 5000  # characters of a text with word links: these are for readers
Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Service:
    """What answers requests."""

    directory: Directory
    engine: Engine
    limits: Limits
    keys: Keys | None
    rate: Rate
    metrics: Metrics
    files: Files = field(default_factory=Files)

    async def fields(self, request: Request) -> Fields:
        """The fields of a request that may be answered. Raises: RefusedError."""
        fields = await fields_of(request)
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        key = optional_text(fields, "api_key") or (sent.strip() if kind.lower() == "bearer" else "")
        if self.keys is not None:
            self.keys.check(key)
        self.rate.count(key if self.keys is not None else request.client.host if request.client else "")
        return fields

    async def run(self, request: Request, served: Served, options: Options, work: Work) -> Any:
        """The result of some work. It is given up when the client goes away."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def done(result: Any, error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        job = Job(served.translator, options, work, done)
        self.engine.submit(job)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({future, gone}, timeout=self.limits.timeout or None, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            if gone.done():
                raise ClientDisconnect
            raise RefusedError(504, f"The translation took more than {self.limits.timeout:g} seconds.", retry_after=10)
        except MtError as error:
            raise told(error) from error
        finally:
            job.cancelled = True
            gone.cancel()

    # ---- paths

    async def translate(self, request: Request) -> Response:
        fields = await self.fields(request)
        texts, several = texts_field(fields)
        source, target = text_field(fields, "source"), text_field(fields, "target")
        count = count_field(fields, "alternatives", self.limits.alternatives)
        self._check_size(texts, several)
        form = format_field(fields, FORMATS)
        served, detected = self._served(texts, source, target)
        options = replace(served.options(count + 1, glossary_field(fields)), details=False)
        if form == "html":
            work = html(served.translator, options, texts, served.linker, src=served.src, tgt=served.tgt)
        else:
            work = plain(served.translator, options, texts)
        found = await self.run(request, served, options, work)
        best, others = [some[0] for some in found], [some[1:] for some in found]
        answer: dict[str, Any] = {"translatedText": best if several else best[0]}
        if detected:
            answer["detectedLanguage"] = [detected] * len(texts) if several else detected
        if count:
            answer["alternatives"] = others if several else others[0]
        return JSONResponse(answer)

    async def detect(self, request: Request) -> Response:
        fields = await self.fields(request)
        texts, several = texts_field(fields)
        self._check_size(texts, several)
        return JSONResponse([_detected(*pair) for pair in self.directory.detect(texts)])

    async def align(self, request: Request) -> Response:
        fields = await self.fields(request)
        text = text_field(fields, "q")
        source, target = text_field(fields, "source"), text_field(fields, "target")
        format_field(fields, WITH_LINKS)
        attention = flag_field(fields, "attention")
        count = count_field(fields, "alternatives", self.limits.alternatives)
        prefix = optional_text(fields, "prefix")
        for one in (text, prefix):
            if len(one) > ALIGNED:
                raise _too_long(len(one), ALIGNED)
        self._check_size([text], several=False)
        served, detected = self._served([text], source, target)
        beam = served.translator.section.beam  # not widened: the translation is that of `/translate`
        options = served.options(min(count + 1, beam), glossary_field(fields))
        work = align(served.translator, options, text, served.linker, attention=attention, prefix=prefix)
        answer = await self.run(request, served, options, work)
        return JSONResponse({**answer, **({"detectedLanguage": detected} if detected else {})})

    async def alternatives(self, request: Request) -> Response:
        fields = await self.fields(request)
        text = text_field(fields, "q").strip()
        source, target = text_field(fields, "source"), text_field(fields, "target")
        format_field(fields, WITH_LINKS)
        prefix = optional_text(fields, "prefix").rstrip()
        count = count_field(fields, "alternatives", self.limits.alternatives) or min(5, self.limits.alternatives)
        if len(text) + len(prefix) > ALIGNED:
            raise _too_long(len(text) + len(prefix), ALIGNED)
        self._check_size([text], several=False)
        served, _ = self._served([text], source, target)
        options = served.options(1, glossary_field(fields))
        work = other_words(served.translator, options, text, prefix, count)
        return JSONResponse({"alternatives": await self.run(request, served, options, work)})

    async def translate_file(self, request: Request) -> Response:
        fields = await self.fields(request)
        file = file_field(fields)
        source, target = text_field(fields, "source"), text_field(fields, "target")
        name = file_name(file.filename or "")
        kind = suffix_of(name)
        if not kind:
            raise invalid("file format not supported")
        if not (content := await file.read()).strip():
            raise invalid("empty file")
        try:
            parsed = await asyncio.to_thread(read_document, content, kind)
        except DataError as error:
            raise invalid(error.message) from None
        self._check_size(parsed.texts, several=False)
        served, _ = self._served(parsed.texts, source, target)
        options = replace(served.options(1, glossary_field(fields)), details=False)
        work = document(served.translator, options, parsed.naming(served.src, served.tgt), served.linker)
        said = await self.run(request, served, options, work)
        token = self.files.keep(f"{name[: -len(kind)]}.{served.tgt}{kind}", said)
        return JSONResponse({"translatedFileUrl": f"{base_url(request)}/download_file/{quote(token)}"})

    async def download_file(self, request: Request) -> Response:
        name, content = self.files.find(request.path_params["token"])
        disposition = f"attachment; filename*=UTF-8''{quote(name)}"
        return Response(content, media_type="application/octet-stream", headers={"Content-Disposition": disposition})

    async def suggest(self, request: Request) -> Response:
        raise RefusedError(403, "Suggestions are disabled on this server.")

    async def languages(self, request: Request) -> Response:
        codes, targets = self.directory.languages, self.directory.targets
        return JSONResponse([{"code": code, "name": language_name(code), "targets": targets(code)} for code in codes])

    async def settings(self, request: Request) -> Response:
        first = self.directory.models[0]
        code = AUTO if len(self.directory.sources) > 1 else first.src
        source = {"code": code, "name": "Auto Detect" if code == AUTO else language_name(code)}
        target = {"code": first.tgt, "name": language_name(first.tgt)}
        told = {
            "apiKeys": self.keys is not None,
            "charLimit": self.limits.characters or -1,
            "filesTranslation": True,
            "frontendTimeout": 500,
            "keyRequired": self.keys is not None,
            "language": {"source": source, "target": target},
            "suggestions": False,
            "supportedFilesFormat": list(SUFFIXES),
        }
        return JSONResponse(told)

    async def health(self, request: Request) -> Response:
        if not self.engine.alive:
            raise RefusedError(503, "The translation engine has stopped.")
        return JSONResponse({"status": "ok"})

    async def counts(self, request: Request) -> Response:
        return PlainTextResponse(self.metrics.text(self.engine), media_type="text/plain; version=0.0.4")

    # ----

    def _check_size(self, texts: list[str], several: bool) -> None:
        limits, size = self.limits, sum(map(len, texts))
        if several and limits.texts and len(texts) > limits.texts:
            raise _too_long(len(texts), limits.texts)
        if limits.characters and size > limits.characters:
            raise _too_long(size, limits.characters)
        self.metrics.characters += size

    def _served(self, texts: list[str], source: str, target: str) -> tuple[Served, dict[str, Any] | None]:
        """The model of a direction, and the language that was found if the source is "auto"."""
        detected = None
        if source.lower() == AUTO:
            code, share = self.directory.detect(texts, target)[0]
            source, detected = code, _detected(code, share)
        return self.directory.find(source, target), detected


def _too_long(size: int, most: int) -> RefusedError:
    return invalid(f"request ({size}) exceeds text limit ({most})")


def _detected(code: str, share: float) -> dict[str, Any]:
    return {"confidence": round(100 * share), "language": code}


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_app(service: Service, *, cors: str = "", metrics: bool = False) -> Guard:
    """The ASGI application. Args: cors: as `Guard`; metrics: whether `/metrics` is there."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        try:
            yield
        finally:
            await asyncio.to_thread(service.engine.stop)

    app = FastAPI(
        title="mt", version=mt.__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        lifespan=lifespan, description="Machine translation. The paths of LibreTranslate, and word links.",
        redirect_slashes=False,  # it would send clients to the host that the request names
    )  # fmt: skip
    routes: list[tuple[str, str, Handler]] = [
        ("POST", "/translate", service.translate),
        ("POST", "/detect", service.detect),
        ("POST", "/align", service.align),
        ("POST", "/alternatives", service.alternatives),
        ("POST", "/translate_file", service.translate_file),
        ("GET", "/download_file/{token}", service.download_file),
        ("POST", "/suggest", service.suggest),
        ("GET", "/languages", service.languages),
        ("GET", "/frontend/settings", service.settings),
        ("GET", "/health", service.health),
    ]
    if metrics:
        routes.append(("GET", "/metrics", service.counts))
    for method, path, handler in routes:
        told_of = schema.described(path, service.directory.sources, service.directory.targets_of_all)
        app.add_api_route(path, handler, methods=[method], response_class=Response, **told_of)
    for path, answer in [*page(), *((path, handler) for method, path, handler in routes if method == "GET")]:
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
    add_error_handlers(app)
    paths = {path for _, path, _ in routes} | {"/", "/openapi.json"}
    return Guard(app, most_bytes=service.limits.body, cors=cors, metrics=service.metrics, paths=paths)


def page() -> Iterator[tuple[str, Handler]]:
    """The files of the page, read once."""
    for file in sorted(PAGE.iterdir()):
        yield "/" if file.name == "index.html" else f"/{file.name}", sender(file.read_bytes(), KINDS[file.suffix])


def sender(content: bytes, kind: str) -> Handler:
    """Sends a file. FastAPI reads parameters of a handler, also those with defaults, from the address: it has none."""
    etag = f'"{sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Content-Type": f"{kind}; charset=utf-8"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return answer


def add_error_handlers(app: FastAPI) -> None:
    """Every error is JSON with one sentence."""

    async def answer(_: Request, error: Exception) -> Response:
        match error:
            case HTTPException():
                return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
            case RequestValidationError():
                return JSONResponse({"error": "Invalid request"}, 400)
            case ClientDisconnect():
                return Response(status_code=GONE)  # not an error of the server
            case _:
                return refusal(told(error))  # `Guard` logs what nobody expected

    for kind in (RefusedError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer)
