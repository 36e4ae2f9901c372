"""Documents that are zip archives of XML: docx, pptx, xlsx, odt, epub.

Parts without text to translate are copied bit for bit, whatever they are: pictures, macros, references to other files.
Nothing is unpacked to a folder and no reference is followed.
"""

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence

from mt.documents.parsed import MAX_BYTES, Parsed
from mt.errors import DataError
from mt.text.archive import MAX_RATIO, check_members, damage_explained

PLENTY = 16 << 20  # bytes that may grow at any ratio
NUMBER = re.compile(r"\d+(?=\.xml$)")  # some editors number parts of which there is one, such as `word/document2.xml`
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Office before 2007, and encrypted documents of any Office since

Read = Callable[[str, bytes, Mapping[str, bytes]], Parsed | None]
COPIED = Parsed([], lambda said: b"")  # stands for a part without text


def read_package(data: bytes, must_have: str, read: Read, what: str) -> Parsed:
    """A document that is an archive.

    Args:
        must_have: the name of a part that each document of the format has, without a number.
        read: takes the name and the content of a part, and all parts; returns None for what is copied.
        what: the format, for errors.
    Raises: DataError: for an archive that is damaged or hostile, or of another format.
    """
    if data.startswith(OLD_OFFICE):
        message = f"this is not {what}, but one with a password, or of the time before Office 2007."
        raise DataError(message, hint="open it and save it anew, without a password.")
    parts = _members(data, what)
    contents = {info.filename: content for info, content in parts}
    if must_have not in (NUMBER.sub("", name) for name in contents):
        raise DataError(f"this is not {what}: the archive has no {must_have}.")
    if b"encryption-data" in contents.get("META-INF/manifest.xml", b""):
        raise DataError("the document is encrypted.", hint="save it without a password first.")
    parsed = [read(name, content, contents) or COPIED for name, content in contents.items()]

    def write(said: Sequence[str]) -> bytes:
        given, found = iter(said), list[bytes]()
        for (_, content), one in zip(parts, parsed, strict=True):
            translations = [next(given) for _ in one.texts]
            found.append(content if translations == one.texts else one.write(translations))
        return data if found == [content for _, content in parts] else _packed(parts, found)

    def rename(written: bytes, src: str, tgt: str) -> bytes:
        members = _members(written, what)
        pairs = zip(members, parsed, strict=True)
        return _packed(members, [one.rename(part, src, tgt) if one.rename else part for (_, part), one in pairs])

    named = dict.fromkeys(pair for one in parsed for pair in one.languages)
    texts = [text for one in parsed for text in one.texts]
    return Parsed(texts, write, languages=list(named), rename=rename if any(one.rename for one in parsed) else None)


def _packed(members: Sequence[tuple[zipfile.ZipInfo, bytes]], contents: Sequence[bytes]) -> bytes:
    """The archive with other contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for (info, _), content in zip(members, contents, strict=True):
            archive.writestr(_copied(info), content)
    return out.getvalue()


def _copied(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """What a member says of itself, without what belongs to its old place."""
    found = zipfile.ZipInfo(info.filename, info.date_time)
    for name in ("compress_type", "comment", "create_system", "external_attr", "internal_attr"):
        setattr(found, name, getattr(info, name))
    return found


def _members(data: bytes, what: str) -> list[tuple[zipfile.ZipInfo, bytes]]:
    fault = f"this is not {what}, or it is damaged"
    with damage_explained(fault), zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        _check(members, len(data))
        return [(info, _content(archive, info)) for info in members]


def _check(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Raises: DataError: for an archive that a word processor would not have written."""
    check_members(members, "the archive")
    total = sum(info.file_size for info in members)
    if total > MAX_BYTES or total > max(PLENTY, MAX_RATIO * size):
        raise DataError(f"the archive unpacks to {total:,} bytes, which is too much for its {size:,} bytes.")
    for info in members:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            message = f"{info.filename!r:.80} is compressed in a way that is not read."
            raise DataError(message, hint="save the document anew.")
        if info.flag_bits & 1:
            raise DataError("the document is encrypted.", hint="save it without a password first.")


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member, which must not be larger than it says."""
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise DataError(f"the archive is damaged: {info.filename!r:.80} has another size than it says.")
    return content
