"""`mt evaluate`: translate a test set and score it, score any system's output, compare two."""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt.cli.choice_options import add_ensemble_options, check_ensemble_options, load_models
from mt.cli.engine_options import add_engine_options, add_tag_option, check_engine_options, load_model
from mt.cli.lines import file_texts, parallel_texts
from mt.cli.options import Parser, add_device_options, check_stdout, resamples, text_file, width
from mt.data.corpus.names import bare, language_of
from mt.errors import CheckpointError, ConfigError, DataError, counted
from mt.text.languages import check_code, language_of_tag
from mt.text.lines import check_file
from mt.text.metrics import METRICS, USUAL

if TYPE_CHECKING:
    from mt.data.corpus.pair import Pair
    from mt.evaluate import Report

logger = logging.getLogger("mt")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt evaluate", files=["--test {}", "--test {} {}"],
        description="BLEU, chrF++, TER and other scores, with signatures and 95 % bootstrap intervals, and the "
        "share of the sources' numbers, dates and codes that the translations keep.",
        epilog="examples:\n  mt evaluate runs/my-run\n  mt evaluate runs/a --compare runs/b\n"
        "  mt evaluate runs/a --ensemble runs/b runs/c --compare runs/a\n"
        "  mt evaluate --hypotheses out.de --references test.de\n"
        "  mt evaluate --hypotheses out.en --references a.en b.en c.en --metrics bleu rouge",
    )  # fmt: skip
    parser.add_argument("model", nargs="?", type=Path, help="model folder, run or checkpoint (default: the newest run)")
    parser.add_argument("--test", nargs="+", metavar="FILE", help="files of the test set (default: the run's test set)")
    parser.add_argument(
        "--hypotheses", type=text_file, metavar="FILE", help="score this file (-: stdin) instead of translating"
    )
    parser.add_argument(
        "--references", type=text_file, nargs="+", metavar="FILE",
        help="references of --hypotheses (default: the test set's); lines of further files may be empty",
    )  # fmt: skip
    parser.add_argument(
        "--compare", metavar="OTHER", help="a second model or file of translations, compared by paired bootstrap"
    )
    parser.add_argument("--beam", type=width, help="beam size (default: the model's)")
    parser.add_argument(
        "--bootstrap", type=resamples, default=1000, help="resamples for the intervals (default: 1000; 0: none)"
    )
    parser.add_argument(
        "--metrics", nargs="+", choices=METRICS, default=USUAL, metavar="NAME",
        help=f"scores to compute, of {', '.join(METRICS)} (default: {' '.join(USUAL)}); wer and cer are error rates of "
        "words and characters, rouge is ROUGE-1, -2 and -L, exact the share of lines that equal a reference",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--tgt", help="target language, which decides how BLEU splits words (default: the model's)")
    add_device_options(parser)
    add_engine_options(parser)
    add_tag_option(parser)
    add_ensemble_options(parser)
    args = parser.parse_args(argv)
    args.more = []  # further references
    args.usual = args.beam is None and args.precision == "auto" and not (args.tgt or args.tag or args.ensemble)
    if args.tgt:
        check_code(args.tgt, "--tgt")
    args.tgt = args.tgt or language_of_tag(args.tag or "") or None
    check_engine_options(parser, args)
    check_ensemble_options(parser, args)
    if args.references and not args.hypotheses:
        parser.error("--references needs --hypotheses; to translate your own files, give both sides to --test")
    if args.references and args.test:
        parser.error("--references and --test both name references; give only one of them")
    if args.references and args.model:
        parser.error("a model is not used when --hypotheses and --references are given; leave it out")
    no_model = not args.compare or Path(args.compare).is_file()
    searching = ["engine", "precision", "device", "tag"] if no_model else []
    for name in ["beam", "ensemble", *searching] if args.hypotheses else []:
        if getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name} is not used when --hypotheses are given; leave it out")
    if args.ensemble and not args.model:
        parser.error("--ensemble needs a first model: mt evaluate MODEL --ensemble MODEL ...")
    if args.compare and not args.bootstrap:
        parser.error("--compare needs bootstrap resamples; leave out --bootstrap 0")
    for file in args.test or ():
        if Path(file).is_dir():
            parser.error(f"`{file}` is a folder, not a file; a model goes before --test")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_stdout()  # now, not after hours of translating
    from mt.log import setup

    setup()
    for file in filter(None, (args.hypotheses, args.compare)):
        check_file(file)  # now, for the same reason
    if args.hypotheses and args.references:
        report, pairs = given(args), None
        warn_of_blanks(report, lambda number: f"{args.references[0]}:{number}")
    else:
        pairs, args.tgt = references_of(args)
        check_compared(args)
        report = score(args, args.model, args.hypotheses, pairs)
        warn_of_blanks(report, lambda number: str(pairs[number - 1].origin))
    differences = against(args, report, pairs) if args.compare else []
    names = {"baseline": baseline(args), "other": args.compare} if args.compare else {}
    if args.json:
        print(json.dumps({**report.to_dict(), **names, "comparison": differences}, ensure_ascii=False, indent=2))
        return 0
    print(f"{report.name}, {counted(len(report.references), 'sentence')}\n{report.table()}")
    if (numerals := report.numerals()) is not None:
        print(numerals)
    if names:
        print(f"{names['baseline']} -> {names['other']}, paired bootstrap")
    for row in differences:
        print(row["text"])
    return 0


def warn_of_blanks(report: "Report", where: Callable[[int], str]) -> None:
    """Count the lines that are empty on one side. Args: where: the place of a reference, by its number from 1."""
    texts = list(enumerate(zip(report.hypotheses, report.references, strict=True), 1))
    for what, lines in {
        "line has no reference": [number for number, (_, reference) in texts if not reference.strip()],
        "translation is empty": [number for number, (one, other) in texts if other.strip() and not one.strip()],
    }.items():
        if lines:
            of_a_file = report.seconds is None or "reference" in what  # a model shifts no lines
            advice = " If blank lines shifted one of the files, its scores mean nothing." if of_a_file else ""
            logger.warning(
                f"{len(lines):,} of {counted(len(texts), 'line')}: the {what}; the first is {where(lines[0])}.{advice}"
            )


def references_of(args: argparse.Namespace) -> "tuple[list[Pair], str | None]":
    """The pairs of `--test`, or of the run's test set, and their target language."""
    from mt.train.evaluation_set import test_set

    try:
        return test_set(args.model, args.test, args.tgt)
    except CheckpointError as error:
        if not args.hypotheses or args.model:
            raise
        raise CheckpointError(error.message, hint="name the references with `--references FILE`.") from error


def baseline(args: argparse.Namespace) -> str:
    """The name of what `--compare` is compared with: the file, the model or the models, or the newest run."""
    from mt.checkpoint.model_folder import find_run

    if args.ensemble:
        return " + ".join(map(str, (args.model, *args.ensemble)))
    return str(args.hypotheses or args.model or find_run(None))


def given(args: argparse.Namespace) -> "Report":
    """Score one file against another. The name of the references may give the language."""
    from mt.evaluate import judge

    args.tgt = args.tgt or language_of(bare(args.references[0]))
    hypotheses, references = parallel_texts(args.hypotheses, args.references[0])
    args.more = [parallel_texts(args.hypotheses, file)[1] for file in args.references[1:]]
    return judge(
        Path(args.hypotheses).name, [""] * len(references), hypotheses, references,
        tgt=args.tgt, bootstrap=args.bootstrap, metrics=args.metrics, more=args.more,
    )  # fmt: skip


def score(
    args: argparse.Namespace,
    model: Path | None,
    hypotheses: str | None,
    pairs: "Sequence[Pair]",
    *,
    alone: bool = False,
) -> "Report":
    """The report of a model, or of a file of translations. Args: alone: the model is not one of the ensemble.

    It is written to the run's folder only for the run's own test set with the text of then, translated by torch and the
    model that the run chose with default options, with intervals and at least the usual scores.
    """
    from mt.evaluate import evaluate, judge

    sources, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
    wanted = {"tgt": args.tgt, "bootstrap": args.bootstrap, "metrics": args.metrics}
    if hypotheses is not None:
        return judge(Path(hypotheses).name, sources, lines_for(hypotheses, references), references, **wanted)
    from mt.checkpoint.model_folder import find_run, is_choice
    from mt.compute.device import set_up_cpu
    from mt.progress import Waiting
    from mt.train.evaluation_set import is_that_of_training

    set_up_cpu(None)
    translator = load_model(args, model) if alone else load_models(args)

    def translate(texts: Sequence[str]) -> list[str]:
        with Waiting("translating") as wait:
            names = [pair.origin for pair in pairs]
            return translator.translate(texts, names=names, beam=args.beam, on_progress=wait.show)

    run = find_run(args.model) if not args.test else None  # whose test set it is
    changed = run is not None and not is_that_of_training(run, pairs)
    name = "test (not that of the training)" if changed else "test"
    name = Path(args.test[0]).name.partition(".")[0] if args.test else name
    usual = args.usual and args.bootstrap and set(USUAL) <= set(args.metrics)
    own = usual and model == args.model and not changed and translator.engine is None
    chosen = own and run is not None and is_choice(model, run)  # a run that is training may choose another meanwhile
    report = evaluate(name, translate, sources, references, **wanted)
    if chosen and run is not None:
        try:
            report.write(run / "eval")
        except CheckpointError as error:  # of somebody else's run
            logger.warning(f"{error} The scores are only printed.")
    return report


def check_compared(args: argparse.Namespace) -> None:
    """Raises: ConfigError, DataError: for a model of `--compare` that cannot translate the same sources, before any is
    translated."""
    from mt.checkpoint.model_folder import languages
    from mt.checkpoint.two_models import check_direction, check_same_inputs
    from mt.data.corpus.readers import check_order

    if not args.compare or not Path(args.compare).is_dir():
        return
    other = Path(args.compare)
    if not args.hypotheses:
        check_same_inputs(args.model, other, "--compare")
        check_direction(args.model, other, "--compare")
    check_order(args.test or [], *languages(other), "the model of --compare translates")


def against(args: argparse.Namespace, report: "Report", pairs: "Sequence[Pair] | None") -> list[dict[str, Any]]:
    """Paired bootstrap of what was scored (the baseline) against `--compare`."""
    from mt.text.metrics import choose_tokenizer, compare

    other = Path(args.compare)
    if other.is_dir():
        if pairs is None:
            raise ConfigError("--compare with a model needs the sources: give --test instead of --references.")
        hypotheses = score(args, other, None, pairs, alone=True).hypotheses
    else:
        hypotheses = lines_for(args.compare, report.references)
    tokenize, _ = choose_tokenizer(args.tgt, report.references)
    found = compare(
        report.hypotheses, hypotheses, report.references, args.bootstrap,
        tokenize=tokenize, metrics=args.metrics, more=args.more,
    )  # fmt: skip
    return [
        {"name": c.name, "baseline": c.baseline, "other": c.other, "p_value": c.p_value, "text": str(c)} for c in found
    ]


def lines_for(file: str, references: list[str]) -> list[str]:
    """The lines of a file of translations. Raises: DataError: when there are not as many as references."""
    lines = file_texts(file)
    if len(lines) != len(references):
        raise DataError(
            f"{file} has {counted(len(lines), 'line')}, but there are {counted(len(references), 'reference')}: each "
            "line must be the translation of one sentence of the test set."
        )
    return lines
