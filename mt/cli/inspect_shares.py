"""`mt inspect attention` for a model of several inputs: a table of the share of cross-attention of each input."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.lines import file_texts, results
from mt.config import Input
from mt.errors import ConfigError, DataError, counted

if TYPE_CHECKING:
    from mt.nn.source import Items

FOR_WORDS = ("compare", "gold", "spaces", "png", "svg")


def show_shares(args: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Writes the table to `args.output` or to stdout. Raises: ConfigError, DataError."""
    for option in FOR_WORDS:
        if getattr(args, option):
            raise ConfigError(f"--{option} needs a model that reads text, but {args.model} reads several inputs.")
    first, last = args.lines
    rows = table_rows(args, inputs, last)[first - 1 :]
    if not any(row.strip() for row in rows):
        raise DataError(
            "there is no row to show; give a table with --input, or cells with tabs between them as --text."
        )
    given = args.reference or (args.references and file_texts(args.references, last))
    texts = given[first - 1 : last] if given else None
    if texts is not None and len(texts) != len(rows):
        found = f"{counted(len(rows), 'row')} cannot have {counted(len(texts), 'translation')}"
        raise DataError(f"{found}: give one translation for each row.")
    from mt.decode.load import load
    from mt.interpret.source_shares import mean_share, shares_table, source_shares
    from mt.log import logger

    translator = load(args.model, device=args.device, precision="fp32")
    texts = translator.translate(rows) if texts is None else texts
    shown = [place for place, row in enumerate(rows) if row.strip()]
    sources = translator.encode_sources([rows[place] for place in shown])
    targets = translator.tokenizer.encode_target([texts[place] for place in shown])
    numbers = [first + place for place in shown]
    check_lengths(sources, targets, numbers, translator.max_length)
    found = list(source_shares(translator.stepper.model, translator.tokenizer, sources, targets))
    columns = [one.column for one in inputs]
    with results(args.output) as out:
        out.write(shares_table(columns, found, numbers).encode())
    shares = ", ".join(f"{name} {value:.1%}" for name, value in zip(columns, mean_share(found).tolist(), strict=True))
    logger.info(f"cross-attention over {counted(len(found), 'sentence')}: {shares}")
    return 0


def check_lengths(sources: "Items", targets: Sequence[list[int]], numbers: Sequence[int], most: int) -> None:
    """Raises: DataError: for a pair that is too long for the model. Args: numbers: of the pairs."""
    for number, source, target in zip(numbers, sources, targets, strict=True):
        if max(len(source), len(target) + 1) > most:
            raise DataError(
                f"input {number:,} has {len(source):,} rows and a translation of {len(target):,} tokens, but the model "
                f"takes at most {most:,} a side: shorten it."
            )


def table_rows(args: argparse.Namespace, inputs: Sequence[Input], last: int) -> list[str]:
    """The rows of the table, or those given as text, up to number `last`."""
    if args.text:
        return args.text[:last]
    from mt.data.corpus.columns import Columns

    columns = Columns(inputs, args.input, folder=str(Path(args.input).parent))
    cells = (columns(number, line) for number, line in enumerate(file_texts(args.input, last + 1), 1))
    return ["\t".join(row) for row in cells if row is not None][:last]
