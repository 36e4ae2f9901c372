"""`mt inspect attention` for a model that reads columns of a table: heat maps over pictures, sound and other rows."""

import argparse
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from mt.cli.lines import file_lines, file_texts
from mt.errors import ConfigError, DataError, counted

if TYPE_CHECKING:
    from mt.decode.translator import Translator

OF_TEXT = ("compare", "gold", "spaces", "png", "svg")  # options that need words on both sides


def show_frames(args: argparse.Namespace) -> int:
    """Raises: ConfigError: for an option that needs words on both sides; DataError: for a row that cannot be read."""
    for option in OF_TEXT:
        if getattr(args, option):
            raise ConfigError(f"--{option} needs a model that reads text, but {args.model} reads columns of a table.")
    from mt.decode.load import load
    from mt.files import explained
    from mt.interpret.frames import frames_page, observe_frames
    from mt.log import logger

    translator = load(args.model, device=args.device, precision="fp32")
    reader = translator.reader
    assert reader is not None
    kind = reader.kinds[0]
    if len(reader.inputs) > 1 or kind is None:
        read = ", ".join(f"{one.column} ({one.kind})" for one in reader.inputs)
        raise ConfigError(f"the page shows attention to one column that is not text, but {args.model} reads {read}.")
    first, last = args.lines
    sources = rows_from(args, translator)[first - 1 : last]
    if not sources:
        raise DataError(f"{args.input or '--text'} has no row to show; the first row of a table is its header.")
    given = args.reference or (args.references and file_texts(args.references, last))
    targets = given[first - 1 : last] if given else translator.translate(sources)
    if len(targets) != len(sources):
        found = f"{counted(len(sources), 'row')} cannot have {counted(len(targets), 'translation')}"
        raise DataError(f"{found}: give one translation for each row.")
    name = args.model.parent.name if args.model.name == "model" else args.model.name
    seen = observe_frames(
        translator.stepper.model, translator.tokenizer, kind, translator.encode_sources(sources), targets,
        max_length=translator.max_length,
    )  # fmt: skip
    html = frames_page(name, sources, seen, f"Attention of {name}")
    with explained(f"`{args.output}` cannot be written"):
        args.output.write_text(html, encoding="utf-8", newline="\n")
    logger.info(f"open {args.output} in a browser")
    return 0


def rows_from(args: argparse.Namespace, translator: "Translator") -> Sequence[str]:
    """The sources of `--text`, each the cells of a row, or of the table `--input`; empty rows are left out."""
    from mt.cli.translate import rows_of

    assert translator.reader is not None
    rows = iter(args.text or ())
    if args.input:
        lines = rows_of(file_lines(args.input, None), translator.reader, args.input, None)
        rows = islice((line.text for line in lines), args.lines[1])
    return [row for row in rows if row.strip()]
