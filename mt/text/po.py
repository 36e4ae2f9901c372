"""gettext PO catalogues: their encoding, and which of their plural forms stands for one thing."""

import codecs
import re
from contextlib import suppress
from gettext import c2py
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polib import POFile  # pyright: ignore[reportMissingModuleSource]

CHARSET = re.compile(rb'^(?:msgstr )?".*?Content-Type:[^"\n]*charset=([\w.:-]+)', re.I | re.M)
CHARSET_NAME = re.compile(r"charset=([^\s;]+)", re.I)
CONTENT_TYPE = re.compile(r'"Content-Type:[ \t]*([^"\\\n]*)\\n"')
PLURAL = re.compile(r"plural\s*=\s*([^;]+)")
# A line of an entry whose string is not in quotes: polib takes its first and last character for them.
UNQUOTED = re.compile(
    r"""^[ \t]*(?:\#~\|?[ \t]*)?  (?=msg|")  (?!(?:msg\w+(?:\[\d+\])?)?[ \t]*"(?:[^"\\\n]|\\.)*"[ \t\r]*$)""",
    re.M | re.X,
)
# An escape in a string that polib takes for a backslash and letters: it would write the backslash twice.
ESCAPE = re.compile(
    r"""^[ \t]*(?:\#[~|]+[ \t]*)?  (?=msg|")  (?:[^\\\n]|\\[\\"bfnrtv])*  (\\[^\\"bfnrtv\n]\w{0,4})""", re.M | re.X
)


def encoding_of(data: bytes) -> str:
    """The encoding of a catalogue: UTF-8 if it is valid UTF-8 with other letters than ASCII's, whatever it declares,
    since hardly a text in an older encoding is; else the one that its header declares."""
    if not data.isascii():
        with suppress(UnicodeDecodeError):
            data.decode("utf-8")
            return "utf-8"
    declared = CHARSET.search(data)
    return declared[1].decode("ascii") if declared and declared[1].upper() != b"CHARSET" else "utf-8"


def is_utf8(encoding: str) -> bool:
    return codec_of(encoding) in {"utf-8", "ascii"}


def codec_of(encoding: str) -> str:
    """The usual name of an encoding; "" for none that is known."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return ""


def declare_utf8(catalogue: "POFile") -> bool:
    """Make the header name UTF-8, unless it does: gettext takes what it names, and without a name only ASCII.

    Returns: whether the header has changed.
    """
    kind = catalogue.metadata.get("Content-Type", "")
    wanted = _with_utf8(kind)
    if wanted != kind:
        catalogue.metadata["Content-Type"] = wanted
    return wanted != kind


def _with_utf8(kind: str) -> str:
    """The value of `Content-Type` with UTF-8 as its charset; as it is where it names that, in any spelling."""
    named = CHARSET_NAME.search(kind)
    if named is None:
        return "text/plain; charset=UTF-8"
    return kind if codec_of(named[1]) == "utf-8" else f"{kind[: named.start(1)]}UTF-8{kind[named.end(1) :]}"


def in_utf8(header: str) -> str:
    """The text of a header with the change of `declare_utf8` alone; "" where the line for it is in parts."""
    if "Content-Type:" not in header:
        return f'{header}"Content-Type: {_with_utf8("")}\\n"\n' if header.endswith('\\n"\n') else ""
    line = CONTENT_TYPE.search(header)
    if line is None:
        return ""
    return f"{header[: line.start(1)]}{_with_utf8(line[1])}{header[line.end(1) :]}"


def parse(content: str, width: int = 78) -> "POFile":
    """Args: width: of lines when it is written; 0: they are not broken. Raises: ValueError: when it is no catalogue."""
    import polib  # pyright: ignore[reportMissingModuleSource]

    try:
        # With a line end at its end, no content is the path of a file, which polib would read in its place.
        found = polib.pofile(f"{content}\n", wrapwidth=width) if content.strip() else polib.POFile(wrapwidth=width)
    except OSError as error:  # polib's errors of syntax
        raise ValueError(str(error)) from None
    if bare := UNQUOTED.search(content):
        raise ValueError(f"line {content.count(chr(10), 0, bare.start()) + 1} has a string that is not in quotes")
    if escape := ESCAPE.search(content):
        line = content.count("\n", 0, escape.start(1)) + 1
        raise ValueError(f"line {line} has the escape `{escape[1]}`, which is not read")
    found.ordered_metadata = lambda: [*found.metadata.items()]  # polib would sort the header
    return found


def form_of_one(catalogue: "POFile") -> int:
    """The number of the plural form for one thing, by the rule in the header: 0 in German, 1 in Arabic, which begins
    with the form for nothing. Without a rule that can be read it is 0."""
    rule = PLURAL.search(catalogue.metadata.get("Plural-Forms", ""))
    try:
        return c2py(rule[1].strip())(1) if rule else 0
    except (ValueError, ZeroDivisionError):
        return 0
