"""XML read element by element, in bounded memory. Nothing outside the file is read, and entities are refused."""

import io
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import IO, Any

from mt.errors import DataError

# Options of parsers: nothing is fetched, expanded or of any size.
SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
TYPES = ("type", "ctype", "subType")  # attributes of inline codes: of TMX, XLIFF 1.2 and XLIFF 2
BREAKS = {"lb", "x-lb", "x-br", "xlf:lb", "br", "pb", "xlf:pb"}  # what codes are called that end a line or page
SHOWN = ("equiv-text", "equiv", "disp")  # attributes with the native code that an inline code stands for
NONE: Mapping[str, str] = MappingProxyType({})
DECLARED = re.compile(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*\sencoding=["'](utf-?16[\w-]*|ucs-?2)["']""", re.I)
NATIVE_BREAK = re.compile(r"\s*(?:<br\b[^<>]*>|\\n|\{?\\(?:line|par)\s?\}?)\s*", re.I)  # of HTML, programs and RTF
FIRST_LINE = 200  # bytes at most


def misnamed(what: str, encoding: str) -> DataError:
    """The error for a file as `says_utf16` finds it."""
    message = f"{what} says in its first line that it is in {encoding}, but it is not."
    return DataError(message, hint='write `encoding="UTF-8"` there, or leave it out.')


def says_utf16(head: bytes) -> str:
    """The encoding in two bytes that the beginning of a file names in letters of one byte each; "" for none. Its text
    was converted, and its first line was not."""
    found = DECLARED.match(head)
    return found[1].decode() if found else ""


def elements(stream: IO[bytes], file: str, names: Collection[str], *, opened: Collection[str] = ()) -> Iterator[Any]:
    """Yield each element of these local names once it is complete, and those in `opened` when they begin.

    A complete element is removed from the tree when the next one is asked for, with all that stands before it.
    Raises: DataError: for what is no XML, with the line.
    """
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    head = stream.peek(FIRST_LINE) if isinstance(stream, io.BufferedReader) else b""
    tags = [f"{{*}}{name}" for name in (*names, *opened)]
    found = etree.iterparse(stream, events=("start", "end"), tag=tags, **SAFE)
    try:
        for event, element in found:
            if event == "start":
                if local(element) in opened:
                    yield element
            elif local(element) in names:
                yield element
                element.clear(keep_tail=False)
                for place in (element, *element.iterancestors()):
                    while (parent := place.getparent()) is not None and place.getprevious() is not None:
                        del parent[0]
    except etree.XMLSyntaxError as error:
        # The error itself may be that nothing came after the fault.
        if name := says_utf16(head):
            raise misnamed(f"`{file}`", name) from None
        first = next((one for one in found.error_log if one.level_name == "FATAL"), None)
        line, said = (first.line, first.message) if first else (error.lineno, error.msg)
        raise DataError(f"{file}:{line or 1}: this is not well-formed XML: {said}.") from None


def local(element: Any) -> str:
    """The name of an element without its namespace; empty for comments and the like."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def native_codes(original: Any) -> dict[str, str]:
    """The native codes of a unit of XLIFF 2 by their names, of its `<originalData>`, which may be missing (None)."""
    found = () if original is None else original.iterchildren("{*}data")
    return {one.get("id"): "".join(one.itertext()) for one in found}


def ends_line(code: Any, native: Mapping[str, str]) -> bool:
    """Whether an inline code stands for the end of a line: its type says so, or the native code, such as <br/>.

    Args: native: the native codes to which `dataRef` refers, as `native_codes`.
    """
    if {code.get(key) for key in TYPES} & BREAKS:
        return True
    shown = (code.text, native.get(code.get("dataRef")), *map(code.get, SHOWN))
    return any(NATIVE_BREAK.fullmatch(one or "") for one in shown)


def plain_text(
    element: Any, file: str, *, skipped: Collection[str] = (), native: Mapping[str, str] = NONE
) -> str:  # fmt: skip
    """The text in an element, without that in `skipped` elements, as one line; where one of these ends a line, a space.

    Args: native: as in `ends_line`.
    Raises: DataError: for a reference to an entity of the file's own, which is never filled in.
    """
    parts: list[str] = []

    def add(one: Any) -> None:
        parts.append(one.text or "")
        for child in one:
            if not isinstance(child.tag, str):
                if type(child).__name__ == "_Entity":
                    where = f"{file}:{child.sourceline}"
                    raise DataError(
                        f"{where}: the entity {child.text} is not read.", hint="write its text in its place."
                    )
            elif local(child) not in skipped:
                add(child)
            elif ends_line(child, native):
                parts.append(" ")
            parts.append(child.tail or "")

    add(element)
    return "".join(parts).replace("\r", " ").replace("\n", " ").strip()


def clean(words: str) -> str:
    """A text without the characters that XML does not allow."""
    return NOT_XML.sub(" ", words)
