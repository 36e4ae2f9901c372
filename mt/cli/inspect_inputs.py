"""`mt inspect attention` for a model that reads a table: heat maps over pictures, sound, text and other rows."""

import argparse
from collections.abc import Sequence

from mt.cli.inspect_page import model_name, write_page
from mt.cli.inspect_rows import chosen_rows, encoded
from mt.config import Input


def show_inputs(args: argparse.Namespace, inputs: Sequence[Input]) -> int:
    """Writes the page to `args.output`, a picture of the first row to `args.png`.

    Raises: ConfigError, DataError: as `chosen_rows`, `encoded`.
    """
    rows = chosen_rows(args, inputs)
    from mt.decode.load import load
    from mt.files import explained
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
        from mt.interpret.input_pictures import draw

        with explained(f"`{args.png}` cannot be written"):
            draw(seen[0], args.png)
    return 0
