"""`mt rank`: which candidates fit each query best, by the likelihood of a model."""

import argparse
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from mt.cli.lines import file_texts, process, waiting
from mt.cli.options import Parser, add_device_options, positive_int, stdout, text_file
from mt.config import Input
from mt.data.corpus.columns import TABLES, read_sources, read_table
from mt.data.corpus.names import check_language, kind_of
from mt.data.corpus.pair import Origin
from mt.errors import ConfigError, DataError, counted
from mt.text.lines import check_file, check_not_one_pipe

if TYPE_CHECKING:
    from torch import Tensor

    from mt.decode.rerank.rank import Likelihoods
    from mt.decode.translator import Translator

logger = logging.getLogger("mt")
MOST = 100_000_000  # pairs of a query and a candidate, whose scores are held in memory
CUTOFFS = (1, 5, 10)
EPILOG = """\
examples:
  mt rank runs/my-run --queries a.en --candidates a.de
  mt rank runs/captions --queries test.tsv --candidates captions.txt --recall right.txt
  mt rank runs/captions --candidates-are sources --queries captions.txt --candidates test.tsv --top 5
  mt rank runs/captions --queries test.tsv --candidates captions.txt --recall right.txt --both-ways --by sources

The output has one line for each query: `number:score` of the best candidates, which count from 1, best first. A model
that reads tables takes a table as its sources. Lines without text are left out: an empty query gets an empty line, and
an empty candidate keeps its number, but is never found.

--by chooses the score of a pair:
  mean      the log-probability of the target given the source, per token of the target (default)
  sum       the whole log-probability
  sources   that, minus the log-probability of the target under all given sources together: a target that is likely by
            itself gains nothing; needs many sources
  empty     the same with an empty source, for a model that was trained with missing inputs
  matching  what a model says that was trained to tell right pairs from wrong ones (`model.matching`): log-odds"""


def parse(argv: list[str]) -> argparse.Namespace:
    about = "Find the candidates that fit each query best, by how likely a model finds the two together."
    parser = Parser(prog="mt rank", description=about, epilog=EPILOG, files=["--queries {} --candidates {}"])
    parser.add_argument("model", type=Path, metavar="MODEL", help="model folder, run or checkpoint")
    parser.add_argument(
        "--queries", type=text_file, required=True, metavar="FILE",
        help="one query a line, plain or compressed; -: stdin",
    )  # fmt: skip
    parser.add_argument("--candidates", type=text_file, required=True, metavar="FILE", help="one candidate a line")
    parser.add_argument(
        "--candidates-are", choices=["targets", "sources"], default="targets",
        help="the model's targets (default), or its sources: then the queries are its targets",
    )  # fmt: skip
    parser.add_argument(
        "--by", choices=["mean", "sum", "sources", "empty", "matching"], default="mean",
        help="the score of a pair (default: mean)",
    )  # fmt: skip
    parser.add_argument("--top", type=positive_int, metavar="K", help="candidates a query (default: 1)")
    parser.add_argument("--jsonl", action="store_true", help="write one JSON object per query, with the texts")
    parser.add_argument(
        "--recall", nargs="?", const="", metavar="FILE",
        help="print how often a right candidate is among the first 1, 5 and 10, instead of the candidates; FILE has "
        "the numbers of the right candidates in a line for each query (default: candidate N belongs to query N)",
    )  # fmt: skip
    parser.add_argument(
        "--both-ways", action="store_true",
        help="with --recall: also print how often a right query is among the first for each candidate, by the same "
        "scores",
    )  # fmt: skip
    add_device_options(parser)
    args = parser.parse_args(argv)
    if args.both_ways and args.recall is None:
        parser.error("--both-ways is about --recall; give --recall too")
    if args.recall is not None and args.jsonl:
        parser.error("--recall prints no candidates; leave out --jsonl")
    if args.recall is not None and args.top is not None:
        parser.error("--recall prints no candidates; leave out --top")
    args.top = args.top or 1
    return args


def run(argv: list[str]) -> int:
    args, out = parse(argv), stdout()
    from mt.checkpoint.model_folder import languages, table_columns
    from mt.log import setup

    setup()
    check_named_languages(args, *languages(args.model))
    queries, candidates = read_sides(args, *table_columns(args.model))
    if len(queries.kept) * len(candidates.kept) > MOST:
        raise ConfigError(
            f"{len(queries.kept):,} queries times {len(candidates.kept):,} candidates are more than {MOST:,} pairs.",
            hint="give parts of the queries.",
        )
    right = right_ones(args, queries, candidates) if args.recall is not None else []
    from mt.compute.device import set_up_cpu
    from mt.decode.load import load
    from mt.decode.rerank.rank import likelihoods, match_scores, ranked

    set_up_cpu(None)
    translator = load(args.model, device=args.device, precision=args.precision)
    of_sources = args.candidates_are == "targets"
    sides = (queries, candidates) if of_sources else (candidates, queries)
    sources, targets = (side.texts() for side in sides)
    with waiting("ranking", len(sources), None) as show:
        given = {"on_progress": show, "names": [side.origins() for side in sides]}
        if args.by == "matching":
            scores = match_scores(translator, sources, targets, **given)
        else:
            scores = chosen(args.by, likelihoods(translator, sources, targets, **given), translator, targets)
    scores = scores if of_sources else scores.T
    if right:
        print(agreement(scores, right))
        if args.both_ways:
            print(f"the other way: {agreement(scores.T, turned(right, len(candidates.kept)))}")
    else:
        lists = numbered(map(ranked, scores), queries, candidates)
        process(lists, 1, lambda batch, done: to_lines(batch, done, queries, candidates, args), out)
    return 0


class Side(NamedTuple):
    """The queries or the candidates: the lines of their file, and the numbers, from 0, of those with text."""

    lines: list[tuple[str, Origin]]
    kept: list[int]

    def texts(self) -> list[str]:
        return [self.lines[number][0] for number in self.kept]

    def origins(self) -> list[Origin]:
        return [self.lines[number][1] for number in self.kept]


def check_named_languages(args: argparse.Namespace, src: str, tgt: str) -> None:
    """Raise `DataError` where the name of a file says that it is in the language of the model's other side."""
    turned = args.candidates_are == "sources"
    source, target = (args.candidates, args.queries) if turned else (args.queries, args.candidates)
    try:
        check_language(source, src, tgt, "source")
        check_language(target, tgt, src, "target")
    except DataError as error:
        hint = f"{'leave out' if turned else 'add'} `--candidates-are sources`, or give the other file."
        raise DataError(error.message, hint=hint) from None


def read_sides(args: argparse.Namespace, inputs: Sequence[Input], target: str) -> tuple[Side, Side]:
    """Queries and candidates; warns of lines without text. Raises: DataError: also for a side without any text."""
    check_not_one_pipe(args.queries, args.candidates)
    files = {"queries": args.queries, "candidates": args.candidates}
    source = "queries" if args.candidates_are == "targets" else "candidates"
    read = {
        name: sources_in(file, inputs) if name == source else targets_in(file, inputs, target)
        for name, file in files.items()
    }
    sides = [Side(lines, [n for n, (text, _) in enumerate(lines) if text.strip()]) for lines in read.values()]
    for (name, file), side in zip(files.items(), sides, strict=True):
        if not side.kept:
            raise DataError(f"`{file}` has no lines with text, but --{name} needs at least one.")
        if left := len(side.lines) - len(side.kept):
            have = "has no text and is" if left == 1 else "have no text and are"
            logger.warning(f"{counted(left, 'line')} of `{file}` {have} left out of the ranking.")
    return sides[0], sides[1]


def sources_in(file: str, inputs: Sequence[Input]) -> list[tuple[str, Origin]]:
    """The lines of a file, or the rows of a table for a model that reads tables, with their places."""
    return list(read_sources(file, inputs)) if inputs else lines_in(file)


def targets_in(file: str, inputs: Sequence[Input], target: str) -> list[tuple[str, Origin]]:
    """The lines of a file, or the target's column of a table for a model that reads tables, with their places."""
    check_file(file)
    if inputs and kind_of(file) in TABLES:
        return [(pair.tgt, pair.origin) for pair in read_table([file], inputs, target)]
    return lines_in(file)


def lines_in(file: str) -> list[tuple[str, Origin]]:
    return [(text, Origin(file, number)) for number, text in enumerate(file_texts(file), 1)]


def numbered(
    lists: Iterable[list[tuple[int, float]]], queries: Side, candidates: Side
) -> Iterator[list[tuple[int, float]]]:
    """The lists of all queries, empty for those without text, with the numbers of all candidates.

    Args: lists: of the queries with text, over the candidates with text."""
    found, having = iter(lists), {*queries.kept}
    for query in range(len(queries.lines)):
        yield [(candidates.kept[place], score) for place, score in next(found)] if query in having else []


def right_ones(args: argparse.Namespace, queries: Side, candidates: Side) -> list[set[int]]:
    """As `read_right`, among the lines with text. Raises: DataError: also when no query has a right candidate there."""
    right = read_right(args, len(queries.lines), len(candidates.lines))
    places = {number: place for place, number in enumerate(candidates.kept)}
    found = [{places[number] for number in right[query] if number in places} for query in queries.kept]
    if not any(found):
        raise DataError("--recall needs a query with text whose right candidate has text, but there is none.")
    return found


def read_right(args: argparse.Namespace, queries: int, candidates: int) -> list[set[int]]:
    """The places of the right candidates of each query, from 0. Raises: DataError, ConfigError."""
    if not args.recall:
        if queries != candidates:
            raise ConfigError(
                f"--recall without a file needs as many candidates as queries, but there are {candidates:,} and "
                f"{queries:,}.",
                hint="give --recall a file with the numbers of the right candidates.",
            )
        return [{place} for place in range(queries)]
    lines = file_texts(args.recall)
    if len(lines) != queries:
        raise DataError(f"{args.recall} must have a line for each of the {queries:,} queries, but has {len(lines):,}.")
    found: list[set[int]] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or not all(word.isdecimal() and 1 <= int(word[:99]) <= candidates for word in words):
            raise DataError(
                f"{args.recall}:{number}: the line must have numbers from 1 to {candidates:,} with spaces between "
                f"them, but is {line!r}."
            )
        found.append({int(word) - 1 for word in words})
    return found


def chosen(by: str, found: "Likelihoods", translator: "Translator", targets: Sequence[str]) -> "Tensor":
    """The scores `[S, T]` of all pairs. Args: targets: of `found`."""
    if by == "mean":
        return found.mean()
    if by == "sum":
        return found.log_probs
    if by == "sources":
        if len(found.log_probs) < 2:
            raise ConfigError(
                "--by sources compares each source with all others, but there is only one.", hint="use --by mean."
            )
        return found.against(found.marginal())
    from mt.decode.rerank.rank import likelihoods

    empty = "\t" * max(0, len(translator.reader.inputs) - 1) if translator.reader is not None else ""
    return found.against(likelihoods(translator, [empty], targets).log_probs[0])


def turned(right: Sequence[set[int]], candidates: int) -> list[set[int]]:
    """The places of the right queries of each candidate."""
    found: list[set[int]] = [set() for _ in range(candidates)]
    for query, places in enumerate(right):
        for place in places:
            found[place].add(query)
    return found


def agreement(scores: "Tensor", right: Sequence[set[int]]) -> str:
    """How often a right candidate is among the first. Args: scores: `[Q, C]`; right: of each query; queries without any
    are left out."""
    from mt.decode.rerank.rank import ranked, recall

    ranks = [
        next(rank for rank, (place, _) in enumerate(ranked(row), 1) if place in ours)
        for row, ours in zip(scores, right, strict=True) if ours
    ]  # fmt: skip
    shares = "  ".join(f"R@{at} {recall(ranks, at):.1f}" for at in CUTOFFS)
    return f"{shares}  median rank {median(ranks):g}  ({len(ranks):,} queries, {scores.shape[1]:,} candidates)"


def to_lines(
    lists: Sequence[Sequence[tuple[int, float]]], done: int, queries: Side, candidates: Side, args: argparse.Namespace
) -> list[bytes]:
    lines: list[str] = []
    for number, found in enumerate(lists, done):
        best = found[: args.top]
        if args.jsonl:
            records = [{"number": i + 1, "score": round(score, 6), "text": candidates.lines[i][0]} for i, score in best]
            lines.append(json.dumps({"query": queries.lines[number][0], "candidates": records}, ensure_ascii=False))
        else:
            lines.append(" ".join(f"{place + 1}:{score:.6f}" for place, score in best))
    return [f"{line}\n".encode() for line in lines]
