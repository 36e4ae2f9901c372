"""`mt import`: a model of another program as a model folder."""

import argparse
import logging
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.options import Parser, Switch, check_new
from mt.text.languages import check_code

if TYPE_CHECKING:
    from mt.interchange.hf_import import Imported

logger = logging.getLogger("mt")
FORMATS = (
    "hf: a folder for MarianMTModel of transformers, such as the models of OPUS-MT; argos: a package that `mt export "
    "argos` has written"
)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt import",
        description="Make a model folder of a model from another program, for all commands of mt: translate with it, "
        "or train it further (`mt train init=OUT`). What cannot be the same here is refused. Nothing in a file is run.",
        epilog="example:\n  mt import hf opus-mt-en-de models/en-de",
    )
    parser.add_argument("format", choices=["hf", "argos"], help=FORMATS)
    parser.add_argument("source", type=Path, metavar="FROM", help="the folder or file")
    parser.add_argument("out", type=Path, metavar="OUT", help="the new model folder")
    parser.add_argument("--src", metavar="LANG", help="hf: the source language (default: what the folder says)")
    parser.add_argument("--tgt", metavar="LANG", help="hf: the target language")
    parser.add_argument(
        "--verify", action=Switch, default=True,
        help="hf: where `transformers` is installed, translate made sentences with both and compare",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.format == "argos" and (args.src or args.tgt or not args.verify):
        parser.error("--src, --tgt and --no-verify belong to hf; leave them out for argos")
    for key in ("src", "tgt"):
        if given := getattr(args, key):
            check_code(given, f"--{key}")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    check_new(args.out)
    from mt.log import setup

    setup()
    if args.format == "hf":
        import_hf(args)
    else:
        from mt.interchange.argos import read_package

        read_package(args.source, args.out)
    print(
        f"The model is in {args.out}. To translate with it: mt translate {shlex.quote(str(args.out))}. To train it "
        f"further: mt train {shlex.quote(f'init={args.out}')}"
    )
    return 0


def import_hf(args: argparse.Namespace) -> None:
    """Raises: ConfigError, CheckpointError: as `read_hf`, and when the model does not translate as in transformers."""
    from mt.checkpoint import write_folder
    from mt.checkpoint.model_folder import CARD, WEIGHTS
    from mt.interchange.hf_import import read_hf

    found = read_hf(args.source, args.src, args.tgt)
    if found.unkept:
        logger.warning(f"search settings that mt does not have are left out: {', '.join(found.unkept)}")
    if args.verify and find_spec("transformers") is not None:
        verify_import(args.source, found)
    elif args.verify:
        logger.warning("the import was not verified, because the package `transformers` is not installed.")
    files = found.description.files(found.tokenizer)
    weights = {name: tensor.detach() for name, tensor in found.model.named_parameters()}
    name = args.source.resolve().name
    card = model_card(found, name).encode(errors="backslashreplace")
    write_folder(args.out, {**files, WEIGHTS: weights, CARD: card}, meta={"name": name}, free={CARD})


def verify_import(folder: Path, found: "Imported") -> None:
    """Raises: CheckpointError: unless the model splits and translates sentences as it does in transformers."""
    from mt.decode.search.transformer_stepper import CachedStepper
    from mt.decode.translator import Translator
    from mt.interchange.hf_engine import HfEngine
    from mt.interchange.verify import own_sample, verify

    told = found.description
    stepper = CachedStepper(found.model, told.precision)
    translator = Translator(stepper, found.tokenizer, told.decode, max_length=told.max_length, src=told.src)
    engine = HfEngine(folder, found.tokenizer)
    logger.info(f"{verify(translator, engine, own_sample(translator), tgt=told.tgt)}")


def model_card(found: "Imported", name: str) -> str:
    told = found.description
    return f"""# {told.src} to {told.tgt}: {name}

Imported from a folder for MarianMT with `mt import hf`. Its licence and its training text are those of that model.

```
mt translate THIS_FOLDER < input.{told.src} > output.{told.tgt}
```
"""
