"""What the verbs share: a parser that raises our errors, types of numbers, stdin and stdout, checks of output files."""

import argparse
import contextlib
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar, get_args, get_type_hints

from mt.config.decode import COUNT, SHARE, WIDTH, Bound, options_of
from mt.errors import ConfigError
from mt.files import explained, obstacle

N = TypeVar("N", int, float)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `ConfigError` instead of printing its usage, and names the nearest option.

    `otherwise`: the advice for an unknown option that resembles no known one; `surplus`: for a word too many; `files`:
    for files that stand alone, the options that name them, one text for each way, such as "--source {} --target {}".
    """

    def __init__(self, *, otherwise: str = "", surplus: str = "", files: Sequence[str] = (), **given: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **given)
        self.otherwise, self.surplus, self.files = otherwise, surplus, files
        self.words: Sequence[str] = ()  # of the line
        self.given: dict[str, Any] = {}  # the options of the line that have had their value
        for name in (None, "store"):
            self.register("action", name, Once)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.given.clear()
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> argparse.Namespace:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse, but options may stand between the other words, and an empty value is an error: it usually comes
        from a shell variable that is not set."""
        self.refuse_empty(args)
        return self.parse_intermixed_args(args, namespace)

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.words = args or ()
        self.given.clear()  # of an earlier line; from Python 3.12.8 on this does not call `parse_known_args`
        return super().parse_intermixed_args(args, namespace)

    def refuse_empty(self, args: Sequence[str]) -> None:
        """Raises: ConfigError: for an empty word of a command line, and an option with an empty value."""
        for before, text in pairwise(["", *args]):
            if not text or (text.startswith("--") and text.find("=") == len(text) - 1):
                option = text.removesuffix("=") or (before if before.startswith("-") else "an argument")
                self.error(f"{option} has an empty value (is a variable not set?)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """The choices in the words of settings: argparse's differ between versions of Python, and name no nearest."""
        if action.choices is None or value in action.choices:
            return
        known = [*map(str, action.choices)]
        near = get_close_matches(str(value), known, n=1)
        raise ConfigError(
            f"{'/'.join(action.option_strings) or f'the word behind `{self.prog}`'} must be one of {', '.join(known)}, "
            f"but is {value}.",
            hint=f"did you mean `{near[0]}`?" if near else self.usual_advice,
        )

    @property
    def usual_advice(self) -> str:
        return f"`{self.prog} --help` lists the options."

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}.", hint=self.advice(message) or self.usual_advice)

    def advice(self, message: str) -> str:
        """The known option that an unknown one resembles, or the line with the options that its files need."""
        if dashed := self._dashed(message):
            return f"a word that begins with a dash is written as `{shlex.quote(dashed)}`."
        unknown = re.match(r"unrecognized arguments: (?:.* )?(--[^\s=]+)", message)
        if not unknown:
            if re.match("unrecognized|the following|one of the arg", message) and (line := self._with_options()):
                return line
            return self.surplus if re.match(r"unrecognized arguments: [^-]", message) else ""
        near = get_close_matches(unknown[1], self._option_string_actions, n=1, cutoff=0.75)
        return f"did you mean `{near[0]}`?" if near else self.otherwise

    def _dashed(self, message: str) -> str:
        """What is written in place of a word that was taken for an option: it is a value, or the name of a file."""
        values = re.match(r"argument (\S+): expected", message)
        options = values[1].split("/") if values else []
        for before, word in pairwise(["", *self.words]):
            name = word.partition("=")[0]
            if word[:1] != "-" or word == "-" or name in self._option_string_actions:
                continue
            if before in options and (word[:2] != "--" or Path(word).is_file()):
                return f"{before}={word}"
            if message.startswith("unrecognized") and Path(word).is_file():
                return f"./{word}"
        return ""

    def _with_options(self) -> str:
        words = pairwise(["", *self.words])
        alone = [word for before, word in words if before[:1] != "-" and Path(word).is_file()]
        ways = [way for way in self.files if way.count("{}") == len(alone)]
        if not ways:
            return ""
        others = [shlex.quote(word) for word in self.words if word not in alone]
        return f"did you mean `{' '.join([self.prog, *others, ways[0].format(*map(shlex.quote, alone))])}`?"


class Once(argparse.Action):
    """Keeps the value of an option, and refuses a second one, of which argparse would keep the last. The action of
    every option of a `Parser` that names no other."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if option_string and isinstance(parser, Parser):
            if self.dest in parser.given and self.nargs in {"+", "*"}:
                parser.error(f"{option_string} is given twice; write all its values behind one {option_string}")
            if self.dest in parser.given:
                both = " and ".join(map(typed, (parser.given[self.dest], values)))
                parser.error(f"{option_string} takes one value, but is given {both}; leave out one of them")
            parser.given[self.dest] = values
        setattr(namespace, self.dest, values)


class Switch(argparse.BooleanOptionalAction):
    """`--verify` or `--no-verify`, but not both."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if isinstance(parser, Parser) and parser.given.setdefault(self.dest, option_string) != option_string:
            parser.error(f"{parser.given[self.dest]} and {option_string} contradict each other; leave out one of them")
        super().__call__(parser, namespace, values, option_string)


def typed(value: object) -> str:
    """The value of an option as it was typed."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value) or "none"


def number(kind: type[N], bound: Bound) -> Callable[[str], N]:
    """The `type` of an option that takes a number within a bound."""

    def parse(text: str) -> N:
        with contextlib.suppress(ValueError, OverflowError):
            found = kind(text)
            finite = math.isfinite(found) or (bound.endless and found == math.inf)
            if finite and bound.fits(found) and found <= bound.most:
                return found
        raise argparse.ArgumentTypeError(f"must be {bound.wanted}, but is {text}")

    return parse


positive_int, width = number(int, COUNT), number(int, WIDTH)
share = number(float, SHARE)
resamples = number(int, Bound(lambda n: n == 0 or n >= 40, "", "0 (no intervals) or from 40 to 1,000,000", 1_000_000))


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Where a model runs, and in which numbers."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16", "int8"])


def add_options(parser: "argparse._ArgumentGroup", section: type, group: str) -> None:
    """Add the options that the fields of a dataclass describe. An option that is not given is None."""
    types = get_type_hints(section)
    for name, one in options_of(section, group).items():
        kind = next(part for part in (get_args(types[name]) or [types[name]]) if part is not type(None))
        takes: dict[str, Any] = (
            {"choices": [*map(str, kind)]} if one.bound is None else {"type": number(kind, one.bound)}
        )
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=one.metavar, help=one.help, **takes)


def text_file(name: str) -> str:
    """The `type` of an option that names a file of text, which may be stdin."""
    return "/dev/stdin" if name == "-" else name


def dash_is_default(args: argparse.Namespace, *names: str) -> None:
    """Take `-` for stdin or stdout, which an option that is not given means, too."""
    for name in names:
        if str(getattr(args, name)) == "-":
            setattr(args, name, None)


def stdin() -> BinaryIO:
    """Raises: ConfigError: when this process was started without one."""
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise ConfigError("stdin is closed.", hint="name a file to read with `-i FILE`.")
    # A separate reader: Python must not close it at exit while a thread waits in it.
    with contextlib.suppress(AttributeError, OSError):
        wait_for(sys.stdin.fileno())
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return sys.stdin.buffer  # pyright: ignore[reportReturnType]


def stdout() -> BinaryIO:
    """Raises: ConfigError: as `check_stdout`."""
    check_stdout()
    with contextlib.suppress(AttributeError, OSError):
        wait_for(sys.stdout.fileno())
    return sys.stdout.buffer  # pyright: ignore[reportReturnType]


def check_stdout() -> None:
    """Raises: ConfigError: when this process was started without a stdout; `print` would lose what it is given."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise ConfigError("stdout is closed.", hint="give the results a file with `> FILE`.")


def wait_for(stream: int) -> None:
    """Make reads and writes wait, whatever the program did that opened the stream: Python takes a pause of a pipe that
    does not wait for the end of the text."""
    if os.name != "nt":
        os.set_blocking(stream, True)


def check_output(output: Path | None, *inputs: str | None, option: str = "--output") -> None:
    """Raise `ConfigError`, before any work, for an output file that cannot be written, or that is also an input."""
    if output is None:
        return
    if str(output) == "-":
        raise ConfigError(f"`{option} -` names no file.", hint=f"name one, as in `{option} out.txt`.")
    if output.is_dir():
        raise ConfigError(f"`{option} {output}` is a folder.", hint="name a file.")
    if not output.parent.is_dir():
        hint = f"create it with `mkdir -p {shlex.quote(str(output.parent))}`."
        raise ConfigError(f"`{option} {output}` cannot be written: there is no folder `{output.parent}`.", hint=hint)
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise ConfigError(f"`{option} {output}` cannot be written: permission denied.", hint="name another file.")
    check_no_model(output)
    for file in filter(None, inputs):
        if output.is_file() and Path(file).exists() and output.samefile(file):
            raise ConfigError(f"`{option} {output}` is also an input file.", hint="name another file.")


def check_new(out: Path, what: str = "folder") -> None:
    """Raises: ConfigError: when `out`, a folder or a file, is there, or cannot be made."""
    if out.exists():
        raise ConfigError(f"`{out}` already exists.", hint=f"name a new {what}.")
    with explained(f"`{out}` cannot be created"):
        found = obstacle(out)
    if found is not None:
        raise ConfigError(f"`{out}` cannot be created, because {found}.")
    if not os.access(next(place for place in out.absolute().parents if place.is_dir()), os.W_OK):
        raise ConfigError(f"`{out}` cannot be created: permission denied.", hint=f"name another {what}.")
    check_no_model(out)


def check_no_model(out: Path) -> None:
    """Raises: ConfigError: when `out` would be in the folder of a model, which nobody could load then."""
    for folder in Path(os.path.realpath(out)).parents:
        if all((folder / name).is_file() for name in ("MANIFEST.json", "model.safetensors")):
            raise ConfigError(
                f"`{out}` would be in the folder of a model, `{folder}`, whose files are all in its manifest.",
                hint="name a place outside it.",
            )
