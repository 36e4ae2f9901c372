"""`mt inspect attention` for a model of one input that is not text: heat maps over pictures, sound and other rows."""

import argparse
from collections.abc import Sequence

from mt.cli.inspect_page import model_name, write_page
from mt.cli.inspect_rows import chosen_rows, encoded
from mt.config import Input
from mt.errors import ConfigError


def show_frames(args: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Raises: ConfigError, DataError: as `chosen_rows`, `encoded`, and for an input of text."""
    rows = chosen_rows(args, inputs)
    from mt.decode.load import load
    from mt.interpret.frames import frames_page, observe_frames

    translator = load(args.model, device=args.device, precision="fp32")
    assert translator.reader is not None
    kind = translator.reader.kinds[0]
    if kind is None:
        raise ConfigError(
            f"the page shows attention to a column that is not text, but {args.model} reads {inputs[0].column} (text)."
        )
    texts = rows.given or translator.translate(rows.sources)
    sources, _ = encoded(translator, rows, texts)
    name = model_name(args.model)
    seen = observe_frames(
        translator.stepper.model, translator.tokenizer, kind, sources, texts, max_length=translator.max_length
    )
    write_page(args.output, frames_page(name, rows.sources, seen, f"Attention of {name}"))
    return 0
