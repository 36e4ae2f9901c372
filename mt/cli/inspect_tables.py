"""`mt inspect attention` for a model that reads columns of a table: a page of heat maps over pictures, sound, text and
other rows, or a table of the share of cross-attention of each of several inputs."""

import argparse
import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mt.cli.lines import file_texts, results
from mt.config import Input
from mt.data.corpus.columns import read_sources
from mt.errors import ConfigError, DataError, counted
from mt.files import write_output

if TYPE_CHECKING:
    from mt.decode.translator import Translator
    from mt.inputs.reader import Item

logger = logging.getLogger("mt")
OF_TEXT = ("compare", "gold", "spaces", "svg")  # options that need words on both sides


class Rows(NamedTuple):
    """Rows that are not empty, with their numbers, from 1."""

    numbers: list[int]
    names: list[str]  # for errors
    sources: list[str]
    given: list[str] | None  # translations


def show_inputs(args: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Writes the page to `args.output`, a picture of the first row to `args.png`.

    Raises: ConfigError, DataError: as `chosen_rows`, `encoded`.
    """
    rows = chosen_rows(args, inputs)
    from mt.decode.load import load
    from mt.interpret.inputs import inputs_page, observe_inputs

    translator = load(args.model, device=args.device, precision="fp32")
    model, tokenizer, reader = translator.stepper.model, translator.tokenizer, translator.reader
    assert reader is not None
    texts, items, _ = encoded(translator, rows)
    seen = observe_inputs(model, tokenizer, reader, rows.sources, items, texts, max_length=translator.max_length)
    name = model_name(args.model)
    if args.output:
        write_page(args.output, inputs_page(name, rows.sources, seen, f"Attention of {name}"))
    if args.png:
        from mt.interpret.input_pictures import drawing

        write_output(args.png, drawing(seen[0]))
    return 0


def show_shares(args: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Writes the table to `args.output` or to stdout. Raises: ConfigError, DataError: as `chosen_rows`, `encoded`."""
    rows = chosen_rows(args, inputs)
    from mt.decode.load import load
    from mt.interpret.source_shares import mean_share, shares_table, source_shares

    translator = load(args.model, device=args.device, precision="fp32")
    _, sources, targets = encoded(translator, rows)
    found = list(source_shares(translator.stepper.model, translator.tokenizer, sources, targets))
    columns = [one.column for one in inputs]
    with results(args.output) as out:
        out.write(shares_table(columns, found, rows.numbers).encode())
    shares = ", ".join(f"{name} {value:.1%}" for name, value in zip(columns, mean_share(found).tolist(), strict=True))
    logger.info(f"cross-attention over {counted(len(found), 'sentence')}: {shares}")
    return 0


def chosen_rows(args: argparse.Namespace, inputs: Sequence[Input]) -> Rows:
    """The rows of the table `--input`, or those of `--text`, which are cells with tabs between them.

    Raises: ConfigError: for an option that needs words on both sides; DataError.
    """
    for option in OF_TEXT:
        if getattr(args, option):
            raise ConfigError(f"--{option} needs a model that reads text, but {args.model} reads columns of a table.")
    first, last = args.lines.start + 1, args.lines.stop
    typed = ((text, f"row {number:,}") for number, text in enumerate(args.text or (), 1))
    found = list(islice(read_sources(args.input, inputs) if args.input else typed, first - 1, last))
    sources = [source for source, _ in found]
    if not any(source.strip() for source in sources):
        hint = "the first row of a TSV table is its header." if first == 1 else "lower the numbers of --lines."
        raise DataError(f"{args.input or '--text'} has no row to show.", hint=hint)
    translations = args.reference if args.references is None else file_texts(args.references, last)
    given = None if translations is None else translations[args.lines]
    if given is not None and len(given) != len(sources):
        problem = f"{counted(len(sources), 'row')} cannot have {counted(len(given), 'translation')}"
        raise DataError(f"{problem}.", hint="give one translation for each row.")
    shown = [place for place, source in enumerate(sources) if source.strip()]
    return Rows(
        numbers=[first + place for place in shown],
        names=[f"{found[place][1]}" for place in shown],
        sources=[sources[place] for place in shown],
        given=None if given is None else [given[place] for place in shown],
    )


def encoded(translator: "Translator", rows: Rows) -> "tuple[list[str], list[Item], list[list[int]]]":
    """The translations, and sources and translations as the model reads them.

    Raises: DataError: for a row that cannot be read, and for a pair that is too long for the model.
    """
    sources = translator.encode_sources(rows.sources, rows.names)
    texts = rows.given or translator.translate(rows.sources, names=rows.names)
    targets = translator.tokenizer.encode_target(texts)
    most = translator.max_length
    for name, source, target in zip(rows.names, sources, targets, strict=True):
        if max(len(source), len(target) + 1) > most:
            raise DataError(
                f"{name}: the source has {len(source):,} rows and the translation {len(target):,} tokens, but the "
                f"model takes at most {most:,} a side.",
                hint="shorten it.",
            )
    return texts, sources, targets


def model_name(path: Path) -> str:
    """What a page calls the model of a folder: the name of its run, or its own."""
    return path.parent.name if path.name == "model" else path.name


def write_page(path: Path, html: str) -> None:
    """Raises: CheckpointError: when it cannot be written."""
    write_output(path, html.encode("utf-8", "replace"))  # a word of the command line need not be UTF-8
    if path.is_file():  # no pipe
        logger.info(f"open {path} in a browser")
