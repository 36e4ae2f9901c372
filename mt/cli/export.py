"""`mt export`: a trained model for another engine."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mt.cli.options import Parser
from mt.errors import ConfigError, require_package
from mt.files import explained, obstacle

QUANTIZATION = "float32"


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt export",
        description="Write a trained model for CTranslate2, a C++ engine, with the tokenizer's files beside it, and "
        "print the Python code that translates with it. The export is verified before it appears: it translates "
        "sentences as the model does, or the command fails.",
        epilog="example:\n  mt export ct2 runs/my-run exported --quantization int8",
    )
    parser.add_argument("format", choices=["ct2"], help="ct2: a CTranslate2 model folder (needs `ctranslate2`)")
    parser.add_argument("model", type=Path, metavar="MODEL", help="model folder, run or checkpoint")
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", help="the new folder (default: MODEL-ct2)")
    parser.add_argument(
        "--quantization", default=QUANTIZATION, help=f"float32, float16, bfloat16, int8 (default: {QUANTIZATION})"
    )
    parser.add_argument(
        "--verify", action=argparse.BooleanOptionalAction, default=True,
        help="translate sentences with both engines and compare pieces, log-probabilities, BLEU and chrF++",
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
    args.out = args.out or Path(f"{args.model.resolve().name}-{args.format}")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_out(args.out)
    require_package("ctranslate2", "export to CTranslate2")
    from mt.log import setup

    setup()
    example = export_ct2(args.model, args.out, args.quantization, sample=args.sample if args.verify else None)
    print(
        f"The model for CTranslate2 is in {args.out} ({args.quantization}). To translate with it in Python, with "
        f"the packages ctranslate2 and sentencepiece only:\n\n{example}",
        end="",
    )
    return 0


def check_out(out: Path) -> None:
    """Raises: ConfigError: when `out` is there, or cannot be made."""
    if out.exists():
        raise ConfigError(f"`{out}` already exists.", hint="name a new folder.")
    with explained(f"`{out}` cannot be created"):
        found = obstacle(out)
    if found is not None:
        raise ConfigError(f"`{out}` cannot be created, because {found}.")


def export_ct2(
    model_folder: Path, out: Path, quantization: str = QUANTIZATION, *, sample: Sequence[str] | None = None
) -> str:
    """A model folder, run or checkpoint as a CTranslate2 folder; returns Python code that translates with it.

    Args: sample: files to verify the export on, empty: chosen by `choose_sample`; None: it is not verified.
    Raises: CheckpointError: also when the export does not translate as the model; ConfigError, DataError.
    """
    from mt.alignment.kept_heads import load_heads
    from mt.checkpoint.model_folder import find_model, languages
    from mt.decode.load import load
    from mt.interchange.ct2 import python_example, write_ct2
    from mt.log import logger

    translator = load(model_folder, device="cpu", precision="fp32")
    model = translator.stepper.model

    def check(folder: Path) -> None:
        if sample is None:
            return
        from mt.cli.export_sample import choose_sample
        from mt.interchange.verify import verify_ct2

        src, tgt = languages(model_folder)
        chosen = choose_sample(translator, model_folder, sample, src, tgt)
        logger.info(f"{verify_ct2(translator, folder, chosen, tgt=tgt, exact=quantization == QUANTIZATION)}")

    heads = load_heads(find_model(model_folder), model)
    write_ct2(model, translator.tokenizer, out, quantization=quantization, heads=heads, check=check)
    return python_example(translator.tokenizer, translator.section, out, max_length=translator.max_length)
