"""Progress: the line of a training run, and the bar of everything else that takes long."""

import io
import itertools
import re
import sys
import threading

import pytest
from rich.console import Console

from mt import log
from mt.log import logger, setup
from mt.progress import Progress, Status, Wait, Waiting, duration, elapsing

pytestmark = pytest.mark.usefixtures("quiet_again")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


FULL = Status(
    step=1240,
    total_steps=5000,
    epoch=3.14,
    loss=2.4134,
    lr=1.2e-3,
    src_tokens_per_s=4310.2,
    tgt_tokens_per_s=4290.4,
    packing=0.981,
    skipped=2,
    best="BLEU 31.2 @ 1000",
    patience_left=4,
    eta_s=432.4,
)


def test_render_shows_what_there_is():
    assert FULL.line() == (
        "step 1,240/5,000  epoch 3.1  loss 2.413  lr 1.2e-03  4,310+4,290 tok/s  packed 98%  skipped 2  "
        "best BLEU 31.2 @ 1000  patience 4  eta 7m12s"
    )
    assert Status(step=1).line() == "step 1"
    assert Status(step=0, total_steps=9, loss=float("nan"), eta_s=float("inf"), patience_left=0).line() == (
        "step 0/9  loss nan  patience 0  eta ?"
    )


@pytest.mark.parametrize(
    ("room", "line"),
    [
        (
            120,
            "step 1,240/5,000  epoch 3.1  loss 2.413  4,310+4,290 tok/s  skipped 2  best BLEU 31.2 @ 1000  patience 4  "
            "eta 7m12s",
        ),
        (100, "step 1,240/5,000  epoch 3.1  loss 2.413  skipped 2  best BLEU 31.2 @ 1000  eta 7m12s"),
        (62, "step 1,240/5,000  loss 2.413  skipped 2  eta 7m12s"),
        (1, "step 1,240/5,000  loss 2.413  skipped 2  eta 7m12s"),
    ],
)
def test_a_narrow_terminal_shows_what_one_needs_most(room, line):
    assert FULL.line(room) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (432, "7m12s"), (3599.9, "1h00m"), (11_100, "3h05m"),
        (86_400, "1d00h"), (187_200, "2d04h"), (-1, "?"), (float("nan"), "?"), (float("inf"), "?"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds: float, text: str):
    assert duration(seconds) == text


def test_elsewhere_than_on_a_terminal_a_line_comes_every_ten_seconds_and_the_last_always():
    stream, clock = io.StringIO(), Clock()
    setup(stream)
    with Progress(clock=clock) as progress:
        for step in range(1, 26):
            progress.update(Status(step=step))
            clock.now += 1
        logger.info("Message")
    assert stream.getvalue() == "step 1\nstep 11\nstep 21\nMessage\nstep 25\n"


def test_the_last_line_is_not_said_twice():
    stream = io.StringIO()
    with Progress(Console(file=stream), every=0) as progress:
        progress.update(Status(step=1))
    assert stream.getvalue() == "step 1\n"


def test_the_line_tells_of_several_processes():
    rates = {"src_tokens_per_s": 10.0, "tgt_tokens_per_s": 20.0}
    assert Status(step=1, processes=4, **rates).line() == "step 1  10+20 tok/s  on 4 processes"
    assert Status(step=1, processes=1, **rates).line() == "step 1  10+20 tok/s"


def test_no_progress_when_quiet():
    stream = io.StringIO()
    setup(stream, quiet=True)
    with Progress(every=0) as progress:
        progress.update(FULL)
    assert stream.getvalue() == ""


def test_progress_without_setup_goes_to_stderr(capsys: pytest.CaptureFixture[str]):
    with Progress() as progress:
        progress.update(Status(step=1))
    assert capsys.readouterr() == ("", "step 1\n")


def screen(text: str) -> list[str]:
    """What a terminal shows after `text`: just enough of one for what rich writes."""
    rows, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n|\r", text):
        if token == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif token == "\r":
            column = 0
        elif token.endswith("A") and len(token) > 1:
            row -= int(token[2:-1] or 1)
        elif token == "\x1b[2K":
            rows[row] = ""
        elif not token.startswith("\x1b"):
            rows[row] = rows[row][:column].ljust(column) + token + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows if line.strip()]


@pytest.mark.parametrize("width", [200, 60])
def test_on_a_terminal_messages_appear_above_one_live_line(width: int, monkeypatch: pytest.MonkeyPatch):
    stream, clock = io.StringIO(), Clock()
    setup(stream)
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(log.console_handler(), "console", console)
    stdout = sys.stdout
    with Progress(clock=clock) as progress:
        assert sys.stdout is stdout
        for step in range(5):
            logger.info("Message %d", step)
            progress.update(
                Status(step=step, total_steps=5, done=step / 5, best="BLEU 31.2 @ 1000", loss=2.0, patience_left=4)
            )
            clock.now += 0.06  # every second one is too soon
        *above, last = screen(stream.getvalue())
        if width == 200:
            assert above == [f"Message {step}" for step in range(5)]
            assert last.endswith("step 4/5  loss 2.000  best BLEU 31.2 @ 1000  patience 4")
            assert last.startswith("━") and "step 3" not in stream.getvalue()
        else:
            assert last == "━━━━━━━━━━━━╸     step 4/5  loss 2.000"
    assert screen(stream.getvalue()) == [
        *(f"Message {step}" for step in range(5)),
        "step 4/5  loss 2.000  best BLEU 31.2 @ 1000  patience 4",
    ]


def test_a_live_line_without_an_end_has_no_bar():
    stream = io.StringIO()
    with Progress(Console(file=stream, force_terminal=True, width=80, color_system=None)) as progress:
        progress.update(Status(step=7))
        assert screen(stream.getvalue()) == ["step 7"]


# ---------------------------------------------------------------- waiting


def terminal(stream: io.StringIO) -> Console:
    return Console(file=stream, force_terminal=True, width=80, color_system=None)


def test_a_terminal_shows_the_share_and_the_time_left_after_a_second_and_nothing_remains():
    stream, clock = io.StringIO(), Clock()
    with Waiting("translating", console=terminal(stream), clock=clock) as wait:
        wait.show(1, 8)
        assert stream.getvalue() == ""
        clock.now = 30
        wait.show(2, 8)
        assert screen(stream.getvalue())[-1].endswith("translating 25%  eta 1m30s")
        clock.now = 40
        wait.show(1, 8)  # a second pass over some of it
        assert screen(stream.getvalue())[-1].endswith("translating 25%  eta 2m00s")
    assert screen(stream.getvalue()) == []


def test_a_bar_below_that_of_a_run_leaves_the_run_as_it_is():
    stream, clock = io.StringIO(), Clock()
    console = terminal(stream)
    with Progress(console, clock=clock) as progress:
        progress.update(Status(step=7))
        with Waiting("validating", console=console, clock=clock) as wait:
            clock.now = 2
            wait.show(1, 2)
            assert screen(stream.getvalue())[-2:] == ["step 7", screen(stream.getvalue())[-1]]
            assert screen(stream.getvalue())[-1].endswith("validating 50%  eta 2s")
        clock.now = 3
        progress.update(Status(step=8))
        assert screen(stream.getvalue()) == ["step 8"]


@pytest.mark.parametrize(
    ("options", "lines"), [({"plain": True}, "validating 50%  eta 11s\nvalidating 90%  eta 2s\n"), ({}, "")]
)
def test_elsewhere_long_waits_of_a_run_have_plain_lines_and_others_none(options, lines):
    stream, clock = io.StringIO(), Clock()
    with Waiting("validating", console=Console(file=stream), clock=clock, **options) as wait:
        for second, done in ((9, 45), (11, 50), (12, 60), (21, 90), (23, 100)):
            clock.now = second
            wait.show(done, 100)
    assert stream.getvalue() == lines


def test_what_is_hidden_or_empty_shows_nothing():
    stream, clock = io.StringIO(), Clock()
    with Waiting("aligning", hidden=True, console=terminal(stream), clock=clock) as wait:
        clock.now = 2
        wait.show(1, 2)
    assert stream.getvalue() == ""
    with Waiting("aligning", console=terminal(stream), clock=clock) as wait:
        clock.now = 4
        wait.show(0, 0)
        assert screen(stream.getvalue())[-1].endswith("aligning 0%  eta ?")


def test_a_wait_has_one_line():
    assert Wait("scoring", 0.125, 61).line() == "scoring 12%  eta 1m01s"


def test_items_show_their_share_or_where_their_number_is_not_known_how_many_there_were():
    for total, shown in ((8192, "reading 25%  eta 1m30s"), (None, "reading: 2,048 pairs  30s")):
        stream, clock, seen = io.StringIO(), Clock(), []
        with Waiting("reading", console=terminal(stream), clock=clock) as wait:
            for item in wait.each(range(8192), total):
                clock.now = 30
                seen.append(item)
                if item == 2048:
                    assert screen(stream.getvalue())[-1].endswith(shown)
        assert seen == [*range(8192)] and screen(stream.getvalue()) == []


class Told(io.StringIO):
    """A stream that tells when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str, /) -> int:
        count = super().write(text)
        if "training" in self.getvalue():
            self.written.set()
        return count


def test_a_call_that_cannot_report_shows_the_time_so_far_and_a_failure_passes():
    stream, seconds = Told(), itertools.count(0, 20)
    with (
        pytest.raises(ZeroDivisionError),
        elapsing("training", plain=True, console=Console(file=stream), clock=lambda: next(seconds), every=0.001),
    ):
        assert stream.written.wait(60)
        raise ZeroDivisionError
    assert stream.getvalue().startswith("training  20s\n")
    quiet = Told()
    with elapsing("training", console=Console(file=quiet), clock=lambda: next(seconds), every=0.001):
        pass
    assert quiet.getvalue() == ""
