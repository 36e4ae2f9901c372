"""gettext PO: the entries without a translation get one. Entries that have one, fuzzy or not, stay as they are."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mt.documents.parsed import Parsed, decoded
from mt.documents.po_formats import shielded
from mt.errors import DataError
from mt.text.po import declare_utf8, encoding_of, form_of_one, in_utf8, is_utf8, parse

if TYPE_CHECKING:
    from polib import POFile  # pyright: ignore[reportMissingModuleSource]

WIDTH = 78  # of gettext's own lines; a file with wider ones is written without breaks
BREAK = re.compile(r"(\n+)")
HEADER = re.compile(r'^msgid ""\s*\nmsgstr', re.M)
# A header that comes first, with its comments: it is written as it was read.
OWN_HEADER = re.compile(
    r"""(?:[ \t]*(?:\#(?!~)[^\n]*)?\n)*  msgid[ \t]+""[ \t]*\n  msgstr[ \t]+"[^\n]*\n  (?:[ \t]*"[^\n]*\n)*""", re.X
)
EMPTY_COMMENT, EMPTY_HEADER = "#\n", 'msgid ""\nmsgstr ""\n\n'  # which polib writes also where there was none


def read_po(data: bytes) -> Parsed:
    encoding = encoding_of(data)
    utf8 = is_utf8(encoding)
    content, encoded = decoded(data, "utf-8" if utf8 else encoding)
    wide = any(len(line) > WIDTH + 2 for line in content.split("\n") if not line.startswith("#"))
    try:
        catalogue = parse(content.replace("\r\n", "\n"), 0 if wide else WIDTH)
    except ValueError as error:
        raise DataError(f"this is not a PO file ({error}).") from None
    headed = HEADER.search(content.replace("\r\n", "\n")) is not None
    if catalogue and catalogue.header and not headed:  # polib takes the comment of the first entry for the header's
        catalogue[0].tcomment = "\n".join(filter(None, [catalogue.header, catalogue[0].tcomment]))
        catalogue.header = ""
    single = form_of_one(catalogue)
    wanted = [entry for entry in catalogue if not entry.obsolete and not entry.translated() and not entry.fuzzy]
    split = [  # line, break, line, ...
        [shielded(part, entry.flags) for part in BREAK.split(source)]
        for entry in wanted
        for source in ([entry.msgid, entry.msgid_plural] if entry.msgid_plural else [entry.msgid])
    ]

    def write(said: Sequence[str]) -> bytes:
        if not said:
            return data
        given = iter(said)
        written = (
            "".join(part.line if n % 2 else part.written(next(given)) for n, part in enumerate(parts))
            for parts in split
        )
        for entry in wanted:
            one = next(written)
            if entry.msgid_plural:
                many = next(written)
                entry.msgstr_plural = {
                    n: old or (one if n == single and len(entry.msgstr_plural) > 1 else many)
                    for n, old in entry.msgstr_plural.items()
                }
            else:
                entry.msgstr = one
        filled = _filled(catalogue, content.replace("\r\n", "\n"), headed=headed, utf8=utf8)
        return encoded(filled.replace("\n", "\r\n") if "\r\n" in content else filled)

    fuzzy = sum(entry.fuzzy and not entry.obsolete for entry in catalogue)
    left = f"{fuzzy:,} fuzzy {'entry was' if fuzzy == 1 else 'entries were'} left as found" if fuzzy else ""
    language = catalogue.metadata.get("Language", "").strip()
    return Parsed([part.line for parts in split for part in parts[::2]], write, left, [("", language)])


def _filled(catalogue: "POFile", content: str, *, headed: bool, utf8: bool) -> str:
    """The catalogue with the header of its file. Args: content: of the file; headed: whether it has a header."""
    own = OWN_HEADER.match(content)
    header = own[0] if own else ""
    if utf8 and not str(catalogue).isascii() and declare_utf8(catalogue):
        header = in_utf8(header)
    if header:
        current = [entry for entry in catalogue if not entry.obsolete]
        entries = (entry.__unicode__(catalogue.wrapwidth) for entry in [*current, *catalogue.obsolete_entries()])
        return "\n".join([header, *entries])
    filled = str(catalogue)
    if not catalogue.header and (not headed or not re.match(r"#\s*\n", content)):
        filled = filled.removeprefix(EMPTY_COMMENT)
    return filled if headed else filled.removeprefix(EMPTY_HEADER)
