"""`mt inspect attention` for a model that reads a table: heat maps over pictures, sound, text and other rows."""

import argparse
from collections.abc import Sequence

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
    from mt.log import logger

    translator = load(args.model, device=args.device, precision="fp32")
    model, tokenizer, reader = translator.stepper.model, translator.tokenizer, translator.reader
    assert reader is not None
    texts = rows.given or translator.translate(rows.sources)
    items, _ = encoded(translator, rows, texts)
    seen = observe_inputs(model, tokenizer, reader, rows.sources, items, texts, max_length=translator.max_length)
    name = args.model.parent.name if args.model.name == "model" else args.model.name
    if args.output:
        html = inputs_page(name, rows.sources, seen, f"Attention of {name}")
        with explained(f"`{args.output}` cannot be written"):
            args.output.write_text(html, encoding="utf-8", newline="\n")
        logger.info(f"open {args.output} in a browser")
    if args.png:
        from mt.interpret.input_pictures import draw

        with explained(f"`{args.png}` cannot be written"):
            draw(seen[0], args.png)
    return 0
