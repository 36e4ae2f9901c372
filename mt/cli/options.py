"""What the ordinary verbs share: a parser whose complaints are ours, and kinds of numbers."""

import argparse
import re
from difflib import get_close_matches
from typing import Any, NoReturn

from mt.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `ConfigError` instead of printing its usage, and names the nearest option.

    `otherwise` is what to say of an option that resembles none.
    """

    def __init__(self, *, otherwise: str = "", **given: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **given)
        self.otherwise = otherwise

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}{self.advice(message)}; `{self.prog} --help` shows what it takes.")

    def advice(self, message: str) -> str:
        """In brackets, what may have been meant by an option that is unknown."""
        unknown = re.match(r"unrecognized arguments: (?:.* )?(--[^\s=]+)", message)
        if not unknown:
            return ""
        near = get_close_matches(unknown[1], self._option_string_actions, n=1, cutoff=0.75)
        said = f"did you mean {near[0]}?" if near else self.otherwise
        return f" ({said})" if said else ""


def positive_int(text: str) -> int:
    number = int(text) if text.strip().lstrip("+").isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text}")
    return number


def whole_from_0(text: str) -> int:
    number = int(text) if text.strip().lstrip("+").isdigit() else -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, but is {text}")
    return number


def number_from_0(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, but is {text}")
    return number


def positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, but is {text}")
    return number


def share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, but is {text}")
    return number


def resamples(text: str) -> int:
    number = int(text) if text.strip().lstrip("+").isdigit() else -1
    if number != 0 and number < 40:
        raise argparse.ArgumentTypeError(f"must be 0 (no intervals) or at least 40, but is {text}")
    return number
