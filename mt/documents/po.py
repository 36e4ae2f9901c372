"""gettext PO: the entries without a translation get one. Entries that have one, fuzzy or not, stay as they are.

polib reads the file and writes the strings of the new translations; all else stays byte for byte.
"""

import re
from collections.abc import Sequence
from itertools import islice

from mt.documents.parsed import Parsed, decoded
from mt.documents.po_formats import shielded
from mt.errors import DataError
from mt.text.po import declare_utf8, encoding_of, form_of_one, in_utf8, is_utf8, parse

WIDTH = 78  # of gettext's own lines; into a file with wider ones translations are written without breaks
BREAK = re.compile(r"(\n+)")
LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # by which polib counts lines
HEADER = re.compile(r'^[ \t]*msgid\s+""(?:\s+"")*\s+msgstr', re.M)
# The name and the strings of a translation.
STRINGS = re.compile(r'^[ \t]*(msgstr(?:\[\d+\])?)[ \t]*("[^\n]*"(?:[ \t\r]*\n[ \t]*"[^\n]*")*)', re.M)
Change = tuple[int, int, str]  # where it begins and ends in the file, and what is written there


def read_po(data: bytes) -> Parsed:
    encoding = encoding_of(data)
    utf8 = is_utf8(encoding)
    content, encoded = decoded(data, "utf-8" if utf8 else encoding)
    wide = any(len(line) > WIDTH + 2 for line in content.split("\n") if not line.startswith("#"))
    try:
        catalogue = parse(content.replace("\r\n", "\n"), 0 if wide else WIDTH)
    except ValueError as error:
        raise DataError(f"this is not a PO file ({error}).") from None
    begins = [0, *(found.end() for found in LINE_END.finditer(content))]
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
        changes = list[Change]()
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
            changes += _changes(content, begins[(entry.linenum or 1) - 1], entry.__unicode__(catalogue.wrapwidth))
        if utf8 and not (content + "".join(one for *_, one in changes)).isascii() and declare_utf8(catalogue):
            changes.append(_header(content, catalogue.metadata_as_entry().__unicode__(catalogue.wrapwidth)))
        line_end = "\r\n" if "\r\n" in content else "\n"
        filled, place = list[str](), 0
        for begin, end, one in sorted(changes):
            filled += [content[place:begin], one.replace("\n", line_end)]
            place = end
        return encoded("".join([*filled, content[place:]]))

    fuzzy = sum(entry.fuzzy and not entry.obsolete for entry in catalogue)
    left = f"{fuzzy:,} fuzzy {'entry was' if fuzzy == 1 else 'entries were'} left as found" if fuzzy else ""
    language = catalogue.metadata.get("Language", "").strip()
    return Parsed([part.line for parts in split for part in parts[::2]], write, left, [("", language)])


def _changes(content: str, begin: int, filled: str) -> list[Change]:
    """What gives the entry that begins at a place the translations that it has in `filled`, polib's writing of it."""
    new = {found[1]: found[2] for found in STRINGS.finditer(filled)}
    own = islice(STRINGS.finditer(content, begin), len(new))
    return [(*found.span(2), new[found[1]]) for found in own if not found[2].strip('" \t\r\n')]


def _header(content: str, filled: str) -> Change:
    """What makes the header name UTF-8. Args: filled: polib's writing of such a header."""
    found = HEADER.search(content)
    if found is None:
        return 0, 0, f"{filled}\n"
    strings = STRINGS.search(content, found.start())
    end = strings.end() if strings else found.end()
    own = content[found.start() : end].replace("\r\n", "\n")
    header = in_utf8(f"{own}\n") or f'msgid ""\n{filled[filled.index("msgstr") :]}'
    return found.start(), end, header.removesuffix("\n")
