"""`mt score`: how likely a model finds given translations, one line for each pair."""

import argparse
import json
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt.cli.lines import BadLines, parallel_texts, process, waiting
from mt.cli.options import Parser, add_device_options, stdout, text_file
from mt.data.corpus.names import kind_of
from mt.data.corpus.readers import check_order
from mt.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mt.data.corpus.pair import Pair
    from mt.decode.rerank.scorer import PairScore, Scorer

CHUNK = 2_000  # pairs that are sorted by length, scored and printed together


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt score", files=["--pairs {}", "--source {} --target {}"],
        description="Print the log-probability (natural logarithm) of given translations under a model. Each pair gets "
        "a line, in order: the sum over the pieces of the target and its end mark, a tab, and the mean per piece. "
        "--reverse adds two columns: the same for the source given the target.",
        epilog="examples:\n  mt score runs/my-run --source test.en --target test.de\n"
        "  mt score runs/my-run --pairs corpus.tsv.gz --reverse runs/back > scores.tsv",
    )  # fmt: skip
    parser.add_argument("model", type=Path, help="model folder, run or checkpoint")
    parser.add_argument("--source", type=text_file, metavar="FILE", help="source lines, plain or compressed; -: stdin")
    parser.add_argument("--target", type=text_file, metavar="FILE", help="their translations, line by line")
    parser.add_argument("--pairs", metavar="FILE", help="one file with both sides instead: .tsv, .jsonl or .parquet")
    parser.add_argument("--reverse", type=Path, metavar="MODEL", help="a model that translates the other way")
    parser.add_argument("--jsonl", action="store_true", help="write one JSON object per line")
    parser.add_argument(
        "--per-token", action="store_true",
        help="as --jsonl, with each piece's log-probability; the last is the end mark's",
    )  # fmt: skip
    parser.add_argument(
        "--skip-too-long", action="store_true",
        help="write an empty line (JSON: null) for a pair that is too long for a model, instead of stopping",
    )  # fmt: skip
    parser.add_argument(
        "--skip-bad", action="store_true",
        help="write an empty line (JSON: null) for lines that cannot be read, such as lines that are not UTF-8, and "
        "count them; needs --source and --target",
    )  # fmt: skip
    add_device_options(parser)
    args = parser.parse_args(argv)
    if bool(args.pairs) == bool(args.source or args.target) or bool(args.source) != bool(args.target):
        parser.error("give either --source and --target, or --pairs")
    if args.pairs and not kind_of(args.pairs):
        parser.error(f"--pairs must name a .tsv, .jsonl or .parquet file, plain or compressed, but names {args.pairs}")
    if args.skip_bad and args.pairs:
        parser.error("--skip-bad needs --source and --target: a bad line of a table may hide where the next one begins")
    return args


def run(argv: list[str]) -> int:
    args, out = parse(argv), stdout()
    files = [args.pairs] if args.pairs else [args.source, args.target]
    from mt.checkpoint.model_folder import languages, table_columns
    from mt.checkpoint.two_models import check_direction, check_same_inputs
    from mt.log import setup

    setup()
    if args.reverse:
        check_same_inputs(args.model, args.reverse, "--reverse", opposite=True)
        check_direction(args.model, args.reverse, "--reverse", opposite=True)
    src, tgt = languages(args.model)
    check_order(files, src, tgt, "the model translates")
    from mt.data.corpus.columns import read_given

    bad, columns = BadLines(), table_columns(args.model)
    if columns[0] and not args.pairs:
        raise ConfigError(
            f"--source and --target are for a model that reads text, but {args.model} reads rows of a table.",
            hint="give the table, which has both sides, with `--pairs FILE.tsv`.",
        )
    # read whole first: that one file has more lines is told before any score is printed
    pairs = read(args, bad) if args.skip_bad else list(read_given(files, columns, src, tgt))
    bad.report()
    from mt.compute.device import set_up_cpu
    from mt.decode.load import load
    from mt.decode.rerank.scorer import Scorer

    set_up_cpu(None)
    ways = [args.model] + ([args.reverse] if args.reverse else [])
    scorers = [Scorer(load(model, device=args.device, precision=args.precision)) for model in ways]
    with waiting("scoring", len(pairs), None) as show:
        process(pairs, CHUNK, lambda batch, _: score(batch, scorers, args, bad.numbers), out, show=show)
    return 0


def read(args: argparse.Namespace, bad: BadLines) -> "list[Pair]":
    """The pairs of two plain files, with empty texts for lines that cannot be read."""
    from mt.data.corpus.pair import Origin, Pair

    texts = zip(*parallel_texts(args.source, args.target, bad), strict=True)
    return [Pair(src, tgt, Origin(args.target, number)) for number, (src, tgt) in enumerate(texts, 1)]


def score(
    pairs: "list[Pair]", scorers: "list[Scorer]", args: argparse.Namespace, bad: Container[int] = ()
) -> list[bytes]:
    """The lines for some pairs. Raises: DataError: for a pair too long for a model, unless these are skipped.

    Args: bad: numbers of the lines that could not be read.
    """
    sides = [[pair.src for pair in pairs], [pair.tgt for pair in pairs]]
    found = [scorers[0].score_all(*sides, names=[pair.origin for pair in pairs])]
    if len(scorers) > 1:
        found.append(scorers[1].score_all(*reversed(sides)))
    printed: list[bytes] = []
    for pair, *scores in zip(pairs, *found, strict=True):
        good: list[PairScore] = []
        for score in scores:
            if not isinstance(score, str):
                good.append(score)
            elif not args.skip_too_long:
                raise DataError(f"{pair.origin}: the pair {score}; shorten it, or give --skip-too-long.")
        whole = len(good) == len(scores) and pair.origin.line not in bad
        printed.append(to_line(good if whole else None, args).encode() + b"\n")
    return printed


def to_line(scores: "list[PairScore] | None", args: argparse.Namespace) -> str:
    """One pair's scores, forward and perhaps reverse; None: there are none."""
    if not args.jsonl and not args.per_token:
        return "\t".join(f"{value:.6f}" for score in scores or () for value in (score.log_prob, score.mean))
    record: dict[str, Any] | None = None
    if scores is not None:
        record = fields(scores[0], args.per_token)
        if len(scores) > 1:
            record["reverse"] = fields(scores[1], args.per_token)
    return json.dumps(record, ensure_ascii=False)


def fields(score: "PairScore", per_token: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"log_prob": round(score.log_prob, 6), "mean": round(score.mean, 6)}
    if per_token:
        found |= {"pieces": score.pieces, "piece_log_probs": [round(value, 6) for value in score.piece_log_probs]}
    return found
