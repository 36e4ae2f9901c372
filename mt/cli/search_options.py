"""The options of `mt translate` that say how to search, in groups, and what they come to.

None of them has a default of its own: what is not given is as the model's `decode` settings have it.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from mt.cli.options import Parser, number_from_0, positive_int, positive_number, whole_from_0
from mt.config import LengthNorm, Split, Unknown
from mt.corpus.lines import check_file, read_lines
from mt.errors import DataError

if TYPE_CHECKING:
    from mt.decode.options import Options
    from mt.decode.translator import Translator

# options whose names and values are those of a setting of `decode`
SETTINGS = (
    "length_penalty", "length_norm", "coverage_penalty", "min_ratio", "min_length", "max_ratio", "max_length", "groups",
    "diversity", "patience", "no_repeat_ngram", "unknown", "split",
)  # fmt: skip


def add_search_options(parser: Parser) -> None:
    beam = parser.add_argument_group("beam search (default: the model's settings)")
    beam.add_argument("--beam", type=positive_int, help="hypotheses kept at each step; 1 is greedy")
    beam.add_argument(
        "--nbest", type=positive_int, default=1, help="translations of each line; more than 1 implies --jsonl"
    )
    beam.add_argument("--length-penalty", type=number_from_0, help="scores are log p / length ** this")
    beam.add_argument(
        "--length-norm", choices=list(LengthNorm),
        help="gnmt: scores are log p / ((5 + length) / 6) ** penalty; none: log p",
    )  # fmt: skip
    beam.add_argument(
        "--coverage-penalty", type=number_from_0, metavar="B",
        help="what leaving out a part of the source costs: 0.05 to 0.2 where output is too short",
    )  # fmt: skip
    beam.add_argument("--groups", type=positive_int, help="diverse beam search with so many groups; divides --beam")
    beam.add_argument("--diversity", type=number_from_0, help="what a group pays for saying what an earlier one says")
    beam.add_argument(
        "--patience", type=positive_number, metavar="P",
        help="a sentence is done when P * beam hypotheses have ended; 1 is faster than the exact rule, its default",
    )  # fmt: skip
    length = parser.add_argument_group("length of the output, in pieces")
    length.add_argument("--min-length", type=whole_from_0, help="at least so many, the end mark not counted")
    length.add_argument("--max-length", type=positive_int, help="at most so many, with the end mark")
    length.add_argument("--min-ratio", type=number_from_0, help="at least so many for each of the source")
    length.add_argument("--max-ratio", type=number_from_0, help="at most so many for each of the source, and some")
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--glossary", metavar="FILE",
        help="words that must appear, or must not: lines of source term, tab, target term; ! before a target bans it, "
        "| parts forms, * as the source is every sentence",
    )  # fmt: skip
    rules.add_argument(
        "--prefix", metavar="TEXT", help="how every translation begins; @FILE: each as its line of the file says"
    )
    rules.add_argument(
        "--no-repeat-ngram", type=whole_from_0, metavar="N", help="no N pieces in a row come twice; 0: they may"
    )
    rules.add_argument("--unknown", choices=list(Unknown), help="ban: the unknown piece is never written")
    rules.add_argument(
        "--split", choices=list(Split),
        help="auto: lines with more sentences, or longer, than those the model was trained on are translated sentence "
        "by sentence; always: all lines; never: a line is one sentence",
    )  # fmt: skip


def check_search_options(parser: Parser, asked: argparse.Namespace) -> None:
    """Refuse what cannot go together, before a model is loaded; read the glossary, as `asked.terms`.

    Raises: ConfigError, DataError.
    """
    if asked.beam is not None and asked.nbest > asked.beam:
        parser.error(f"--nbest {asked.nbest} needs a beam at least as wide, but --beam is {asked.beam}")
    if asked.groups and asked.beam and asked.beam % asked.groups:
        parser.error(f"--groups {asked.groups} must divide the beam, but --beam is {asked.beam}")
    if asked.diversity is not None and asked.groups == 1:
        parser.error("--diversity is what groups pay for saying the same; give --groups above 1, or leave it out")
    if asked.glossary and (asked.groups or 1) > 1:
        parser.error("--glossary cannot be had with --groups; leave one of the two out")
    from mt.decode.glossary import Glossary

    asked.terms = Glossary.read(asked.glossary) if asked.glossary else None
    if (file := prefix_file(asked.prefix)) is not None:
        check_file(file)


def prefix_file(prefix: str | None) -> str | None:
    """What --prefix @FILE names."""
    return prefix[1:] if prefix and prefix.startswith("@") else None


class SearchOptions:
    """The options of a command, chunk by chunk of its lines."""

    def __init__(self, translator: "Translator", asked: argparse.Namespace) -> None:
        self.translator = translator
        self.given: dict[str, Any] = {name: getattr(asked, name) for name in SETTINGS}
        self.given["beam"] = asked.beam or max(translator.section.beam, asked.nbest)
        self.given["nbest"] = asked.nbest
        self.given["glossary"] = asked.terms
        self.prefix, self.file = asked.prefix, prefix_file(asked.prefix)
        self.lines = self._prefixes()
        self.num_lines = 0

    def chunk(self, num_lines: int) -> "Options":
        """For the next lines. Raises: DataError: when the file of --prefix has no line for one of them."""
        prefixes = list(islice(self.lines, num_lines)) if self.prefix else None
        if prefixes is not None and len(prefixes) < num_lines:
            raise DataError(f"{self.file} has fewer lines than the text; --prefix needs one for each.")
        first_text, self.num_lines = self.num_lines, self.num_lines + num_lines
        return self.translator.options(**self.given, prefixes=prefixes, first_text=first_text)

    def finish(self) -> None:
        """After the last line. Raises: DataError: when the file of --prefix goes on."""
        if self.file is not None and next(self.lines, None) is not None:
            raise DataError(f"{self.file} has more lines than the text; --prefix needs one for each.")

    def _prefixes(self) -> Iterator[str]:
        if self.file is not None:
            yield from read_lines(self.file)
        else:
            while True:
                yield self.prefix
