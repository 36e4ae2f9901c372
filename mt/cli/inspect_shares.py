"""`mt inspect attention` for a model of several inputs: a table of the share of cross-attention of each input."""

import argparse
import logging
from collections.abc import Sequence

from mt.cli.inspect_rows import chosen_rows, encoded
from mt.cli.lines import results
from mt.config import Input
from mt.errors import counted

logger = logging.getLogger("mt")


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
