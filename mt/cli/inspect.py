"""`mt inspect attention`: an HTML page that shows a model's cross-attention, and pictures for papers; for a model of
several inputs also a table (`inspect_tables.py`)."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.inspect_tables import model_name, show_inputs, show_shares, write_page
from mt.cli.lines import file_texts
from mt.cli.options import Parser, check_output
from mt.data.corpus.names import check_language
from mt.errors import ConfigError, DataError, counted
from mt.files import write_output

if TYPE_CHECKING:
    from mt.alignment.pharaoh import Gold
    from mt.interpret.report import Exhibit

logger = logging.getLogger("mt")
EPILOG = """\
examples:
  mt inspect attention runs/my-run --text "Two dogs are running."
  mt inspect attention runs/a --compare runs/b --input test.en --references test.de -o attention.html
  mt inspect attention runs/a --text "Two dogs are running." --png dogs.png
  mt inspect attention runs/captions --input test.tsv --lines 5
  mt inspect attention runs/two --input test.tsv -o two.html

For a model of columns of a table, --input is a table, --text its cells, and the page shows where in the picture, the
recording or the text the model looked for each word.

Without references the page shows the model's own translations. The page loads nothing from the network.

For a model of several inputs, -o FILE.html writes the page, with the inputs side by side. Otherwise the share of each
input is written as a table to stdout or -o."""


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt inspect", description="Show a model's attention as an HTML page.", epilog=EPILOG,
        files=["--input {}", "--input {} --references {}"],
    )  # fmt: skip
    parser.add_argument("what", choices=["attention"], help="what to show")
    parser.add_argument("model", type=Path, help="model folder, run or checkpoint")
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", nargs="+", metavar="LINE", help="source sentences, or cells such as photo.png")
    text.add_argument(
        "-i", "--input", metavar="FILE",
        help="a file of source sentences; the first 20 are shown, others with --lines 21-40",
    )  # fmt: skip
    translations = parser.add_mutually_exclusive_group()
    translations.add_argument(
        "--reference", nargs="+", metavar="LINE", help="their translations (default: the model's own)"
    )
    translations.add_argument("--references", metavar="FILE", help="a file of translations")
    parser.add_argument(
        "--lines", type=line_range, default=line_range("20"), metavar="N|M-N",
        help="show the first N sentences, or sentences M to N (default: 20)",
    )  # fmt: skip
    parser.add_argument("--compare", type=Path, metavar="MODEL", help="a second model, shown beside the first")
    parser.add_argument(
        "--gold", metavar="FILE", help="manual word links of the references: gives the AER of each head"
    )
    parser.add_argument("--gold-base", type=int, choices=[0, 1], help="whether --gold counts words from 0 or from 1")
    parser.add_argument("--spaces", action="store_true", help="split words at white space only, as with --gold")
    parser.add_argument(
        "-o", "--output", type=Path, help="page to write (default: attention.html, or no page with --png or --svg)"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="also draw the chosen heads for the first sentence")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="the same as vector graphics")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    args = parser.parse_args(argv)
    if (args.gold is None) != (args.gold_base is None):
        parser.error("--gold and --gold-base must be given together: the words of --gold count from 0 or from 1")
    if args.gold and not (args.reference or args.references):
        parser.error("--gold needs the translations that it links; give --references")
    for kind in ("png", "svg"):
        path = getattr(args, kind)
        if path is not None and path.suffix.lower() != f".{kind}":
            parser.error(f"--{kind} must name a file that ends in .{kind}, but names {path}")
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    for option in ("output", "png", "svg"):
        check_output(getattr(args, option), args.input, args.references, args.gold, option=f"--{option}")
    from mt.checkpoint.model_folder import table_columns
    from mt.compute.device import set_up_cpu
    from mt.log import setup

    setup()
    set_up_cpu(None)
    inputs, _ = table_columns(args.model)
    pictures = args.png or (args.output and args.output.suffix.lower() in (".html", ".htm"))
    if len(inputs) > 1 and not pictures:
        return show_shares(args, inputs)
    check_page(args.output)
    if args.output is None and not (args.png or args.svg):
        args.output = Path("attention.html")
    if inputs:
        return show_inputs(args, inputs)
    first, last = args.lines.start + 1, args.lines.stop
    lines = args.text or file_texts(args.input, last + 1)  # read once: it may be a pipe
    sources = lines[args.lines]
    given = args.reference and args.reference[args.lines]
    if args.references:
        given = file_texts(args.references, last)[args.lines]
    if first > 1 and not sources:
        raise DataError(f"{args.input or '--text'} has fewer than {counted(first, 'sentence')}, where --lines begins.")
    if not any(text.strip() for text in sources):
        raise DataError("there is no text to show; give a sentence with --text, or a file with --input.")
    if given is not None and len(given) != len(sources):
        found = f"{counted(len(sources), 'sentence')} cannot have {counted(len(given), 'translation')}"
        raise DataError(f"{found}: give one translation for each sentence.")
    gold = gold_of(args, sources, given)
    from mt.interpret.report import page

    check_languages(args)
    exhibits = [exhibit(path, sources, given, gold, args) for path in (args.model, args.compare) if path]
    title = f"Attention of {' and '.join(one.name for one in exhibits)}"
    if args.output:
        write_page(args.output, page(exhibits, title))
        if args.input and len(lines) > last:
            logger.info(
                f"it shows sentences {first:,} to {last:,} of {args.input}; for the next ones give "
                f"--lines {last + 1}-{2 * last - first + 1}"
            )
    if args.png or args.svg:
        from mt.interpret.heat_maps import drawing

        for path in filter(None, (args.png, args.svg)):
            write_output(path, drawing(exhibits[0], path.suffix))
    return 0


def check_page(output: Path | None) -> None:
    """Raises: ConfigError: for a page that is called a picture or the like, which no program would open as a page."""
    kind = output.suffix.lower() if output else ""
    if kind not in ("", ".html", ".htm"):
        pictures = {".png": "--png", ".svg": "--svg"}
        hint = f"a picture is drawn with `{pictures[kind]} {output}`." if kind in pictures else "name it `.html`."
        raise ConfigError(f"--output must name a page, which ends in .html, but names {output}.", hint=hint)


def check_languages(args: argparse.Namespace) -> None:
    """Raises: ConfigError, DataError: for a second model, or a file, of the other direction."""
    from mt.checkpoint.model_folder import languages
    from mt.checkpoint.two_models import check_direction

    src, tgt = languages(args.model)
    if args.compare:
        check_direction(args.model, args.compare, "--compare")
    if args.input:
        check_language(args.input, src, tgt, "source")
    if args.references:
        check_language(args.references, tgt, src, "target")


def line_range(text: str) -> slice:
    """ "20" and "21-40" as what selects these lines, which count from 1, of a list."""
    first, dash, last = text.partition("-")
    try:
        found = (int(first), int(last)) if dash else (1, int(first))
    except ValueError:
        found = (0, 0)
    if not 1 <= found[0] <= found[1]:
        raise argparse.ArgumentTypeError(
            f"must be a number of sentences, such as 20, or a range, such as 21-40: {text}"
        )
    return slice(found[0] - 1, found[1])


def gold_of(args: argparse.Namespace, sources: Sequence[str], given: Sequence[str] | None) -> "Sequence[Gold]":
    if not args.gold or given is None:
        return []
    from mt.alignment.pharaoh import check_gold, read_gold

    args.spaces = True  # gold links count words of tokenised text
    gold = read_gold(file_texts(args.gold, args.lines.stop), base=args.gold_base, path=args.gold)[args.lines]
    check_gold(gold, sources, given, base=args.gold_base, path=args.gold)
    return gold


def exhibit(
    path: Path, sources: Sequence[str], given: Sequence[str] | None, gold: "Sequence[Gold]", args: argparse.Namespace
) -> "Exhibit":
    from mt.alignment.aligner import load_heads
    from mt.alignment.choose_heads import guess_heads
    from mt.alignment.heads import word_maps
    from mt.alignment.observe import observe
    from mt.checkpoint.model_folder import find_model
    from mt.decode.load import load
    from mt.interpret.contribution import contributions
    from mt.interpret.report import Exhibit

    translator = load(path, device=args.device, precision="fp32")
    model, tokenizer = translator.stepper.model, translator.tokenizer
    targets = given if given is not None else translator.translate(list(sources))
    seen = list(observe(model, tokenizer, sources, targets, max_length=translator.max_length, by_spaces=args.spaces))
    heads, how = load_heads(find_model(path), model), "Chosen by measurement."
    if heads is None:
        heads = guess_heads([word_maps(one) for one in seen])
        how = "Guessed from these sentences alone: “mt align” measures which heads give links, and keeps it."
    return Exhibit(model_name(path), heads, how, seen, contributions(model, tokenizer, seen), gold)
