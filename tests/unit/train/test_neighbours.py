"""What a run says of other programs; the meter is a stand-in, so that no test hangs on a machine's load."""

import logging

import pytest

from mt.compute.host import ProcessorTime
from mt.train.neighbours import CHECK_EVERY, Neighbours

BUSY = ProcessorTime(wall=100, used=90, waited=60)
QUIET = ProcessorTime(wall=100, used=165, waited=3)


class Meter:
    def __init__(self, time):
        self.time = time

    def read(self):
        return self.time


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "mt")
    return caplog


def test_one_line_says_once_how_much_of_the_machine_the_process_gets(said):
    neighbours = Neighbours(2, Meter(BUSY))
    for _ in range(100):
        neighbours.add(1.5)
    assert said.messages == ["this process gets 0.9 of 2 cores; other programs are busy, and training takes longer"]


def test_nothing_is_logged_early_on_a_quiet_machine_or_without_data(said):
    Neighbours(2, Meter(BUSY)).add(CHECK_EVERY - 1)
    for time in (QUIET, None):
        neighbours = Neighbours(2, Meter(time))
        neighbours.add(CHECK_EVERY)
        assert neighbours.report() is None
    assert not said.messages


def test_a_neighbour_that_comes_later_is_noticed(said):
    meter = Meter(QUIET)
    neighbours = Neighbours(2, meter)
    neighbours.add(CHECK_EVERY)
    meter.time = BUSY
    neighbours.add(1)
    assert not said.messages
    neighbours.add(CHECK_EVERY)
    assert len(said.messages) == 1


def test_a_run_without_an_update_has_no_estimate():
    assert Neighbours(2, Meter(BUSY)).report() is None


def test_the_report_estimates_the_updates_of_a_quiet_machine():
    neighbours = Neighbours(2, Meter(BUSY))
    for _ in range(1051):
        neighbours.add(0.01)
    assert neighbours.report() == (
        "Other programs took part of the processor: a quiet machine makes about 2,300 updates in this time instead "
        "of 1,051; a limit 2.2 times as long (`train.minutes`) makes up for it."
    )
