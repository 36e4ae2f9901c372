"""What a reader of a format returns: the segments of a document, and how it is written with other text in them."""

import codecs
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mt.documents.parts import Part, decode, encode, has_letters
from mt.errors import DataError
from mt.text.languages import MADE_UP, nearest, tag_of

MAX_BYTES = 256 << 20  # of a document, and of all parts of one that is an archive
LINE_END = re.compile(r"\r\n|\n|\r")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Parsed(NamedTuple):
    """A document. `write` takes a translation of each text, in order; a text that comes back as it was is unchanged."""

    texts: list[str]
    write: Callable[[Sequence[str]], bytes]
    left: str = ""  # what is left out that a reader may miss, as a clause
    languages: Sequence[tuple[str, str]] = ()  # of sources and translations, as the document names them
    rename: Callable[[bytes, str, str], bytes] | None = None  # names another language where a document names the first

    def naming(self, src: str, tgt: str) -> "Parsed":
        """The document, which names `tgt` as its language once it is translated, if it names `src` now."""
        rename = self.rename
        if rename is None or {src, tgt} & MADE_UP:
            return self

        def write(said: Sequence[str]) -> bytes:
            written = self.write(said)
            return written if list(said) == self.texts else rename(written, src, tgt)

        return self._replace(write=write)


Raw = Callable[[int, int], str]


@dataclass(frozen=True, slots=True)
class Spot:
    """A stretch of a text with a segment to translate.

    `render` makes what is written there, of the translation and of a function that gives a stretch of the text as it
    is to be written: a spot may lie within another one, such as a title within a link.
    """

    begin: int
    end: int
    segment: str
    render: Callable[[str, Raw], str]


def spot(begin: int, end: int, parts: Sequence[Part], render: Callable[[list[Part], Raw], str]) -> list[Spot]:
    """A spot whose segment has marks; none where it has no letters."""
    if not has_letters(parts):
        return []
    return [Spot(begin, end, encode(parts), lambda said, raw: render(decode(parts, said), raw))]


def parsed_text(content: str, spots: Sequence[Spot], encoded: Callable[[str], bytes]) -> Parsed:
    """A document that is one text: everything outside of the spots is written as it was read."""
    ordered = sorted(spots, key=lambda one: (one.begin, -one.end))

    def write(said: Sequence[str]) -> bytes:
        outer, inner = list[tuple[Spot, str]](), list[tuple[Spot, str]]()
        for one, translation in zip(ordered, said, strict=True):
            (inner if outer and one.begin < outer[-1][0].end else outer).append((one, translation))
        begins = [one.begin for one, _ in inner]

        def raw(begin: int, end: int) -> str:
            within = inner[bisect_left(begins, begin) : bisect_left(begins, end)]
            return _replaced(content, begin, end, within, lambda a, b: content[a:b])

        return encoded(_replaced(content, 0, len(content), outer, raw))

    return Parsed([one.segment for one in ordered], write)


def _replaced(content: str, begin: int, end: int, spots: Sequence[tuple[Spot, str]], raw: Raw) -> str:
    written, place = list[str](), begin
    for one, said in spots:
        same = said == one.segment
        written += [content[place : one.begin], raw(one.begin, one.end) if same else one.render(said, raw)]
        place = one.end
    return "".join([*written, content[place:end]])


def renamed(content: str, spans: Sequence[tuple[int, int]], src: str, tgt: str) -> str:
    """A text with another language where it names the first one. Args: spans: where it names a language."""
    for begin, end in sorted(spans, reverse=True):
        if nearest([content[begin:end].strip()], src):
            content = content[:begin] + tag_of(tgt) + content[end:]
    return content


def decoded(data: bytes, declared: str = "", *, errors: str = "strict") -> tuple[str, Callable[[str], bytes]]:
    """The text of a file, and a function that encodes a text as the file is: with the same byte order mark.

    Args: declared: the encoding that the file names; without one it is UTF-8, or UTF-16 with a byte order mark.
    errors: what is done with characters that the encoding does not have, as in `str.encode`.
    Raises: DataError: when the file is not in its encoding.
    """
    mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
    name = MARKS.get(mark, declared or "utf-8")
    try:
        codec = codecs.lookup(name)
        content = data[len(mark) :].decode(codec.name)
    except LookupError:
        raise DataError(f"the file says that it is in `{declared}`, which is no encoding known here.") from None
    except UnicodeDecodeError as error:
        before = data[len(mark) : len(mark) + error.start].decode(name, "replace")
        line, begun = before.count("\n") + 1, before[before.rfind("\n") + 1 :]
        place = len(begun.encode(name, "replace")) + (len(mark) if line == 1 else 0) + 1
        found = f"byte {place:,} (0x{error.object[error.start]:02x})"
        raise DataError(
            f"line {line}: {found} is not {name.upper()}.", hint="convert the file to UTF-8, for example with iconv."
        ) from None
    if "\0" in content:
        line = content.count("\n", 0, content.index("\0")) + 1
        raise DataError(f"line {line}: NUL character: the file must be text.")

    def encoded(written: str) -> bytes:
        try:
            return mark + written.encode(codec.name, errors)
        except UnicodeEncodeError as error:
            what = error.object[error.start]
            raise DataError(
                f"the translation has the character {what!r}, which is not in {name}, the encoding of the file.",
                hint="convert the file to UTF-8 first, for example with iconv.",
            ) from None

    if encoded(content) != data:
        message = f"the file does not come back the same from {name}."
        raise DataError(message, hint="convert it to UTF-8, for example with iconv.")
    return content, encoded


def lines_with_ends(content: str) -> list[tuple[int, int, int]]:
    """Each line of a text: its begin, its end, and the begin of the next line. Lines end at LF, CR LF or CR."""
    ends = [found.span() for found in LINE_END.finditer(content)]
    begins = [0, *(after for _, after in ends)]
    if begins[-1] < len(content):
        ends.append((len(content), len(content)))
    return [(begin, *end) for begin, end in zip(begins, ends, strict=False)]
