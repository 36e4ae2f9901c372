"""The options of `mt translate` for documents, whose layout is kept."""

import argparse
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.media_files import check_lines_of_text
from mt.cli.options import Parser, check_output
from mt.documents.names import BILINGUAL, NOT_LINES, known, same_format, suffix_of, unpacks
from mt.errors import ConfigError, DataError, MtError
from mt.files import explained
from mt.text.lines import check_file

if TYPE_CHECKING:
    from mt.documents.parsed import Parsed

logger = logging.getLogger("mt")
PAIRS = (".csv", ".parquet", ".tmx")
RECORDS = (".jsonl", ".ndjson")  # like a .tsv, these may be a table of a model's inputs
SEVERAL = (
    'a loop of the shell translates several, each once: `for file in *.html; do mt translate MODEL "$file" --to '
    '"OUT/$file"; done`.'
)
# Options that work on lines, or give more than one text for each.
OF_LINES = ("jsonl", "skip_bad", "line_buffered", "prefix", "alignments", "flags")


def add_document_options(parser: Parser) -> None:
    parser.add_argument(
        "document", nargs="?", type=Path,
        help="document to translate as a whole, with --to; its layout is kept and its inline tags are placed by word "
        f"links. Formats: {known()}",
    )  # fmt: skip
    parser.add_argument(
        "--to", type=Path, metavar="FILE",
        help="where the translated document is written; -i FILE -o FILE does the same for two documents, but "
        "translates .txt files line by line",
    )  # fmt: skip
    parser.add_argument(
        "--keys", metavar="KEY,KEY", help="of a .json document, the keys whose values are translated (default: all)"
    )


def check_document_options(parser: Parser, args: argparse.Namespace) -> None:
    """Find out whether a document is translated: then `args.document` and `args.to` are its names, else None.

    Raises: ConfigError: for options that cannot be combined, and for a name of no known format.
    """
    alone = args.model and suffix_of(args.model) and args.model.is_file()  # `mt translate page.html`
    if (args.to or alone) and not args.document and not args.input:
        args.document, args.model = args.model, None  # mt translate report.docx --to report.es.docx
    if args.model and not args.document and not args.input:
        check_lines_of_text(args.model, None)  # `mt translate photo.png`
    for file in filter(None, (args.document, args.input)):
        check_lines_of_text(file, args.model)
    _check_packed(args)
    if args.input and args.output and not args.document and not args.to:
        given = Path(args.input)
        if suffix_of(given) not in {"", ".txt"} and same_format(given, args.output):
            args.document, args.to, args.input, args.output = given, args.output, None, None
    if args.input and not args.document and (args.to or suffix_of(args.input) in NOT_LINES):
        args.document, args.input = Path(args.input), None
    if not args.document:
        check_lines(args.input, PAIRS, args.model)
        if args.to:
            parser.error("--to needs a document: mt translate MODEL report.docx --to report.es.docx")
        if args.keys:
            parser.error("--keys has an effect on .json documents only; leave it out")
        return
    option = "--to" if args.to else "--output"
    args.to, args.output = args.to or args.output, args.output if args.to else None
    _check_names(parser, args, option)
    for name in OF_LINES:
        if getattr(args, name):
            parser.error(f"--{name.replace('_', '-')} has no effect on documents; leave it out")
    if args.nbest > 1 or ((args.samples or 1) > 1 and not args.mbr):
        parser.error("a document has one translation: leave --nbest and --samples out")
    if args.keys and suffix_of(args.document) != ".json":
        parser.error(f"--keys has an effect on .json documents only, but `{args.document}` is none")


def _check_packed(args: argparse.Namespace) -> None:
    """Raises: ConfigError: for a compressed document; a compressed `.txt` file may be read line by line."""
    for file in filter(None, (args.document, args.input)):
        lines = not args.document and not args.to and suffix_of(Path(file).stem) == ".txt"
        if (program := unpacks(file)) and not lines:
            hint = f"`{program} -dk {shlex.quote(str(file))}` unpacks it."
            raise ConfigError(f"`{file}` is a compressed document, and documents are read unpacked.", hint=hint)


def check_lines(file: str | None, formats: tuple[str, ...] = RECORDS, model: Path | None = None) -> None:
    """Raises: ConfigError: for a file of pairs, plain or compressed, of one of these formats; DataError: where the
    model reads tables."""
    from mt.data.corpus.names import kind_of

    if file and kind_of(file) in formats:
        if formats == PAIRS and reads_tables(model):
            from mt.data.corpus.columns import check_table

            check_table(file)
        hint = f"`mt clean {shlex.quote(file)} --out FOLDER` writes each side as a file of lines."
        raise ConfigError(f"`{file}` holds both sides of pairs, not lines to translate.", hint=hint)


def reads_tables(model: Path | None) -> bool:
    """Whether the model, None: the newest run, reads rows of tables; false where there is none."""
    from mt.checkpoint.model_folder import table_columns

    try:
        return bool(table_columns(model)[0])
    except MtError:  # told when the model is loaded
        return False


def _check_names(parser: Parser, args: argparse.Namespace, option: str) -> None:
    document, suffix = args.document, suffix_of(args.document)
    if args.input or args.output:
        parser.error(f"`{document}` is translated to --to FILE; leave --input and --output out")
    if document.is_dir() and not suffix:
        raise ConfigError(f"`{document}` is a folder; a command translates one document.", hint=SEVERAL)
    if not suffix:
        also = "" if args.to else "; text is read from stdin, or from a file with -i FILE"
        ends = " or ".join(known().rsplit(" and ", 1))
        parser.error(f"`{document}` is no document that can be translated; its name must end in {ends}{also}")
    if args.to is None:
        example = document.with_suffix(f".translated{document.suffix}")
        parser.error(f"where is the translation of `{document}` written? Name a file, for example --to {example}")
    if not same_format(document, args.to):
        lines = "; lines of text are read from stdin" if option == "--output" else ""
        parser.error(f"{option} {args.to} must end in {suffix}, as `{document}` does: the format stays the same{lines}")


def read_checked(args: argparse.Namespace) -> "Parsed":
    """The document, read. Raises: DataError: when it cannot be; ConfigError: when the result cannot be written."""
    from mt.documents.parsed import MAX_BYTES
    from mt.documents.readers import read_document

    check_file(args.document)
    check_output(args.to, str(args.document), args.glossary, option="--to")
    with explained(f"`{args.document}` cannot be read", DataError), args.document.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    keys = [key for key in (args.keys or "").split(",") if key]
    try:
        return read_document(data, suffix_of(args.document), keys=keys)
    except DataError as error:
        raise DataError(f"`{args.document}`: {error.message}", hint=error.hint) from None


def names_languages(document: "Parsed", file: Path) -> bool:
    """Whether a document says itself what language its text is in, or its name gives that of the translations."""
    return suffix_of(file) in BILINGUAL or any(source for source, _ in document.languages)


def check_named_languages(document: "Parsed", file: Path, src: str, tgt: str) -> None:
    """Warn where a document names other languages than those of the model, `src` and `tgt`.

    Raises: DataError: where its sources are in the language into which the model translates.
    """
    from mt.text.languages import MADE_UP, nearest

    for source, target in document.languages:
        if {src, tgt} & MADE_UP:
            return
        if source and not nearest([source], src):
            if nearest([source], tgt):
                raise DataError(
                    f"`{file}` says that its text is in {source}, but the source of this model is in {src}.",
                    hint="give a model of the other direction, or correct the language in the file.",
                )
            logger.warning(f"`{file}` says that its text is in {source}, but this model translates from {src}.")
        if target and not nearest([target], tgt):
            logger.warning(
                f"`{file}` names {target} as the language of its translations, but this model translates into {tgt}; "
                "correct the name in the result."
            )
