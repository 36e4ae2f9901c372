"""The fields of a request: from JSON, a form or the address, as LibreTranslate's clients send them.

The sentences of errors are LibreTranslate's where it has one for the case: clients compare them.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from mt.serve.refusal import RefusedError, invalid
from mt.text.lines import SURROGATE

MOST_FIELDS = 1000
# Its warnings give bytes of a body that no program can read, and the client is told of it.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
Fields = Mapping[str, Any]


async def fields_of(request: Request) -> Fields:
    """Raises: RefusedError: for a body that is not what its content type says."""
    sent = request.headers.get("content-type", "")
    kind = sent.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            found = json.loads(await request.body(), parse_constant=_no_number, object_pairs_hook=_no_repeated)
        except (ValueError, RecursionError):
            raise RefusedError(400, "Invalid JSON format") from None
        if not isinstance(found, dict):
            raise RefusedError(400, "Invalid JSON format")
        return found
    try:
        pairs = _pairs(request.scope["query_string"])
        if kind == "multipart/form-data":
            pairs += await _multipart(request, sent)
        elif (body := await request.body()).lstrip()[:1] == b"{":  # `curl -d` says that it sends a form
            raise invalid("JSON needs the header Content-Type: application/json")
        elif kind == "application/x-www-form-urlencoded":
            pairs += _pairs(body)
    except UnicodeError:
        raise invalid("the form is not UTF-8") from None
    except (HTTPException, MultiPartException, ValueError, KeyError, AssertionError) as error:
        raise invalid("the form cannot be read") from error
    several = [value for name, value in pairs if name == "q"]
    values = _no_repeated([pair for pair in pairs if pair[0] != "q"])
    if several:  # q=one&q=two
        values["q"] = several if len(several) > 1 else several[0]
    return values


def _pairs(encoded: bytes) -> list[tuple[str, Any]]:
    """Fields as an address or a form has them. Starlette puts U+FFFD for what is no UTF-8, and Latin-1 for bytes that
    are not spelt with `%`, as `curl -d` sends them."""
    return parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)


async def _multipart(request: Request, kind: str) -> list[tuple[str, Any]]:
    """Fields of a form in parts. Starlette reads bytes as Latin-1 where they are not in the form's encoding; told that
    all are, it gives each byte back."""
    scope = {**request.scope, "headers": [(b"content-type", f"{kind}; charset=latin-1".encode("latin-1"))]}
    form = await Request(scope, request.receive).form(max_files=1, max_fields=MOST_FIELDS, max_part_size=1 << 30)
    found = list[tuple[str, Any]]()
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                value.filename = _utf8(value.filename or "")
            found.append((_utf8(name), value if isinstance(value, UploadFile) else _utf8(value)))
    except UnicodeError:
        await form.close()
        raise
    return found


def _utf8(latin: str) -> str:
    return latin.encode("latin-1").decode()


def _no_number(name: str) -> None:
    raise ValueError(name)


def _no_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object or a form, whose keys are each there once: of two values one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        shown = SURROGATE.sub("?", repeated[:40])  # without what cannot be sent
        raise invalid(f"the key {shown!r} appears more than once")
    return found


def text_field(fields: Fields, name: str) -> str:
    """A field that must be there. Raises: RefusedError: when it is missing, empty or no text."""
    value = fields.get(name)
    if value is None or value == "" or value == []:
        raise invalid(f"missing {name} parameter")
    return checked_text(value, name)


def checked_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"{name} parameter must be text")
    if SURROGATE.search(value):
        raise invalid(f"{name} parameter has half of a surrogate pair")
    return value


def optional_text(fields: Fields, name: str, otherwise: str = "") -> str:
    value = fields.get(name)
    return otherwise if value is None or value == "" else checked_text(value, name)


def texts_field(fields: Fields, name: str = "q") -> tuple[list[str], bool]:
    """The texts to translate, and whether they came as a list."""
    value = fields.get(name)
    if isinstance(value, list) and value:
        return [checked_text(one, name) for one in value], True
    text = text_field(fields, name)
    if not text.strip():
        raise invalid(f"missing {name} parameter")
    return [text], False


def count_field(fields: Fields, name: str, most: int) -> int:
    """A number from 0 on, by default 0."""
    value = fields.get(name)
    if value is None or value == "":
        return 0
    spelt = isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", value)
    if not spelt and (isinstance(value, bool) or not isinstance(value, int)):
        raise invalid(f"{name} parameter is not a number")
    number = max(0, int(value))
    if number > most:
        raise invalid(f"{name} parameter must be <= {most}")
    return number


def flag_field(fields: Fields, name: str) -> bool:
    """By default false. A form has text: "true" or "1"."""
    value = fields.get(name)
    said = value.strip().lower() if isinstance(value, str) else value
    if said is None or said in ("", "false", "0", False):
        return False
    if said in ("true", "1", True):
        return True
    raise invalid(f"{name} parameter must be true or false")


def format_field(fields: Fields, formats: Collection[str], name: str = "format") -> str:
    """One of the formats, by default "text"."""
    form = optional_text(fields, name, "text")
    if form not in formats:
        raise RefusedError(400, f"{form[:40]} format is not supported")
    return form


def file_field(fields: Fields, name: str = "file") -> UploadFile:
    value = fields.get(name)
    if not isinstance(value, UploadFile):
        raise invalid(f"missing {name} parameter")
    if not value.filename:
        raise invalid("empty file")
    return value
