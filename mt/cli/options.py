"""What the ordinary verbs share: a parser whose complaints are ours, and kinds of numbers."""

import argparse
from typing import NoReturn

from mt.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `ConfigError` instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; `{self.prog} --help` shows what it takes.")


def positive_int(text: str) -> int:
    number = int(text) if text.strip().lstrip("+").isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text}")
    return number


def number_from_0(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, but is {text}")
    return number


def resamples(text: str) -> int:
    number = positive_int(text)
    if number < 40:
        raise argparse.ArgumentTypeError(f"must be at least 40, or nothing is left to cut off, but is {text}")
    return number
