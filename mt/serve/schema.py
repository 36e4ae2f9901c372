"""What the interface says of itself in OpenAPI."""

from collections.abc import Sequence
from typing import Any


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _one_or_more(of: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [of, _list(of)]}


TEXT = {"type": "string"}
NUMBER = {"type": "number"}
TEXTS = {"oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": TEXT, "minItems": 1}]}
TEXT_ONLY = {"type": "string", "enum": ["text"]}
COUNT = {"type": "integer", "minimum": 0, "maximum": 10, "default": 0}
LANGUAGE = {"type": "string", "minLength": 2, "description": "language code, such as en"}
GLOSSARY = {
    "description": "terms that must, or must not, appear: lines of source, tab and target, or an object",
    "oneOf": [TEXT, {"type": "object", "additionalProperties": TEXT}],
}
ERROR = _object(["error"], error={"type": "string", "description": "one sentence"})
DETECTED = _object(
    ["confidence", "language"], confidence={"type": "integer", "minimum": 0, "maximum": 100}, language=TEXT
)
TOKENS = _object(
    ["before", "tokens"],
    before=TEXT,
    tokens=_list(_object(["text", "after"], text=TEXT, after=TEXT, probability=NUMBER)),
)
DIRECTION = {"source": LANGUAGE, "target": LANGUAGE}
ALTERNATIVE = _object(["text", "score"], text=TEXT, score=NUMBER)
REQUESTS: dict[str, dict[str, Any]] = {
    "/translate": _object(
        ["q", "source", "target"], q=TEXTS, **DIRECTION, format={"type": "string", "enum": ["text", "html"]},
        alternatives=COUNT, glossary=GLOSSARY, api_key=TEXT,
    ),
    "/detect": _object(["q"], q=TEXTS, api_key=TEXT),
    "/align": _object(
        ["q", "source", "target"], q=TEXT, **DIRECTION, format=TEXT_ONLY, prefix=TEXT, attention={"type": "boolean"},
        alternatives=COUNT, glossary=GLOSSARY, api_key=TEXT,
    ),
    "/alternatives": _object(
        ["q", "source", "target"], q=TEXT, **DIRECTION, format=TEXT_ONLY, prefix=TEXT, alternatives=COUNT,
        glossary=GLOSSARY, api_key=TEXT,
    ),
    "/translate_file": _object(
        ["file", "source", "target"], file={"type": "string", "format": "binary"}, **DIRECTION, glossary=TEXT,
        api_key=TEXT,
    ),
    "/suggest": _object([], q=TEXT, s=TEXT, **DIRECTION),
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    "/translate": _object(
        ["translatedText"], translatedText=_one_or_more(TEXT), detectedLanguage=_one_or_more(DETECTED),
        alternatives=_list({"oneOf": [TEXT, _list(TEXT)]}),
    ),
    "/detect": _list(DETECTED),
    "/align": _object(
        ["translatedText", "source", "target", "links", "segments"], translatedText=TEXT, source=TOKENS, target=TOKENS,
        links=_list(_list(NUMBER)), segments=_list({"type": "object"}), alternatives=_list(ALTERNATIVE),
        score=NUMBER, detectedLanguage=DETECTED,
    ),
    "/alternatives": _object(["alternatives"], alternatives=_list(
        _object(["word", "probability", "translatedText", "score"], word=TEXT, probability=NUMBER,
                translatedText=TEXT, score=NUMBER),
    )),
    "/translate_file": _object(["translatedFileUrl"], translatedFileUrl=TEXT),
    "/languages": _list(_object(["code", "name", "targets"], code=TEXT, name=TEXT, targets=_list(TEXT))),
    "/frontend/settings": {"type": "object"},
    "/health": _object(["status"], status=TEXT),
}  # fmt: skip
SUMMARIES = {
    "/translate": "Translate one text or several",
    "/detect": "Find the language of a text among those that are translated here",
    "/align": "Translate a text, with the source words of each word and how sure the model is of it",
    "/alternatives": "Other words at a place of the translation of one segment, each with its translation",
    "/translate_file": "Translate a document, and keep its layout",
    "/download_file/{token}": "Fetch a translated file",
    "/suggest": "Refused: suggestions are not kept",
    "/languages": "The languages and what each is translated to",
    "/frontend/settings": "Settings of pages",
    "/health": "Whether the server works",
    "/metrics": "Counts in Prometheus' format",
}
STATUSES = {
    "400": "the request cannot be answered as it is",
    "404": "there is no such file or path",
    "403": "an API key that is not known, or a path that is disabled",
    "408": "the request did not come to its end in time",
    "413": "the body is too large",
    "429": "too many requests; Retry-After says when to come back",
    "503": "the server is busy or stops; Retry-After says when to come back",
    "504": "the translation took too long",
}


def described(path: str, sources: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    """The arguments of FastAPI's routes that describe a path. Args: sources, targets: the languages that there are."""
    errors = {
        status: {"description": what, "content": {"application/json": {"schema": ERROR}}}
        for status, what in STATUSES.items()
    }
    answer: dict[str, Any] = {"description": "the answer"}
    if "{token}" in path:
        answer["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if path == "/metrics":
        answer["content"] = {"text/plain": {"schema": TEXT}}
    if path in ANSWERS:
        answer["content"] = {"application/json": {"schema": ANSWERS[path]}}
    extra: dict[str, Any] = {"responses": {"200": answer, **errors}}
    if "{token}" in path:
        extra["parameters"] = [{"name": "token", "in": "path", "required": True, "schema": TEXT}]
    if path in REQUESTS:
        fields = REQUESTS[path]["properties"]
        languages = {"source": [*sources, "auto"], "target": [*targets]}
        named = {name: {**fields[name], "enum": codes} for name, codes in languages.items() if name in fields}
        form = {"schema": {**REQUESTS[path], "properties": {**fields, **named}}}
        kinds = ["application/json", "application/x-www-form-urlencoded"]
        kinds = ["multipart/form-data"] if path == "/translate_file" else kinds
        extra["requestBody"] = {"required": True, "content": dict.fromkeys(kinds, form)}
    return {"summary": SUMMARIES[path], "openapi_extra": extra}
