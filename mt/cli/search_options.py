"""The options of `mt translate` that say how to search, in groups, and what they come to.

None of them has a default of its own: what is not given is as the model's `decode` settings have it.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mt.cli.options import Parser, add_options, width
from mt.config import DecodeConfig
from mt.config.decode import options_of
from mt.errors import DataError, counted
from mt.text.lines import check_file, raw_lines, read_lines

if TYPE_CHECKING:
    from mt.decode.request import Options
    from mt.decode.translator import Translator

L = TypeVar("L")
ONE_FOR_EACH = "--prefix needs a line for each line of the text"


def add_search_options(parser: Parser) -> None:
    beam = parser.add_argument_group("beam search (default: the model's settings)")
    beam.add_argument("--nbest", type=width, default=1, help="translations of each line; more than 1 implies --jsonl")
    add_options(beam, DecodeConfig, "beam")
    add_options(parser.add_argument_group("length of the output, in pieces"), DecodeConfig, "length")
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--glossary", metavar="FILE",
        help="words that must appear, or must not: lines of source term, tab, target term; ! before a target bans it, "
        "| separates forms; with a ban, * as the source is every sentence",
    )  # fmt: skip
    rules.add_argument(
        "--prefix", metavar="TEXT", help="how every translation begins; @FILE: each as its line of the file says"
    )
    add_options(rules, DecodeConfig, "rules")


def check_search_options(parser: Parser, args: argparse.Namespace) -> None:
    """Refuse what cannot go together, before a model is loaded; read the glossary, as `args.terms`.

    Raises: ConfigError, DataError.
    """
    if args.beam is not None and args.nbest > args.beam:
        parser.error(f"--nbest {args.nbest} needs a beam at least as wide, but --beam is {args.beam}")
    if args.groups and args.beam and args.beam % args.groups:
        parser.error(f"--groups {args.groups} must divide the beam, but --beam is {args.beam}")
    if args.diversity is not None and args.groups == 1:
        parser.error("--diversity is what groups pay for saying the same; give --groups above 1, or leave it out")
    if args.glossary and (args.groups or 1) > 1:
        parser.error("--glossary cannot be had with --groups; leave one of the two out")
    from mt.decode.constraints.glossary import Glossary

    args.terms = Glossary.read(args.glossary) if args.glossary else None
    if args.prefix == "@":
        parser.error("--prefix @FILE must name a file, but there is none after the @")
    if (file := prefix_file(args.prefix)) is not None:
        check_file(file)


def prefix_file(prefix: str | None) -> str | None:
    """What --prefix @FILE names."""
    return prefix[1:] if prefix and prefix.startswith("@") else None


def check_prefixes(prefixes: str | None, text: str | None) -> None:
    """See before anything is translated whether the file of --prefix has a line for each of a file of text.

    What comes through a pipe, or from a device that may be one, can be read only once: it is counted while it is
    translated.
    Raises: DataError: when it has not, or one of the two cannot be read.
    """
    files = [file for file in (prefixes, text) if file and Path(file).is_file() and not file.startswith("/dev/")]
    if len(files) < 2:
        return
    there, wanted = (sum(1 for _ in raw_lines(file)) for file in files)
    if there != wanted:
        raise DataError(f"`{prefixes}` has {counted(there, 'line')}, but `{text}` has {wanted:,}; {ONE_FOR_EACH}.")


class SearchOptions:
    """The options of a command for batches of its lines."""

    def __init__(self, translator: "Translator", args: argparse.Namespace) -> None:
        self.translator = translator
        self.given: dict[str, Any] = {name: getattr(args, name) for name in options_of(DecodeConfig)}
        self.given["beam"] = args.beam or max(translator.section.beam, args.nbest)
        self.given["nbest"] = args.nbest
        self.given["glossary"] = args.terms
        self.prefix, self.file = args.prefix, prefix_file(args.prefix)

    def with_prefixes(self, lines: Iterable[L]) -> Iterator[tuple[L, str]]:
        """Each line with how its translation begins; "" where nothing is asked.

        Raises: DataError: at the first line that the file of --prefix has none for, and where that file goes on.
        """
        prefixes = repeat(self.prefix or "") if self.file is None else read_lines(self.file)
        number = 0
        for number, line in enumerate(lines, 1):
            if (prefix := next(prefixes, None)) is None:
                there = counted(number - 1, "line")
                raise DataError(f"`{self.file}` has {there}, but the text has more; {ONE_FOR_EACH}.")
            yield line, prefix
        if self.file is not None and next(prefixes, None) is not None:
            told = counted(number, "line")
            raise DataError(f"`{self.file}` has more lines than the text, which has {told}; {ONE_FOR_EACH}.")

    def batch(self, prefixes: list[str], first: int) -> "Options":
        """The options for lines whose translations begin with `prefixes`; `first` is the number of lines before."""
        given = prefixes if self.prefix else None
        return self.translator.options(**self.given, prefixes=given, first_text=first)
