"""Bytes to lines: the one reader of text files.

Lines end at LF only. Python's text mode also breaks lines at a lone CR, and some string methods at U+2028 and seven
more characters; line N of one language then no longer translates line N of the other. Every fault is an error that
names its line, because a corpus that is silently cut or shifted silently trains a bad model.
"""

import bz2
import codecs
import difflib
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mt.errors import DataError, counted
from mt.files import reason
from mt.text.media import HEAD, check_no_media

MAX_LINE = 1 << 20  # bytes; a longer line is never held in memory as a whole
MAX_RATIO = 200  # of unpacked to packed bytes; text that repeats one sentence comes to some hundred at most
PLENTY = 64 << 20  # bytes that may grow at any ratio
ZSTD_CHUNK = 1 << 8  # bytes of input at a time: each 4 of them can become 128 KiB
TO_UTF8 = (  # from latin1 iconv converts any file, also where that makes nonsense of it
    "convert the file to UTF-8, for example with `iconv -f latin1 -t utf-8 OLD > NEW` if its language is a western "
    "one; old Arabic and Persian text is often in cp1256, Russian in cp1251, Chinese in gb18030, Japanese in cp932."
)
BOM = "\ufeff"
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, OSError, UnicodeError)  # of a file that is read or unpacked
SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a pair, which JSON can spell and UTF-8 cannot
UTF16 = {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
ARCHIVES = {b"PK\3\4": "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # digits of pi or of its root: a text may begin with "BZh", too


def spread(count: int, most: int) -> list[int]:
    """`most` places of `count`, or all, in order and evenly spread: a sample of a file that may be sorted."""
    return [(2 * place + 1) * count // (2 * most) for place in range(most)] if most < count else list(range(count))


def read_lines(path: Path | str) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, plain or compressed, in bounded memory.

    gzip, xz, bzip2 and zstd are recognised by the first bytes, not by the name. One CR before the LF is removed, and
    so is a byte order mark at the start of the file. The last line needs no LF.

    Raises `DataError` for a file that is missing, unreadable or damaged, and, with the line number, for a line that
    is not UTF-8, holds a NUL character or is longer than 1 MiB.
    """
    for number, raw in raw_lines(path):
        yield decode_line(raw, f"{path}:{number}", first=number == 1)


def raw_lines(path: Path | str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, plain or compressed, as bytes with their ends, and their numbers from 1.

    A line longer than `MAX_LINE` is cut, but still too long for `decode_line`. Raises `DataError` for a file that is
    missing, unreadable or damaged, with the number of the last line that could be read, and for a small file that
    unpacks without end.
    """
    number, size = 0, 0
    check_file(path)
    packed = Path(path).stat().st_size if Path(path).is_file() else 0  # 0: a pipe, which has no size
    most = max(PLENTY, MAX_RATIO * packed) if packed else float("inf")
    try:
        with open_text(path) as file:
            check_no_media(path, file.peek(HEAD)[:HEAD])  # pyright: ignore[reportAttributeAccessIssue]
            while raw := file.readline(MAX_LINE + 2):
                number += 1
                size += len(raw)
                if number == 1:
                    _check_is_text(path, raw)
                if size > most:
                    raise too_large(path)
                yield number, raw
    except DAMAGE as error:
        raise unreadable(path, error, number) from error


def _check_is_text(path: Path | str, raw: bytes) -> None:
    """Raise `DataError` if the first line says that a file is an archive, or ends its lines in another way."""
    kind = next((kind for start, kind in ARCHIVES.items() if raw.startswith(start)), "")
    if kind or raw[257:262] == b"ustar":
        raise DataError(
            f"`{path}` is a {kind or 'tar'} archive, but must be text.", hint="unpack it and name the files in it."
        )
    if not raw.endswith(b"\n") and len(re.findall(rb"[^\r\n]\r(?=[^\r\n])", raw)) > 1:
        raise DataError(
            f"`{path}` ends its lines with CR alone, as old programs on the Mac do, but must have LF or CR LF.",
            hint="convert it, for example with `tr '\\r' '\\n' < OLD > NEW`.",
        )


def decode_line(raw: bytes, where: str, *, first: bool = False) -> str:
    """Turn one line of bytes, with or without its line end, into text; `where` names it in errors.

    `first` removes a byte order mark, which may stand only at the start of a file.

    Raises `DataError` as `read_lines` does.
    """
    body = raw.removesuffix(b"\n").removesuffix(b"\r")
    if len(body) > MAX_LINE:
        raise DataError(f"{where}: the line is longer than {MAX_LINE} bytes.", hint="put one sentence on each line.")
    if b"\0" in body:
        wide = 3 * body.count(0) > len(body)
        raise DataError(
            f"{where}: NUL character at byte {body.index(0) + 1}: the file must be UTF-8 text.",
            hint="it looks like UTF-16: convert it, for example with `iconv -f utf-16le -t utf-8 OLD > NEW`." * wide,
        )
    text = decode(body, where)
    return text.removeprefix(BOM) if first else text


def decode(raw: bytes, where: str) -> str:
    """Turn bytes into text; `where` names them. Raises: DataError: for the first byte that is not UTF-8, from 1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} (0x{raw[error.start]:02x})"
        raise DataError(f"{where}: {found} is not UTF-8.", hint=TO_UTF8) from error


def check_file(path: Path | str, named: Iterable[str] = ()) -> None:
    """Raise `DataError` unless `path` exists; it names the nearest existing file, if there is one.

    Args: named: files that are not meant, because they are named beside it.
    """
    path = Path(path)
    try:
        if path.exists():
            return
        names = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else None
    except OSError as error:
        raise unreadable(path, error) from error
    if str(path) == "-":
        raise DataError("`-` names no file.", hint="name one, or `/dev/stdin` for the text of a pipe.")
    if path.is_symlink():
        raise DataError(f"`{path}` is a link to `{path.readlink()}`, which does not exist.")
    if names is None:
        raise DataError(f"`{path}` does not exist: there is no folder `{path.parent}`.")
    taken = {Path(file).name for file in named if Path(file).parent == path.parent}
    near = difflib.get_close_matches(path.name, [name for name in names if name not in taken], n=1)
    if not near and taken:
        raise DataError(f"`{path}` does not exist.", hint="restore it, or name another file.")
    if near:
        raise DataError(f"`{path}` does not exist.", hint=f"did you mean `{path.parent / near[0]}`?")
    raise DataError(f"`{path}` does not exist: no file in `{path.parent}` has a similar name.")


def check_not_one_pipe(first: str, second: str) -> None:
    """Raise `DataError` for two files that belong together line by line and are one pipe, of which a line would go to
    either reader."""
    if Path(first).is_fifo() and Path(second).exists() and Path(first).samefile(second):
        message = f"`{first}` and `{second}` are one pipe, whose lines can be read only once."
        raise DataError(message, hint="write them to a file, or name two files.")


def check_line_counts(first: str, count: int, second: str, other: int) -> None:
    """Raise `DataError` unless two files that belong together line by line have equally many lines."""
    if count != other:
        raise DataError(
            f"`{first}` has {counted(count, 'line')}, but `{second}` has {other:,}: both must have the same number of "
            "lines, because line N of one belongs to line N of the other."
        )


@contextmanager
def open_bytes(path: Path | str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed if its first bytes say that it is compressed."""
    with Path(path).open("rb") as file:
        decompressor = decompressor_for(file.peek(16))
        if decompressor is None:
            yield file
        else:
            with decompressor(file) as inner, io.BufferedReader(inner, 1 << 16) as buffered:
                yield buffered


@contextmanager
def open_text(path: Path | str) -> Iterator[IO[bytes]]:
    """As `open_bytes`, in UTF-8 also where a byte order mark says that the file is in UTF-16."""
    with open_bytes(path) as file:
        head = file.peek(4)[:4]  # pyright: ignore[reportAttributeAccessIssue]
        if head[:2] in UTF16 and head[2:] != b"\0\0":  # with them it is UTF-32
            yield io.BufferedReader(_Stream(_as_utf8(file)), 1 << 16)
        else:
            yield file


class _Stream(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")  # of a block

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            if (block := next(self._blocks, None)) is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _as_utf8(file: IO[bytes]) -> Iterator[bytes]:
    """The text of a UTF-16 file. Raises: UnicodeDecodeError."""
    decoder = codecs.getincrementaldecoder("utf-16")()
    while raw := file.read(1 << 16):
        yield decoder.decode(raw).encode("utf-8")
    decoder.decode(b"", final=True)


def decompressor_for(head: bytes) -> Callable[[IO[bytes]], Any] | None:
    """What opens a file with these first bytes; None for plain text."""
    if head.startswith(b"\x1f\x8b"):
        return lambda file: gzip.GzipFile(fileobj=file)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _open_zstd
    return bz2.BZ2File if BZIP2.match(head) else None


def _open_zstd(file: IO[bytes]) -> _Stream:
    """Raises: DataError: when the package is not installed."""
    try:
        import zstandard
    except ImportError as error:
        raise DataError(
            f"`{file.name}` is compressed with zstd, which needs the package `zstandard`.",
            hint="install it with `pip install zstandard`.",
        ) from error
    return _Stream(_unpacked(file, zstandard))


def _unpacked(file: IO[bytes], zstandard: Any) -> Iterator[bytes]:
    """All frames of a zstd file in turn. Raises: EOFError: for one that is cut short, of which the package's own reader
    says nothing; OSError: for one that is damaged."""
    frame = None
    while raw := file.read(ZSTD_CHUNK):
        while raw:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(raw)
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            raw = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the last zstd frame is cut short")


def too_large(path: Path | str) -> DataError:
    """The error for a small file that unpacks without end."""
    return DataError(
        f"`{path}` grows more than {MAX_RATIO}-fold when unpacked, as no text does.",
        hint="if you trust it, unpack it first.",
    )


def unreadable(path: Path | str, error: Exception, number: int | None = None) -> DataError:
    """The error for a file that cannot be read any further, after `number` lines if they are known."""
    if isinstance(error, OSError) and error.errno:
        return DataError(f"`{path}` cannot be read: {reason(error)}.")
    after = f" after line {number}" if number is not None else ""
    message = f"`{path}` is damaged or cut short{after} ({error})."
    return DataError(message, hint="copy or download it again.")
