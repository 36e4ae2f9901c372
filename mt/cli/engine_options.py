"""The options that choose the engine of a search, and loading a model with it."""

import argparse
import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt.cli.options import Parser
from mt.config import DecodeConfig
from mt.config.decode import options_of, own_search
from mt.config.from_json import from_plain
from mt.interchange import EXACT
from mt.text.languages import language_of_tag

if TYPE_CHECKING:
    from mt.decode.request import SearchSettings
    from mt.decode.translator import Translator
    from mt.interchange.verify import Sample

logger = logging.getLogger("mt")


def add_engine_options(parser: Parser) -> None:
    parser.add_argument(
        "--engine", default="torch", choices=["torch", "ct2", "auto"],
        help="ct2: search with CTranslate2; an export is made once, verified, and kept beside the model; auto: ct2 "
        "where it can, and the reason where it cannot (default: torch)",
    )  # fmt: skip
    parser.add_argument(
        "--quantization", metavar="KIND",
        help=f"of the weights for ct2: float32, float16, bfloat16, int8 (default: {EXACT})",
    )  # fmt: skip


def add_tag_option(parser: Parser) -> None:
    parser.add_argument(
        "--tag", metavar="TAG",
        help="read each text as if it began with this tag, such as <2de>, which asks a model of several languages for "
        "one of them; a text that begins with a tag keeps its own",
    )  # fmt: skip


def check_engine_options(parser: Parser, args: argparse.Namespace) -> None:
    """Raises: ConfigError: for all options that the engine cannot honour. With auto they are kept in
    `args.against_ct2`, and torch is chosen."""
    args.against_ct2 = []
    if args.engine == "torch":
        if args.quantization is not None:
            parser.error("--quantization is for --engine ct2 or auto; leave it out, or choose one of them")
        return
    if args.precision != "auto" and args.engine == "ct2":
        parser.error("--precision is for torch; --quantization chooses the numbers of --engine ct2")
    against = cannot_honour(args)
    if against and args.engine == "ct2":
        parser.error(f"--engine ct2 cannot honour {', '.join(against)}; leave out what it cannot honour")
    args.against_ct2 = against


def cannot_honour(args: argparse.Namespace) -> list[str]:
    """The given options that only our own search honours."""
    given = {name: value for name, value in settings(args).items() if value is not None}
    section = from_plain(DecodeConfig, {**asdict(DecodeConfig()), **given}, "options")
    found = [f"--{name.replace('_', '-')}" for name in own_search(section)]
    if args.precision != "auto":
        found.append("--precision")
    if getattr(args, "sample", False):
        found.append("--sample")
    if getattr(args, "mbr", None) and args.mbr_from == "samples":
        found.append("--mbr from samples")
    if getattr(args, "ensemble", None):
        found.append("--ensemble")
    return found


def settings(args: argparse.Namespace) -> "SearchSettings":
    """The search settings of the options; None: not given."""
    given: Any = {name: getattr(args, name, None) for name in options_of(DecodeConfig)}
    return given


def load_model(args: argparse.Namespace, path: Path | None) -> "Translator":
    """The model with the engine and the tag of the options. Raises: CheckpointError, ConfigError."""
    if args.engine == "torch" or args.against_ct2:
        from mt.decode.load import load as load_with_torch

        if args.against_ct2:
            logger.warning(f"torch searches, not CTranslate2: it cannot honour {', '.join(args.against_ct2)}")
        translator = load_with_torch(path, device=args.device, precision=args.precision)
    else:
        from mt.interchange.load import load

        translator = load(
            path, engine=args.engine, quantization=args.quantization or EXACT, device=args.device,
            precision=args.precision, settings=settings(args), sampler=partial(sample_of, path),
        )  # fmt: skip
    return tagged(translator, getattr(args, "tag", None))


def tagged(translator: "Translator", tag: str | None) -> "Translator":
    from mt.decode.load import with_tag

    return translator if tag is None else with_tag(translator, tag)


def direction(args: argparse.Namespace) -> tuple[str, str]:
    """The languages of the model, of whose targets `--tag` may name one."""
    from mt.checkpoint.model_folder import languages

    src, tgt = languages(args.model)
    return src, language_of_tag(args.tag or "") or tgt


def sample_of(path: Path | None, translator: "Translator") -> "Sample":
    """The sentences that a new export is verified on."""
    from mt.checkpoint.model_folder import languages
    from mt.cli.export_sample import choose_sample

    return choose_sample(translator, path, [], *languages(path))
