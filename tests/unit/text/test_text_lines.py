"""Bytes to lines: LF only, every fault named with its line."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import threading
import tracemalloc
from itertools import pairwise

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mt.errors import DataError
from mt.text.lines import MAX_LINE, check_file, decode_line, read_lines, spread

PACK = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstandard.ZstdCompressor().compress}


@pytest.fixture
def write(tmp_path):
    def write(raw: bytes, name: str = "a.en") -> str:
        (tmp_path / name).write_bytes(raw)
        return str(tmp_path / name)

    return write


def has_few_cr(text: str) -> bool:
    """Whether a text cannot be one whose lines end with CR alone, which is refused."""
    return "\n" in text or text.count("\r") < 3


def expected(raw: bytes) -> list[str]:
    lines = raw.split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    texts = [line.removesuffix(b"\r").decode() for line in lines]
    return [text.removeprefix("\ufeff") if n == 0 else text for n, text in enumerate(texts)]


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(has_few_cr))
def test_lines_are_what_lf_parts(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes(text.encode())
    assert list(read_lines(path)) == expected(text.encode())


@given(lines=st.lists(st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]))))
def test_as_many_lines_out_as_in(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    assert len(list(read_lines(path))) == len(lines)


def test_other_line_breaks_stay_inside_the_line(write):
    text = "a\rb\x0bc\x0cd\x1ce\x85f\u2028g\u2029h"
    assert list(read_lines(write(f"{text}\r\n{text}".encode()))) == [text, text]


def test_only_one_carriage_return_goes(write):
    assert list(read_lines(write(b"a\r\r\nb\r"))) == ["a\r", "b"]


def test_byte_order_mark_goes_at_the_start_of_the_file_only(write):
    assert list(read_lines(write("\ufeff\ufeffa\n\ufeffb\n".encode()))) == ["\ufeffa", "\ufeffb"]


def test_empty_file_has_no_lines(write):
    assert list(read_lines(write(b""))) == []


@pytest.mark.parametrize("suffix", PACK)
def test_compression_is_known_by_content(write, suffix):
    raw = "".join(f"línea {n}\n" for n in range(5000)).encode()
    assert list(read_lines(write(PACK[suffix](raw), "a.en"))) == expected(raw)
    assert list(read_lines(write(raw, f"b.{suffix}"))) == expected(raw)


@pytest.mark.parametrize("suffix", PACK)
def test_all_members_of_a_compressed_file_are_read(write, suffix):
    assert list(read_lines(write(PACK[suffix](b"a\nb") + PACK[suffix](b"c\n")))) == ["a", "bc"]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_truncated_compressed_file_is_no_short_corpus(write, suffix, share):
    packed = PACK[suffix]("".join(f"{n * n}\n" for n in range(20000)).encode())
    path = write(packed[: int(len(packed) * share)])
    with pytest.raises(DataError, match=r"a\.en` is damaged or cut short after line \d+ \("):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", PACK)
def test_damaged_compressed_file(write, suffix):
    packed = bytearray(PACK[suffix]("".join(f"{n * n}\n" for n in range(20000)).encode()))
    middle = len(packed) // 2
    packed[middle : middle + 40] = bytes(40)
    path = write(bytes(packed))
    with pytest.raises(DataError, match=r"a\.en(` is damaged|:\d+: )"):
        list(read_lines(path))


def test_text_that_begins_like_bzip2(write):
    assert list(read_lines(write(b"BZh9 is no compression\n"))) == ["BZh9 is no compression"]


def test_zstd_needs_its_package(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(
        DataError, match=r"a\.en` is compressed with zstd, .* hint: install it with `pip install zstandard`\."
    ):
        list(read_lines(write(PACK["zst"](b"a\n"))))


def test_invalid_utf8_is_named_by_file_line_and_byte(write):
    path = write(b"fine\n\xef\xbb\xbfcaf\xe9 au lait\n")
    with pytest.raises(
        DataError, match=r"a\.en:2: byte 7 \(0xe9\) is not UTF-8\. hint: convert the file to UTF-8"
    ) as no:
        list(read_lines(path))
    assert no.value.hint.endswith("in cp1256, Russian in cp1251, Chinese in gb18030, Japanese in cp932.")


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1256", "كتاب"), ("cp1251", "книга"), ("gb18030", "书"), ("cp932", "本です")]
)
def test_the_encodings_that_the_hint_names_are_known_to_iconv(write, encoding, text):
    path = write(f"{text}\n".encode(encoding))
    assert subprocess.run(["iconv", "-f", encoding, "-t", "utf-8", path], capture_output=True, check=True).stdout == (
        f"{text}\n".encode()
    )


def test_byte_counts_include_the_byte_order_mark(write):
    path = write(b"\xef\xbb\xbf\xff\n")
    with pytest.raises(DataError, match=r"a\.en:1: byte 4 \(0xff\)"):
        list(read_lines(path))


def test_nul_is_named_by_line(write):
    path = write(b"fine\nnot\0fine\n")
    with pytest.raises(DataError, match=r"a\.en:2: NUL character at byte 4"):
        list(read_lines(path))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_longest_line(write, end):
    assert [len(line) for line in read_lines(write(b"x" * MAX_LINE + end))] == [MAX_LINE]
    path = write(b"fine\n" + b"x" * (MAX_LINE + 1) + end)
    with pytest.raises(DataError, match=r"a\.en:2: the line is longer than 1048576 bytes"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", PACK)
def test_endless_line_is_refused_in_little_memory(write, suffix):
    path = write(PACK[suffix](bytes([120]) * (64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"a\.en:1: the line is longer than"):
            list(read_lines(path))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_missing_file_names_the_nearest(write, tmp_path):
    write(b"", "train.en")
    with pytest.raises(DataError, match=r"trian\.en` does not exist. hint: did you mean `.*train\.en`\?"):
        list(read_lines(tmp_path / "trian.en"))
    with pytest.raises(DataError, match=r"^`-` names no file\. hint: name one, or `/dev/stdin` for the text of a p"):
        check_file("-", ["-", "a.de"])
    with pytest.raises(DataError, match=r"zzzzz` does not exist: no file in `.*` has a similar name\."):
        list(read_lines(tmp_path / "zzzzz"))
    with pytest.raises(DataError, match=r"x` does not exist: there is no folder `.*nowhere`\."):
        list(read_lines(tmp_path / "nowhere" / "x"))


def test_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match=r"` cannot be read: Is a directory\."):
        list(read_lines(tmp_path))


def test_impossible_name(tmp_path):
    with pytest.raises(DataError, match=r"xxx` cannot be read: File name too long\."):
        check_file(tmp_path / ("x" * 5000))


def test_decode_line_takes_lines_with_and_without_end():
    assert decode_line(b"a b\r\n", "stdin:1") == decode_line(b"a b", "stdin:1") == "a b"
    assert decode_line("\ufeffa".encode(), "stdin:1") == "\ufeffa"
    assert decode_line("\ufeffa".encode(), "stdin:1", first=True) == "a"
    with pytest.raises(DataError, match=r"^stdin:7: byte 1 \(0xff\) is not UTF-8"):
        decode_line(b"\xff\n", "stdin:7")


@pytest.mark.parametrize("suffix", PACK)
def test_a_small_file_that_unpacks_without_end_is_refused(write, suffix, monkeypatch):
    monkeypatch.setattr("mt.text.lines.PLENTY", 1 << 20)
    path = write(PACK[suffix](b"a b c\n" * (1 << 20)))
    with pytest.raises(
        DataError, match=r"a\.en` grows more than 200-fold when unpacked, as no text does\. hint: if you"
    ):
        list(read_lines(path))
    few = b"".join(b"%d a b c\n" % n for n in range(200_000))
    assert len(list(read_lines(write(PACK[suffix](few))))) == 200_000


def test_a_pipe_has_no_size_to_compare_with(tmp_path, monkeypatch):
    monkeypatch.setattr("mt.text.lines.PLENTY", 10)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(gzip.compress(b"a b c\n" * 5000)))
    writer.start()
    assert len(list(read_lines(tmp_path / "pipe"))) == 5000
    writer.join()


@pytest.mark.parametrize(
    ("count", "most", "places"),
    [(9, 3, [1, 4, 7]), (10, 4, [1, 3, 6, 8]), (3, 3, [0, 1, 2]), (2, 5, [0, 1]), (0, 2, []), (5, 1, [2])],
)
def test_spread(count, most, places):
    assert spread(count, most) == places


@given(st.integers(0, 500), st.integers(1, 500))
def test_spread_places_are_in_order_and_leave_equal_gaps(count, most):
    places = spread(count, most)
    assert len(places) == min(count, most) and all(0 <= place < count for place in places)
    gaps = [after - before for before, after in pairwise(places)]
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PK\3\4...", r"` is a zip archive, but must be text\. hint: unpack it and name the files in it\.$"),
        (b"7z\xbc\xaf\x27\x1c\0", r"` is a 7z archive, but must be text\."),
        (gzip.compress(b"name".ljust(257, b"\0") + b"ustar\x0000", mtime=0), r"` is a tar archive, but must be text\."),
        (b"one\rtwo\rthree", r"` ends its lines with CR alone, as .* hint: convert it, for example with `tr '\\r' "),
        ("one\ntwo".encode("utf-16-le"), r":1: NUL character at byte 2: .* hint: it looks like UTF-16: convert it"),
        (b"one line\0\n", r":1: NUL character at byte 9: the file must be UTF-8 text\.$"),
    ],
    ids=["zip", "7z", "packed tar", "CR", "UTF-16", "NUL"],
)
def test_what_is_no_text_is_said_by_its_first_bytes(tmp_path, raw, message):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        list(read_lines(tmp_path / "a"))


def test_a_lone_cr_inside_lines_stays(tmp_path):
    (tmp_path / "a").write_bytes(b"a\rb\rc\nd\r\n")
    assert list(read_lines(tmp_path / "a")) == ["a\rb\rc", "d"]


def test_a_link_to_nothing_is_said(tmp_path):
    (tmp_path / "a.en").symlink_to("moved.en")
    with pytest.raises(DataError, match=r"a\.en` is a link to `moved\.en`, which does not exist\.$"):
        check_file(tmp_path / "a.en")
