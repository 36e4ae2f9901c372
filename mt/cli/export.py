"""`mt export`: a trained model for another engine."""

import argparse
import logging
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mt.cli.options import Parser, Switch, check_new
from mt.errors import require_package
from mt.files import explained
from mt.interchange import EXACT

if TYPE_CHECKING:
    from mt.decode.translator import Translator
    from mt.interchange.verify import Engine

logger = logging.getLogger("mt")
QUANTIZATIONS = {"ct2": EXACT, "argos": "int8"}  # the defaults
FORMATS = (
    "ct2: a CTranslate2 model folder; hf: a folder for MarianMTModel and MarianTokenizer of transformers; argos: a "
    "package for Argos Translate and LibreTranslate, with the model itself inside (ct2, argos: need `ctranslate2`)"
)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt export",
        description="Write a trained model for another engine. The export is verified before it appears: it translates "
        "sentences as the model does, or the command fails.",
        epilog="examples:\n  mt export ct2 runs/my-run exported --quantization int8\n  mt export argos runs/my-run",
    )
    parser.add_argument("format", choices=["ct2", "hf", "argos"], help=FORMATS)
    parser.add_argument("model", type=Path, metavar="MODEL", help="model folder, run or checkpoint")
    parser.add_argument(
        "out", type=Path, nargs="?", metavar="OUT",
        help="the new folder (default: MODEL-FORMAT), or the new file (default: MODEL.argosmodel)",
    )  # fmt: skip
    parser.add_argument(
        "--quantization", help="ct2, argos: float32, float16, bfloat16, int8 (default: float32 and int8)"
    )
    parser.add_argument("--src", metavar="LANG", help="argos: the code of the source language (default: the model's)")
    parser.add_argument("--tgt", metavar="LANG", help="argos: the code of the target language")
    parser.add_argument(
        "--verify", action=Switch, default=True,
        help="translate sentences with both engines and compare pieces, log-probabilities, BLEU and chrF++ (hf: where "
        "`transformers` is installed)",
    )  # fmt: skip
    parser.add_argument(
        "--sample", nargs="+", default=[], metavar="FILE",
        help="sentences for --verify, and their translations (default: of the run's dev set, or else made of the "
        "model's vocabulary)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if len(args.sample) > 2:
        parser.error("--sample takes one file of sentences, or two: sentences and their translations")
    if args.sample and not args.verify:
        parser.error("--sample has no effect with --no-verify; leave one of the two out")
    for option, formats in (("quantization", QUANTIZATIONS), ("src", ["argos"]), ("tgt", ["argos"])):
        if getattr(args, option) and args.format not in formats:
            parser.error(f"--{option} belongs to {' and '.join(formats)}; leave it out for {args.format}")
    name = args.model.resolve().name
    args.out = args.out or Path(f"{name}.argosmodel" if args.format == "argos" else f"{name}-{args.format}")
    if args.format == "argos" and args.out.suffix != ".argosmodel":
        parser.error(f"OUT must end in .argosmodel, but is {args.out}")
    args.quantization = args.quantization or QUANTIZATIONS.get(args.format)
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_new(args.out, "file" if args.format == "argos" else "folder")
    if args.format != "hf":
        require_package("ctranslate2", "export to CTranslate2")
    from mt.log import setup

    setup()
    verified = args.verify and (args.format != "hf" or find_spec("transformers") is not None)
    sample = args.sample if verified else None
    if args.format == "hf":
        export_hf(args.model, args.out, sample=sample)
        if args.verify and not verified:
            logger.warning("the export was not verified, because the package `transformers` is not installed.")
        print(f"The model for transformers (MarianMTModel, MarianTokenizer) is in {args.out}.")
    elif args.format == "argos":
        export_argos(args.model, args.out, args.quantization, sample=sample, src=args.src, tgt=args.tgt)
        call = f"import argostranslate.package as p; p.install_from_path({str(args.out)!r})"
        typed = shlex.quote(call) if set(call) & set('"$`\\!') else f'"{call}"'  # by the name of the file
        print(
            f"The package for Argos Translate is in {args.out} ({args.quantization}). To install it there:\n\n"
            f"python -c {typed}"
        )
    else:
        example = export_ct2(args.model, args.out, args.quantization, sample=sample)
        print(
            f"The model for CTranslate2 is in {args.out} ({args.quantization}). To translate with it in Python, with "
            f"the packages ctranslate2 and sentencepiece only:\n\n{example}",
            end="",
        )
    return 0


def export_ct2(model_folder: Path, out: Path, quantization: str = EXACT, *, sample: Sequence[str] | None = None) -> str:
    """A model folder, run or checkpoint as a CTranslate2 folder; returns Python code that translates with it.

    Args: sample: files to verify the export on, empty: chosen by `choose_sample`; None: it is not verified.
    Raises: CheckpointError: also when the export does not translate as the model; ConfigError, DataError.
    """
    from mt.decode.load import load
    from mt.interchange.ct2 import python_example

    translator = load(model_folder, device="cpu", precision="fp32")
    write_engine(translator, model_folder, out, quantization, sample)
    return python_example(translator.tokenizer, translator.section, out, max_length=translator.max_length)


def write_engine(
    translator: "Translator", model_folder: Path, out: Path, quantization: str, sample: Sequence[str] | None,
    positions: int = 0,
) -> None:  # fmt: skip
    """The CTranslate2 folder `out` of a loaded model. Args and errors: as `export_ct2` and `write_ct2`."""
    from mt.alignment.aligner import load_heads
    from mt.checkpoint.model_folder import find_model
    from mt.interchange.ct2 import write_ct2
    from mt.interchange.ct2_engine import Ct2Engine

    model = translator.stepper.model

    def check(folder: Path) -> None:
        if sample is not None:
            compare(translator, model_folder, Ct2Engine(folder, translator.tokenizer), sample, quantization == EXACT)

    heads = load_heads(find_model(model_folder), model)
    with explained(f"`{out}` cannot be written"):
        write_ct2(
            model, translator.tokenizer, out, quantization=quantization, heads=heads, positions=positions, check=check
        )


def export_hf(model_folder: Path, out: Path, *, sample: Sequence[str] | None = None) -> None:
    """A model folder, run or checkpoint as a folder for transformers. Args and errors: as `export_ct2`."""
    from mt.checkpoint.model_folder import languages
    from mt.decode.load import load
    from mt.interchange.hf import write_hf

    translator = load(model_folder, device="cpu", precision="fp32")
    src, tgt = languages(model_folder)

    def check(folder: Path) -> None:
        if sample is not None:
            from mt.interchange.hf_engine import HfEngine

            compare(translator, model_folder, HfEngine(folder, translator.tokenizer), sample, True)

    with explained(f"`{out}` cannot be written"):
        write_hf(
            translator.stepper.model, translator.tokenizer, out, section=translator.section,
            max_length=translator.max_length, src=src, tgt=tgt, check=check,
        )  # fmt: skip


def export_argos(
    model_folder: Path, out: Path, quantization: str, *, sample: Sequence[str] | None = None,
    src: str | None = None, tgt: str | None = None,
) -> None:  # fmt: skip
    """A model folder, run or checkpoint as a package for Argos Translate.

    Args: src, tgt: codes of the languages; None: the model's; others, and errors: as `export_ct2`.
    """
    from mt.checkpoint.model_folder import languages
    from mt.decode.load import load
    from mt.interchange.argos import LONGEST, Direction, check_package, write_package

    told = languages(model_folder)
    direction = Direction.of(src or told[0], tgt or told[1])
    translator = load(model_folder, device="cpu", precision="fp32")
    check_package(direction, translator.tokenizer, translator.stepper.model.config)
    with TemporaryDirectory(prefix="mt-") as work:
        engine = Path(work) / "engine"
        write_engine(translator, model_folder, engine, quantization, sample, LONGEST)
        write_package(out, engine=engine, model=model_folder, direction=direction)


def compare(translator: "Translator", model: Path, engine: "Engine", sample: Sequence[str], exact: bool) -> None:
    """Log how an engine compares with the model that it was made of. Raises: CheckpointError: when they differ."""
    from mt.checkpoint.model_folder import languages
    from mt.cli.export_sample import choose_sample
    from mt.interchange.verify import verify

    src, tgt = languages(model)
    chosen = choose_sample(translator, model, sample, src, tgt)
    logger.info(f"{verify(translator, engine, chosen, tgt=tgt, exact=exact)}")
