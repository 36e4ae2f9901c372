"""`mt export`: a trained model for another engine."""

import argparse
from pathlib import Path

from mt.cli.options import Parser
from mt.errors import ConfigError, require_package


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt export",
        description="Write a trained model for CTranslate2, a C++ engine, with the tokenizer's files beside it, and "
        "print the Python code that translates with it.",
        epilog="example:\n  mt export ct2 runs/my-run exported --quantization int8",
    )
    parser.add_argument("format", choices=["ct2"], help="ct2: a CTranslate2 model folder (needs `ctranslate2`)")
    parser.add_argument("model", type=Path, metavar="MODEL", help="model folder, run or checkpoint")
    parser.add_argument("out", type=Path, metavar="OUT", help="the new folder")
    parser.add_argument("--quantization", default="float32", help="float32, float16, bfloat16, int8 (default: float32)")
    return parser.parse_args(argv)


def run(argv: list[str]) -> int:
    args = parse(argv)
    if args.out.exists():
        raise ConfigError(f"`{args.out}` already exists; name a new folder.")
    nearest = next(path for path in args.out.absolute().parents if path.exists())
    if not nearest.is_dir():
        raise ConfigError(f"`{args.out}` cannot be created, because `{nearest}` is not a folder.")
    require_package("ctranslate2", "export to CTranslate2")
    from mt.log import setup

    setup()
    example = export_ct2(args.model, args.out, args.quantization)
    print(
        f"The model for CTranslate2 is in {args.out} ({args.quantization}). To translate with it in Python, with "
        f"the packages ctranslate2 and sentencepiece only:\n\n{example}",
        end="",
    )
    return 0


def export_ct2(model_folder: Path, out: Path, quantization: str = "float32") -> str:
    """A model folder, run or checkpoint as a CTranslate2 folder; returns Python code that translates with it.

    Raises: CheckpointError, ConfigError.
    """
    from mt.decode.load import load
    from mt.interchange.ct2 import python_example, write_ct2

    translator = load(model_folder, device="cpu", precision="fp32")
    write_ct2(translator.stepper.model, translator.tokenizer, out, quantization=quantization)
    return python_example(translator.tokenizer, translator.section, out, max_length=translator.max_length)
