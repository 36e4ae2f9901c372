"""Stand-ins for a translator of lines with tags, for the tests of documents."""

import re
from collections.abc import Callable

from mt.documents.readers import translate_document

MARK = re.compile(r"<[^<>]*>|\{[^{}]*\}|&#?\w+;")


def same(texts: list[str]) -> list[str]:
    return texts


def shout(texts: list[str]) -> list[str]:
    """Capital letters outside of marks; the marks stay where they are."""
    found = []
    for text in texts:
        marks = [*MARK.findall(text), ""]
        found.append("".join(part.upper() + mark for part, mark in zip(MARK.split(text), marks, strict=True)))
    return found


def unmarked(texts: list[str]) -> list[str]:
    """As `shout`, but the marks are lost."""
    return [" ".join(MARK.sub(" ", text).upper().split()) for text in texts]


def translated(text: str, suffix: str, translate: Callable[[list[str]], list[str]] = shout, **options) -> str:
    return translate_document(text.encode(), suffix, translate, **options).decode()


def segments(data: str | bytes, suffix: str, **options) -> list[str]:
    """What is given to the translator."""
    seen: list[str] = []

    def look(texts: list[str]) -> list[str]:
        seen.extend(texts)
        return texts

    raw = data.encode() if isinstance(data, str) else data
    assert translate_document(raw, suffix, look, **options) == raw
    return seen
