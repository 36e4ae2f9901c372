"""Hydra's `--info` writes to a log handler of its own, which would outlive the stream that it was made on."""

import logging

import pytest


@pytest.fixture(autouse=True)
def root_log_as_it_was():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
