"""The loop of the verbs that work line by line."""

import errno
import io
import os
import threading
from pathlib import Path

import pytest

from mt.cli.lines import (
    BadLines,
    Line,
    batches,
    count_lines,
    file_lines,
    file_texts,
    lines_of,
    live_batches,
    parallel_texts,
    process,
    results,
    waiting,
)
from mt.errors import DataError
from mt.progress import Waiting
from mt.text.lines import MAX_LINE


def test_only_the_first_line_has_a_byte_order_mark():
    mark = "\ufeff".encode()
    found = lines_of(io.BytesIO(mark + b"a\n" + mark + b"b\n"), "x")
    assert list(found) == [Line("a", b"\n"), Line("\ufeffb", b"\n")]


def test_a_stream_that_cannot_be_read_is_named_and_the_lines_before_it_are_kept(tmp_path):
    class Broken(io.BytesIO):
        def readline(self, size=-1, /):
            return super().readline(size) or self.fail()

        def fail(self):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with (
        pytest.raises(DataError, match=r"^stdin cannot be read: Input/output error\.$"),
        results(tmp_path / "o") as out,
    ):
        process(
            lines_of(Broken(b"a\nb\n"), "stdin"), 5, lambda batch, done: [line.text.encode() for line in batch], out
        )
    assert (tmp_path / "o").read_bytes() == b"ab"


def test_a_file_is_read_as_stdin_is(tmp_path):
    (tmp_path / "x").write_bytes(b"a\r\n\nb")
    assert list(file_lines(str(tmp_path / "x"))) == [Line("a", b"\r\n"), Line("", b"\n"), Line("b", b"")]


def test_batches_know_how_many_items_came_before():
    seen, out = [], io.BytesIO()

    def work(batch, first):
        seen.append((batch, first))
        return [b"%d\n" % item for item in batch]

    shown = []
    process(iter(range(7)), 3, work, out, show=shown.append)
    assert shown == [3, 6, 7]
    assert seen == [([0, 1, 2], 0), ([3, 4, 5], 3), ([6], 6)]
    assert out.getvalue() == b"0\n1\n2\n3\n4\n5\n6\n"


def test_items_before_a_bad_one_are_processed_first():
    def items():
        yield from range(4)
        raise DataError("x:5: no text")

    got = []
    with pytest.raises(DataError, match=r"^x:5: no text$"):
        for batch in batches(items(), 3):
            got.append(batch)
    assert got == [[0, 1, 2], [3]]


def test_live_batches_end_where_the_items_pause_and_hold_no_more_than_their_size():
    answered = threading.Event()

    def items():
        yield from (1, 2)
        answered.wait()  # like a program that reads an answer before it writes on
        yield from range(3, 8)

    found = live_batches(items(), 3)
    first = next(found)
    while sum(map(len, [first])) < 2:  # a slow machine may pause between the two
        first += next(found)
    answered.set()
    rest = list(found)
    assert first == [1, 2] and [item for batch in rest for item in batch] == [3, 4, 5, 6, 7]
    assert max(map(len, rest)) <= 3 and list(live_batches(iter(()), 3)) == []


def test_live_items_before_a_bad_one_are_processed_first():
    def items():
        yield from range(4)
        raise DataError("x:5: no text")

    got = []
    with pytest.raises(DataError, match=r"^x:5: no text$"):
        for batch in live_batches(items(), 3):
            got += batch
    assert got == [0, 1, 2, 3]


def test_texts_of_files(tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    (tmp_path / "one").write_bytes(b"a\r\nb\nc")
    (tmp_path / "two").write_bytes(b"d\n")
    assert file_texts(one) == ["a", "b", "c"] and file_texts(one, 2) == ["a", "b"]
    assert parallel_texts(two, two) == (["d"], ["d"])
    with pytest.raises(
        DataError, match=r"one` has 3 lines, but `.*two` has 1: both must have the same number of lines"
    ):
        parallel_texts(one, two)
    with pytest.raises(DataError, match=r"three` does not exist"):
        file_texts(str(tmp_path / "three"))


def test_two_files_that_are_one_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    pipe = str(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(pipe)
    with pytest.raises(DataError, match=r"pipe` and `.*link` are one pipe, whose lines can be read only once"):
        parallel_texts(pipe, str(tmp_path / "link"))


def test_bad_lines_are_skipped_and_counted_and_as_many_come_out(tmp_path, caplog):
    long = b"x" * (2 * MAX_LINE + 7)
    raw = b"one\n\xe9 bad\r\n" + long + b"\nfour\nfi\0ve\nsix \xff"
    bad = BadLines()
    found = list(lines_of(io.BytesIO(raw), "in", bad))
    assert [line.text for line in found] == ["one", "", "", "four", "", ""]
    assert [line.end for line in found] == [b"\n", b"\r\n", b"\n", b"\n", b"\n", b""]
    bad.report()
    assert caplog.messages == [
        "4 lines skipped and left empty: in:2: byte 1 (0xe9) is not UTF-8; in:3: the line is longer than 1048576 "
        "bytes; in:5: NUL character at byte 3: the file must be UTF-8 text; and 1 more"
    ]
    (tmp_path / "x").write_bytes(raw)
    assert file_texts(str(tmp_path / "x"), bad=BadLines()) == ["one", "", "", "four", "", ""]
    with pytest.raises(DataError, match=r"^in:2: byte 1 \(0xe9\) is not UTF-8"):
        list(lines_of(io.BytesIO(raw), "in"))
    BadLines().report()
    assert len(caplog.messages) == 1


def test_lines_are_counted_before_they_are_read_except_those_of_a_pipe(tmp_path):
    (tmp_path / "x").write_text("a\n\nb")
    (tmp_path / "damaged.gz").write_bytes(b"\x1f\x8b\x08 and no more")
    os.mkfifo(tmp_path / "pipe")
    assert [count_lines(str(tmp_path / name)) for name in ("x", "damaged.gz", "pipe", "missing")] == [3, 0, 0, 0]


@pytest.mark.parametrize(
    ("terminal", "output", "hidden"), [(True, None, True), (True, "x", False), (False, None, False)]
)
def test_no_bar_is_shown_where_the_results_appear(monkeypatch, terminal, output, hidden):
    made = {}

    class Recorded(Waiting):
        def __init__(self, what, **options):
            super().__init__(what, **options)
            made.update(options)

        def show(self, done, total):
            made["shown"] = (done, total)

    monkeypatch.setattr("mt.progress.Waiting", Recorded)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    with waiting("scoring", 9, output and Path(output)) as show:
        show(4)
    assert made == {"hidden": hidden, "shown": (4, 9)}
