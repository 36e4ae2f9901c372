"""The search options of `mt translate`. An option that is not given has the value of the model's `decode` settings."""

import argparse
import logging
import os
import shlex
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
    from mt.decode.request import OnProgress, Options
    from mt.decode.translator import Translator

logger = logging.getLogger("mt")
L = TypeVar("L")
ONE_FOR_EACH = "--prefix needs one line for each line of the text"
ONE_FOR_ROW = "--prefix needs one line for each row of the table"


def add_search_options(parser: Parser) -> None:
    beam = parser.add_argument_group("beam search (default: the model's settings)")
    beam.add_argument("--nbest", type=width, default=1, help="translations per line; more than 1 implies --jsonl")
    add_options(beam, DecodeConfig, "beam")
    add_options(parser.add_argument_group("length of the output, in pieces"), DecodeConfig, "length")
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--glossary", metavar="FILE",
        help="terms that must or must not appear, one line each: source term, tab, target term; ! before the target "
        "term bans it, | separates alternative forms, and a ban with the source term * holds for every sentence",
    )  # fmt: skip
    rules.add_argument(
        "--prefix", metavar="TEXT", help="text that every translation begins with; @FILE: one such text per line"
    )
    add_options(rules, DecodeConfig, "rules")


def check_search_options(parser: Parser, args: argparse.Namespace) -> None:
    """Check the combination of options before a model is loaded, and read the glossary into `args.terms`.

    Raises: ConfigError, DataError.
    """
    if args.beam is not None and args.nbest > args.beam:
        parser.error(f"--nbest {args.nbest} needs a beam at least as wide, but --beam is {args.beam}")
    if args.groups and args.beam and args.beam % args.groups:
        parser.error(f"--groups {args.groups} must divide the beam, but --beam is {args.beam}")
    if args.diversity is not None and args.groups == 1:
        parser.error("--diversity has no effect with --groups 1; give more groups, or leave it out")
    if args.glossary and (args.groups or 1) > 1:
        parser.error("--glossary cannot be combined with --groups; leave one of the two out")
    from mt.decode.constraints.glossary import Glossary

    args.terms = Glossary.read(args.glossary) if args.glossary else None
    if args.prefix == "@":
        parser.error("--prefix @ needs the name of a file after the @")
    if (file := prefix_file(args.prefix)) is not None:
        check_file(file)


def prefix_file(prefix: str | None) -> str | None:
    """The file of --prefix @FILE; None for another prefix."""
    return prefix[1:] if prefix and prefix.startswith("@") else None


def check_prefixes(prefixes: str | None, text: str | None, *, table: bool = False) -> None:
    """Check, before anything is translated, that the file of --prefix has one line for each line of the text.

    A pipe, or a device that may be one, can be read only once: its lines are counted while they are translated.
    Args: table: the text is a table, whose header is no line to translate.
    Raises: DataError: when the numbers of lines differ, or one of the two cannot be read.
    """
    files = [file for file in (prefixes, text) if file and Path(file).is_file() and not file.startswith("/dev/")]
    if len(files) < 2:
        return
    found, wanted = (sum(1 for _ in raw_lines(file)) for file in files)
    if table:
        from mt.data.corpus.columns import is_record

        wanted -= not is_record(next(read_lines(files[1]), "{"))  # of no lines: it is refused when it is read
    if found != wanted:
        told, need = (f"{counted(wanted, 'row')}", ONE_FOR_ROW) if table else (f"{wanted:,}", ONE_FOR_EACH)
        raise DataError(f"`{prefixes}` has {counted(found, 'line')}, but `{text}` has {told}; {need}.")


class SearchOptions:
    """The search options of a command, for each batch of its lines."""

    def __init__(self, translator: "Translator", args: argparse.Namespace) -> None:
        self.translator = translator
        self.given: dict[str, Any] = {name: getattr(args, name) for name in options_of(DecodeConfig)}
        groups = args.groups or translator.section.groups
        self.given["beam"] = args.beam or max(translator.section.beam, groups * -(-args.nbest // groups))
        self.given["nbest"] = args.nbest
        self.given["glossary"] = args.terms
        self.prefix, self.file = args.prefix, prefix_file(args.prefix)
        if self.prefix and self.file is None and os.path.isfile(self.prefix):  # noqa: PTH113 (for a text as no file can be named)
            logger.warning(
                f"every translation begins with the text {self.prefix!r}, which is also the name of a file; "
                f"`--prefix {shlex.quote(f'@{self.prefix}')}` reads the prefixes from it"
            )

    def with_prefixes(self, lines: Iterable[L]) -> Iterator[tuple[L, str]]:
        """Each line with the prefix of its translation, "" without one.

        Raises: DataError: when the file of --prefix has fewer or more lines than `lines`.
        """
        prefixes = repeat(self.prefix or "") if self.file is None else read_lines(self.file)
        number = 0
        for number, line in enumerate(lines, 1):
            if (prefix := next(prefixes, None)) is None:
                found = counted(number - 1, "line")
                raise DataError(f"`{self.file}` has {found}, but the text has more; {ONE_FOR_EACH}.")
            yield line, prefix
        if self.file is not None and next(prefixes, None) is not None:
            found = counted(number, "line")
            raise DataError(f"`{self.file}` has more lines than the text, which has {found}; {ONE_FOR_EACH}.")

    def batch(self, prefixes: list[str], first: int, on_progress: "OnProgress | None" = None) -> "Options":
        """The options for lines whose translations begin with `prefixes`; `first` is the number of lines before."""
        given = prefixes if self.prefix else None
        return self.translator.options(**self.given, prefixes=given, first_text=first, on_progress=on_progress)
