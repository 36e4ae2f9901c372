"""What a run says reaches a person whole, and its numbers read like those of an unbroken run."""

import errno
import io
import json
import logging
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.errors import CheckpointError, DataError
from mt.log import Metrics, logger, read_metrics, setup
from mt.progress import Progress, Status

pytestmark = pytest.mark.usefixtures("quiet_again")


# ---------------------------------------------------------------- messages


def test_messages_go_to_stderr_and_stdout_stays_empty(capsys: pytest.CaptureFixture[str]):
    setup()
    logger.info("Reading [bold]data[/bold] %s", "x" * 200)
    logger.warning("Odd.")
    logger.error("Bad.")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Reading [bold]data[/bold] {'x' * 200}\nwarning: Odd.\nerror: Bad.\n"


def test_a_silent_process_says_its_errors_only(capsys):
    setup(silent=True)
    logger.info("at work")
    logger.warning("careful")
    logger.error("that was it")
    assert capsys.readouterr() == ("", "error: that was it\n")


def test_quiet_shows_warnings_only_and_the_file_has_all(tmp_path: Path):
    stream = io.StringIO()
    for _ in range(2):  # the second time neither doubles the lines nor empties the file
        setup(stream, file=tmp_path / "run" / "train.log", quiet=True)
        logger.info("Start")
        logger.warning("Odd")
    assert stream.getvalue() == "warning: Odd\n" * 2
    lines = (tmp_path / "run" / "train.log").read_text().split("\n")
    assert [line.split(" ", 1)[1] for line in lines[:-1]] == ["INFO Start", "WARNING Odd"] * 2
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ", line) for line in lines[:-1])


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError) as caught:
        setup(io.StringIO(), file=tmp_path / "file" / "run" / "train.log")
    assert str(caught.value) == f"`{tmp_path}/file/run/train.log` cannot be written: Not a directory."


def test_a_log_on_a_full_disk_is_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    setup(io.StringIO(), file=tmp_path / "train.log")
    (file,) = (handler for handler in logger.handlers if isinstance(handler, logging.FileHandler))

    def refuse(_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(file, "stream", io.StringIO())
        full.setattr(file.stream, "write", refuse)
        logger.info("Lost")
    logger.info("Kept")
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "train.log").read_text().endswith("INFO Kept\n")


def test_a_reader_that_went_away_does_not_end_the_run(capsys: pytest.CaptureFixture[str]):
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    setup(Closed())
    logger.info("Start")
    logger.info("Still here")
    print("result")
    assert capsys.readouterr() == ("result\n", "")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_full_disk_under_stderr_does_not_end_the_run(terminal: bool, monkeypatch: pytest.MonkeyPatch):
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def isatty(self) -> bool:
            return terminal

    failed = []
    monkeypatch.setattr(logging.Handler, "handleError", lambda _, record: failed.append(record))
    setup(Full())
    with Progress() as progress:
        progress.update(Status(step=1))
        logger.warning("Still here")
        progress.update(Status(step=2))
    assert not failed


def test_a_stream_that_fails_otherwise_is_reported_by_logging(monkeypatch: pytest.MonkeyPatch):
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise ValueError("closed")

    failed = []
    monkeypatch.setattr(logging.Handler, "handleError", lambda _, record: failed.append(record.getMessage()))
    setup(Broken())
    logger.info("Start")
    assert failed == ["Start"]


# ---------------------------------------------------------------- numbers


def write(folder: Path, steps: range, resume: int = 0) -> None:
    with Metrics(folder, step=resume, tensorboard=False) as metrics:
        for step in steps:
            metrics.write("train", step, loss=1 / step)


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path):
    metrics = Metrics(tmp_path, tensorboard=False)
    metrics.write("train", 1, loss=0.1, note="ä\u2028", skipped=float("nan"), nested={"a": [float("inf"), 1]})
    line = {"kind": "train", "step": 1, "loss": 0.1, "note": "ä\u2028", "skipped": None, "nested": {"a": [None, 1]}}
    assert read_metrics(tmp_path / "metrics.jsonl") == [line]
    metrics.close()


@given(st.floats())
def test_floats_come_back_as_they_were(tmp_path_factory, value: float):
    folder = tmp_path_factory.mktemp("run")
    with Metrics(folder, tensorboard=False) as metrics:
        metrics.write("train", 1, value=value)
    back = read_metrics(folder / "metrics.jsonl")[0]["value"]
    assert back == value if value - value == 0 else back is None


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_resumed_run_reads_like_an_unbroken_one(tmp_path: Path, cut: int):
    write(tmp_path / "unbroken", range(1, 11))
    write(tmp_path / "broken", range(1, 9))
    path = tmp_path / "broken" / "metrics.jsonl"
    os.truncate(path, path.stat().st_size - cut)  # killed in the middle of a line
    read_metrics(path)
    write(tmp_path / "broken", range(6, 11), resume=5)
    assert path.read_bytes() == (tmp_path / "unbroken" / "metrics.jsonl").read_bytes()


def test_a_run_that_starts_afresh_drops_the_lines_of_an_attempt_without_a_checkpoint(tmp_path: Path):
    write(tmp_path, range(1, 9))
    write(tmp_path, range(1, 3))
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize("line", ["no", "[]", '{"kind": "train"}', '{"step": "1"}', "[" * 100_000, "\udcff"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line.encode(errors="surrogateescape") + b'\n{"step": 3}\n')
    message = f"`{path}` line 2 must be a JSON object with a step, but is not. hint: remove the line."
    with pytest.raises(DataError) as caught:
        Metrics(tmp_path, tensorboard=False)
    assert str(caught.value) == message


def test_metrics_that_are_not_there_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none.jsonl` cannot be read: No such file or directory\."):
        read_metrics(tmp_path / "none.jsonl")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"run/metrics.jsonl` cannot be written: Not a directory\."):
        Metrics(tmp_path / "file" / "run", tensorboard=False)


@pytest.mark.parametrize("written", [0, 9])
def test_a_full_disk_costs_lines_and_one_warning(tmp_path: Path, written: int, caplog: pytest.LogCaptureFixture):
    metrics = Metrics(tmp_path, tensorboard=False)
    metrics.write("train", 1)
    file = metrics._file

    class Full:
        def write(self, line: bytes) -> int:
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return file.write(line[:written])

        def truncate(self, size: int) -> int:
            return file.truncate(size)

    metrics._file = Full()  # type: ignore[assignment]
    metrics.write("train", 2)
    metrics.write("train", 3)
    metrics._file = file
    metrics.write("train", 4)
    metrics.close()
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 4]
    reason = "the disk is full" if written else "No space left on device"
    expected = f"some numbers could not be written to `{tmp_path}/metrics.jsonl` or TensorBoard: {reason}."
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_tensorboard_shows_an_unbroken_run(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, stop in [(1, 8), (6, 11)]:
        with Metrics(tmp_path, step=start - 1) as metrics:
            for step in range(start, stop):
                metrics.write("train", step, loss=float(step), note="text", none=None, bad=float("nan"))
            metrics.text("samples/0", stop - 1, "hallo")
        metrics.text("samples/0", 99, "after closing")
    shown = EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert [(event.step, event.value) for event in shown.Scalars("train/loss")] == [(n, float(n)) for n in range(1, 11)]
    assert shown.Tags()["scalars"] == ["train/loss"]
    # Its purge knows scalars, not texts: one from before the crash stays, and is soon written again.
    assert [event.step for event in shown.Tensors("samples/0/text_summary")] == [7, 10]
    lines = (tmp_path / "metrics.jsonl").read_text().split("\n")
    assert [json.loads(line)["step"] for line in lines[:-1]] == list(range(1, 11))


def test_a_full_disk_of_tensorboard_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """It writes in a thread of its own, whose error Python would print with its traceback."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(*_: object):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shown = list[threading.ExceptHookArgs]()
    monkeypatch.setattr(threading, "excepthook", shown.append)
    with Metrics(tmp_path) as metrics:
        monkeypatch.setattr(RecordWriter, "write", full)
        for step in range(1, 4):
            metrics.write("train", step, loss=1.0)
            metrics.sync()
        other = threading.Thread(target=full)
        other.start()
        other.join()
    assert [args.thread for args in shown] == [other] and threading.excepthook == shown.append
    said = f"some numbers could not be written to `{tmp_path}/metrics.jsonl` or TensorBoard: No space left on device."
    assert caplog.messages == [said]


def test_before_a_save_all_lines_are_on_the_disk_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    flushed, sync = [], os.fsync
    metrics = Metrics(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: (flushed.append(os.fstat(handle).st_ino), sync(handle)))
    metrics.write("train", 1, loss=2.0)
    assert flushed == []
    metrics.sync()
    assert flushed == [(tmp_path / "metrics.jsonl").stat().st_ino]
    shown = EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert [(event.step, event.value) for event in shown.Scalars("train/loss")] == [(1, 2.0)]
    metrics.close()


def test_a_disk_that_does_not_flush_costs_one_warning(tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture):
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Metrics(tmp_path, tensorboard=False) as metrics:
        monkeypatch.setattr(os, "fsync", refuse)
        metrics.write("train", 1)
        metrics.sync()
        metrics.sync()
    assert caplog.messages == [
        f"some numbers could not be written to `{tmp_path}/metrics.jsonl` or TensorBoard: Input/output error."
    ]


def test_a_run_that_goes_on_never_puts_an_unflushed_file_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a power cut the name of such a file can be there without its lines."""
    write(tmp_path, range(1, 4))
    flushed, replace = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))

    def checked(source: Path, target: Path) -> Path:
        assert source.stat().st_ino in flushed
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", checked)
    write(tmp_path, range(3, 5), resume=2)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


def test_pictures_are_shown_by_number_and_none_is_drawn_for_nobody(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pixels = np.zeros((5, 7, 3), np.uint8)
    with Metrics(tmp_path / "on") as metrics:
        metrics.images("attention", 3, lambda: [pixels, pixels])
    shown = EventAccumulator(str(tmp_path / "on" / "tensorboard"))
    shown.Reload()
    assert shown.Tags()["images"] == ["attention/1", "attention/2"]
    [image] = shown.Images("attention/2")
    assert (image.step, image.height, image.width) == (3, 5, 7)
    with Metrics(tmp_path / "off", tensorboard=False) as metrics:
        metrics.images("attention", 3, lambda: pytest.fail("drawn for nobody"))


def test_tensorboard_that_cannot_begin_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "tensorboard").write_text("in the way")
    with Metrics(tmp_path) as metrics:
        metrics.write("train", 1, loss=2.0)
        metrics.text("samples", 1, "one")
    assert caplog.messages == [
        f"some numbers could not be written to `{tmp_path}/metrics.jsonl` or TensorBoard: File exists."
    ]
    assert [line["loss"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [2.0]


def test_tensorboard_that_fails_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch):
    metrics = Metrics(tmp_path)
    board = metrics._board
    assert board

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(board, "add_scalar", refuse)
    metrics.write("train", 1, loss=1.0)
    metrics.write("train", 2, loss=1.0)
    metrics.close()
    board.close()
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["No space left on device."]
