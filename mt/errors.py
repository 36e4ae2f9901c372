"""Errors that a user can repair, each with the exit code of its kind.

A message is one sentence that stands alone: it names the file, line or key, says what was expected and what was found.
Its hint says what to type or to do. Any other exception is a bug of mt.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from reprlib import repr as short

SHOWN = 80  # characters of a value in an error


class MtError(Exception):
    """Base of all errors shown to a user, with `message` and `hint` apart and both in `str`. Exit code 1."""

    exit_code = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        """Args: hint: one sentence with what can be typed, in backticks; printed as a paragraph of its own."""
        super().__init__(f"{message} hint: {hint}" if hint else message)
        self.message, self.hint = message, hint


class ConfigError(MtError):
    """A setting, option or command that cannot be used as given. Exit code 2."""

    exit_code = 2


class DataError(MtError):
    """Text that cannot be used as given: missing, damaged, misaligned or empty. Exit code 3."""

    exit_code = 3


class CheckpointError(MtError):
    """A checkpoint, run or model folder that is missing, damaged or does not fit. Exit code 1."""


class StoppedError(MtError):
    """A run that was stopped on request; the same command resumes it. Exit code 75."""

    exit_code = 75


def spelt(value: object) -> str:
    """A value as a user writes it in settings."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value) or "empty"


def json_kind(value: object) -> str:
    """What a value from JSON is, in JSON's words: "an object", "null". Of a type that JSON lacks: its Python name."""
    kinds = {
        type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array",
        dict: "an object",
    }  # fmt: skip
    return kinds.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """A value for an error message, as JSON has it: one printable line, cut if it is long."""
    try:
        text = repr(value[: SHOWN + 1]) if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # a Python caller's
        text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def readable(line: str, most: int = 1500) -> str:
    """One line that is safe to print: control characters of a file or an argument are escaped, a long middle is cut."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", lambda found: ascii(found[0])[1:-1], line)
    return line if len(line) <= most else f"{line[: most // 2]} […] {line[-most // 2 :]}"


def require(condition: bool, key: str, must: str, value: object, *, hint: str = "") -> None:
    """Raise `ConfigError` "`key` must ..., but is value." unless `condition` holds and the value is finite."""
    if not condition:
        raise ConfigError(f"`{key}` must {must}, but is {'null' if value is None else value}.", hint=hint)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"`{key}` must be a finite number, but is {value}.")


def check_texts(**given: Sequence[str]) -> None:
    """Raise `ConfigError` for the first argument of a Python caller that is no list of texts, or has not as many as the
    first one. Args: given: the arguments by their names."""
    counts: dict[str, int] = {}
    for name, texts in given.items():
        wrong = isinstance(texts, str | bytes | Mapping) or not hasattr(texts, "__getitem__")
        if wrong or not hasattr(texts, "__len__"):
            hint = 'write a list, also for one text: `["Good morning."]`.'
            raise ConfigError(f"`{name}` must be a list of strings, but is {short(texts)}.", hint=hint)
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"`{name}` must be a list of strings, but item {number:,} is {short(text)}.")
        counts[name] = len(texts)
        (first, most), found = next(iter(counts.items())), counts[name]
        if found != most:
            raise ConfigError(f"`{name}` must have as many texts as `{first}`, which has {most:,}, but has {found:,}.")


def refuse_beside(key: str, *others: tuple[bool, str]) -> None:
    """Raise `ConfigError` for the first other setting that is given. Args: others: whether it is, and its name."""
    for given, setting in others:
        if given:
            raise ConfigError(f"`{key}` does not go together with `{setting}`.", hint="leave out one of the two.")


def in_short(error: Exception) -> str:
    """The class and the first line of an error; the messages of compilers have hundreds of lines."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def require_package(name: str, what: str, *, package: str = "") -> None:
    """Raise `ConfigError` "`what` needs the package `name`" unless it is installed. Does not import it.

    Args: package: what is installed, where it has another name than the module.
    """
    package = package or name
    if find_spec(name) is None:
        raise ConfigError(f"{what} needs the package `{package}`.", hint=f"install it with `pip install {package}`.")


def counted(number: float, what: str) -> str:
    """ "1 line", "1,240 lines", "0.5 minutes": for nouns whose plural ends in s."""
    shown = f"{number:,.10g}" if isinstance(number, float) else f"{number:,}"
    return f"{shown} {what}{'' if number == 1 else 's'}"
