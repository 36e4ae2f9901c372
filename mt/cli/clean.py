"""`mt clean`: pairs without those that would harm a training, and a file of those that were removed."""

import argparse
import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.options import Parser, check_new, number, positive_int
from mt.config import CleanConfig
from mt.config.decode import FROM_1
from mt.errors import ConfigError, DataError, counted
from mt.files import explained, whole_folder
from mt.text.languages import check_code

if TYPE_CHECKING:
    from mt.data.clean.rules import Rule
    from mt.data.corpus.pair import Pair
    from mt.text.spelling import Spellings

logger = logging.getLogger("mt")
Languages = tuple[str, str]
RULES = ("copies", "duplicates", "swapped", "language", "numbers", "markup")
USUAL = ("copies", "duplicates", "swapped", "language")
NAME = "train"  # of the files written
MOST_TOLD = 5  # spellings of letters, of a side
REMOVED = "removed.jsonl"
EPILOG = """\
examples:
  mt clean a.en a.de
  mt clean memory.tmx --src en --tgt de --out clean --held test.en test.de
  mt train data.train=[clean/train.en,clean/train.de]

--drop removes, beside pairs with an empty side, an overlong side, or sides too different in length:
  copies      sides that are equal but for case and punctuation
  duplicates  pairs that came before, letter by letter
  swapped     each side looks like the other's language
  language    a side is in another language
  numbers     numbers of two digits and more that are not on both sides
  markup      tags, entities or placeholders on a side
Languages are judged only in sides of 40 characters and more."""


def parse(argv: list[str]) -> argparse.Namespace:
    default = CleanConfig()
    parser = Parser(
        prog="mt clean",
        description="Count the training pairs that look wrong and, with --out, write the others and the removed ones. "
        "Reads all formats that `mt train` reads: two plain files, TMX, XLIFF, tables.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="two plain files, source then target, or one with both"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"write {NAME}.SRC, {NAME}.TGT and {REMOVED} here")
    parser.add_argument("--src", help="source language (default: as the file names say)")
    parser.add_argument("--tgt", help="target language")
    parser.add_argument("--columns", nargs=2, default=[], metavar="COLUMN", help="columns of a table")
    parser.add_argument(
        "--drop", nargs="*", choices=RULES, default=USUAL, metavar="RULE",
        help=f"what else is removed, of {', '.join(RULES)} (default: {' '.join(USUAL)})",
    )  # fmt: skip
    parser.add_argument(
        "--held", nargs="+", default=[], metavar="FILE",
        help="dev and test files: pairs that share a sentence with them are removed",
    )  # fmt: skip
    parser.add_argument(
        "--max-chars", type=positive_int, default=default.max_chars, help=f"of a side (default: {default.max_chars:,})"
    )
    parser.add_argument(
        "--max-ratio", type=number(float, FROM_1), default=default.max_ratio,
        help=f"of the longer side to the shorter, each plus 10 characters (default: {default.max_ratio:g})",
    )  # fmt: skip
    args = parser.parse_args(argv)
    for key in ("src", "tgt"):
        if given := getattr(args, key):
            check_code(given, f"--{key}")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    if args.out:
        check_new(args.out)
    from mt.log import setup

    setup()
    languages = languages_of(args)
    rules = chosen(args, languages)
    if args.out:
        with explained(f"`{args.out}` cannot be written"), whole_folder(args.out) as folder:
            report = write(args, languages, rules, folder)
    else:
        report = sort_out(args, languages, rules, lambda pair: None, lambda pair, reason: None)
    print(described(report, args.out, languages))
    return 0


def languages_of(args: argparse.Namespace) -> Languages:
    """The languages, of the options or else of the file names. Raises: DataError, ConfigError."""
    from mt.data.corpus.readers import check_order, infer_languages, plan

    check_order(args.files, args.src, args.tgt, "--src and --tgt say")
    src, tgt = infer_languages(args.files) or (None, None)
    src, tgt = args.src or src, args.tgt or tgt
    if not (src and tgt):
        plan(args.files, src, tgt)  # raises for files that cannot be read whatever the languages are
        raise ConfigError("the file names do not say which languages these are.", hint="give --src and --tgt.")
    return src, tgt


def chosen(args: argparse.Namespace, languages: Languages) -> "dict[str, Rule]":
    """The rules beyond those of training, by their names in `REASONS`, in the order in which they are tried."""
    from mt.data.clean.suspicion import has_markup, in_other_language, looks_swapped, numbers_differ
    from mt.text.languages import alike, is_known

    rules: dict[str, Rule] = {}
    if args.held:
        rules["held"] = shares_a_sentence(args.held, languages)
    unknown = [language for language in languages if not is_known(language)]
    if unknown and {"swapped", "language"} & {*args.drop}:
        logger.warning(f"languages are not judged: {' and '.join(unknown)} cannot be told from others")
    elif "swapped" in args.drop and not alike(*languages):
        rules["swapped"] = lambda pair: looks_swapped(pair, *languages)
    if "language" in args.drop and not unknown:
        rules["language"] = lambda pair: in_other_language(pair, *languages)
    if "numbers" in args.drop:
        rules["numbers"] = numbers_differ
    if "markup" in args.drop:
        rules["markup"] = has_markup
    return rules


def shares_a_sentence(files: list[str], languages: Languages) -> "Rule":
    """Whether a side of a pair is also in some files, but for case and punctuation."""
    from mt.data.corpus.readers import check_order, read_pairs
    from mt.data.corpus.split import fold

    check_order(files, *languages, "the pairs to clean go from")
    held = [(fold(pair.src), fold(pair.tgt)) for pair in read_pairs(files, *languages)]
    sources, targets = ({text for text in side if text} for side in zip(*held, strict=True))
    return lambda pair: fold(pair.src) in sources or fold(pair.tgt) in targets


def sort_out(
    args: argparse.Namespace,
    languages: Languages,
    rules: "dict[str, Rule]",
    on_kept: "Callable[[Pair], object]",
    on_removed: "Callable[[Pair, str], object]",
) -> dict[str, int]:
    """Read the pairs and hand each over. Returns the counts of `Pipeline.report`."""
    from mt.data.clean.rules import Pipeline
    from mt.data.corpus.readers import check_columns, read_pairs
    from mt.text.spelling import Spellings

    section = CleanConfig(
        max_chars=args.max_chars, max_ratio=args.max_ratio,
        drop_copies="copies" in args.drop, drop_duplicates="duplicates" in args.drop,
    )  # fmt: skip
    check_columns(args.files, args.columns, "--columns")
    pipeline, signs = Pipeline(section, rules, on_removed), set[str]()
    source, target = (Spellings(language, signs) for language in languages)
    for pair in pipeline(read_pairs(args.files, *languages, args.columns)):
        on_kept(pair)
        source.add(pair.src, pair.origin)
        target.add(pair.tgt, pair.origin)
    tell_spellings({"source": source, "target": target})
    return pipeline.report()


def tell_spellings(sides: "dict[str, Spellings]") -> None:
    """Count the kept lines that spell a letter otherwise than the rest; they stay as they are."""
    for side, spellings in sides.items():
        found = spellings.found()
        for one in found[:MOST_TOLD]:
            logger.warning(f"{counted(one.lines, f'{side} line')} with {one}; the first is {one.first}")
        if len(found) > MOST_TOLD:
            logger.warning(f"and {counted(len(found) - MOST_TOLD, 'other spelling')} of letters of the {side} side")


def write(args: argparse.Namespace, languages: Languages, rules: "dict[str, Rule]", folder: Path) -> dict[str, int]:
    """As `sort_out`, into the files of a folder."""
    with ExitStack() as opened:
        names = (*files_of(languages), REMOVED)
        src, tgt, removed = (
            opened.enter_context((folder / name).open("w", encoding="utf-8", newline="\n")) for name in names
        )

        def keep(pair: "Pair") -> None:
            src.write(f"{pair.src}\n")
            tgt.write(f"{pair.tgt}\n")

        def remove(pair: "Pair", reason: str) -> None:
            origin = pair.origin
            record = {"reason": reason, "file": origin.file, "line": origin.line, "src": pair.src, "tgt": pair.tgt}
            removed.write(f"{json.dumps(record, ensure_ascii=False)}\n")

        report = sort_out(args, languages, rules, keep, remove)
    if not report["kept"]:
        raise DataError(f"no pair is left of {counted(report['read'], 'pair')}; nothing is written.")
    return report


def files_of(languages: Languages) -> tuple[str, str]:
    """The names of the files that are written; both sides may be in one language, as summaries are."""
    src, tgt = languages if languages[0] != languages[1] else ("src", "tgt")
    return f"{NAME}.{src}", f"{NAME}.{tgt}"


def described(report: dict[str, int], out: Path | None, languages: Languages) -> str:
    """The counts in lines, the largest first."""
    from mt.data.clean.rules import REASONS

    removed = sorted(((report.get(name, 0), reason) for name, reason in REASONS.items()), key=lambda one: -one[0])
    lines = [f"{counted(report['read'], 'pair')} read, {report['kept']:,} kept"]
    lines += [f"{count:9,} {reason}" for count, reason in removed if count]
    if out:
        lines.append(f"written: {', '.join(f'{out}/{name}' for name in (*files_of(languages), REMOVED))}")
    else:
        lines.append("nothing is written; --out FOLDER writes the pairs that are kept")
    return "\n".join(lines)
