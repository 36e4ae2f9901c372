"""`mt translate`: text on stdin or in files, translations on stdout, one line for each line."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mt.cli.choice_options import Chooser, add_choice_options, check_choice_options, load_models
from mt.cli.document_options import (
    SEVERAL,
    add_document_options,
    check_document_options,
    check_lines,
    check_named_languages,
    names_languages,
    read_checked,
)
from mt.cli.engine_options import add_engine_options, add_tag_option, check_engine_options, direction
from mt.cli.lines import BadLines, Line, TypedLines, count_lines, file_lines, lines_of, process, results, waiting
from mt.cli.link_options import Answer, LinkUser, add_link_options, wants_links
from mt.cli.media_files import check_lines_of_text
from mt.cli.options import Parser, add_device_options, check_output, dash_is_default, stdin
from mt.cli.search_options import SearchOptions, add_search_options, check_prefixes, check_search_options, prefix_file
from mt.data.corpus.names import check_language
from mt.errors import CheckpointError, DataError
from mt.files import write_output
from mt.text.lines import check_file

if TYPE_CHECKING:
    from mt.decode.translation import Translation
    from mt.decode.translator import Translator

CHUNK = 2000  # lines that are sorted by length together


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt translate",
        description="Translate text line by line. The output has one line for each input line, in the same order; an "
        "empty line stays empty. With --to, translate a document and keep its layout.",
        epilog="example:  echo 'Good morning.' | mt translate runs/my-run",
        surplus=f"a command translates one document; {SEVERAL}",
    )
    parser.add_argument("model", nargs="?", type=Path, help="model folder, run or checkpoint (default: the newest run)")
    add_document_options(parser)
    parser.add_argument("-i", "--input", help="text file to translate, plain or compressed (default, and -: stdin)")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default, and -: stdout)")
    parser.add_argument(
        "--jsonl", action="store_true",
        help="write one JSON object per line, with scores and pieces; the last of piece_log_probs is the end mark's",
    )  # fmt: skip
    add_device_options(parser)
    add_engine_options(parser)
    add_tag_option(parser)
    parser.add_argument(
        "--skip-bad", action="store_true",
        help="leave the output empty for lines that cannot be read, such as lines that are not UTF-8, and count them",
    )  # fmt: skip
    parser.add_argument(
        "--line-buffered", action="store_true",
        help="translate each line as soon as it is read (default: all lines read so far when the input pauses)",
    )  # fmt: skip
    add_search_options(parser)
    add_choice_options(parser)
    add_link_options(parser)
    args = parser.parse_args(argv)
    check_document_options(parser, args)
    dash_is_default(args, "input", "output")
    check_search_options(parser, args)
    check_engine_options(parser, args)
    check_choice_options(parser, args)
    return args


def run(argv: list[str]) -> int:
    args = parse(argv)
    if args.document:
        return run_document(args)
    if args.input:
        check_file(args.input)
    else:
        check_lines_of_text(None, args.model)
    read = args.input or "/dev/stdin"  # if a shell opened a file as stdin, this is that file
    check_output(args.output, read, args.glossary, prefix_file(args.prefix))
    output = results(args.output)
    typed = not args.input and sys.stdin.isatty()
    bad = TypedLines() if typed else BadLines() if args.skip_bad else None
    lines = file_lines(args.input, bad) if args.input else lines_of(stdin(), "stdin", bad)
    try:
        translator = load(args, args.input)
    except CheckpointError as error:
        if args.model is None or args.model.is_dir():
            raise
        hint = f"{error.hint} Text to translate is read from stdin, or from a file with `-i FILE`.".strip()
        raise CheckpointError(error.message, hint=hint) from None
    if translator.reader is None:
        check_lines(args.input)
    check_prefixes(prefix_file(args.prefix), args.input, table=translator.reader is not None)
    if typed:
        print("type a line to translate; press Ctrl-D to end", file=sys.stderr)
    if translator.reader is not None:
        lines = rows_of(lines, translator, args.input, bad)
    size = 1 if typed or args.line_buffered else CHUNK
    total = count_lines(args.input) if args.input and sys.stderr.isatty() else 0
    with waiting("translating", total, args.output) as show:
        pipeline = Pipeline(translator, args, show)  # raises before an old output file is overwritten
        items = pipeline.options.with_prefixes(lines)
        if args.input:
            items = chain(list(islice(items, 1)), items)  # the first is read now: there may be no header
        with output as out:
            process(items, size, pipeline.translate, out, live=not args.input and size > 1)
    if pipeline.linked is not None:
        pipeline.linked.close()
    if bad is not None:
        bad.report()
    return 0


def load(args: argparse.Namespace, named: str | None) -> "Translator":
    """The model of the options. Args: named: the file to translate, whose name may say its language.

    Raises: as `load_models`; DataError: for a file in the target language.
    """
    from mt.compute.device import set_up_cpu  # torch: not before the options are known to be right
    from mt.log import setup

    setup()
    set_up_cpu(None)
    translator = load_models(args)
    if named is not None:
        check_language(named, *direction(args), "source", document=bool(args.document))
    return translator


def run_document(args: argparse.Namespace) -> int:
    """Translate a document. It is read, with its faults reported, before a model is loaded."""
    from mt.documents.readers import lines_of, write_translated

    document = read_checked(args)
    lines = lines_of(document)

    def translate(texts: list[str]) -> list[str]:
        from mt.evaluate import one_line
        from mt.postprocess.markup import Request

        translator = load(args, None if names_languages(document, args.document) else str(args.document))
        check_named_languages(document, args.document, *direction(args))
        translator.require_text(f"a document (`{args.document}`)")
        args.markup = any(Request(text).changed for text in texts)
        with waiting("translating", len(texts), args.to) as show:
            pipeline = Pipeline(translator, args, show)
            return [
                one_line(answers[0].translation.text)
                for first in range(0, len(texts), CHUNK)
                for answers in pipeline.answers(texts[first : first + CHUNK], [], first)
            ]

    if lines:
        written = write_translated(document.naming(*direction(args)), lines, translate(lines))
    else:
        written = document.write([])
    write_output(args.to, written)
    if document.left:
        print(f"`{args.document}`: {document.left}.", file=sys.stderr)
    return 0


def rows_of(lines: Iterator[Line], translator: "Translator", file: str | None, bad: BadLines | None) -> Iterator[Line]:
    """The rows of a table as the model's sources, without the header. File names in cells are relative to the table,
    or to the current folder where it is read from stdin. Args: bad: as `lines_of`; None: bad rows raise."""
    from mt.data.corpus.columns import Columns

    assert translator.reader is not None
    columns = Columns(translator.reader.inputs, file or "stdin", folder=str(Path(file).parent) if file else "")
    for number, line in enumerate(lines, 1):
        name = f"{columns.file}:{number}"
        try:
            cells = columns(number, line.text)
            if cells is not None and bad is not None:
                translator.read_row("\t".join(cells), name)
        except DataError as error:
            if bad is None or not columns.begun:
                raise
            bad.add(number, error)
            cells = []
        if cells is not None:
            yield Line("\t".join(cells), line.end, name)


class Pipeline:
    """Turns input lines into output lines as the options say. Its constructor checks all files that they name."""

    def __init__(
        self, translator: "Translator", args: argparse.Namespace, show: Callable[[float], object] = lambda done: None
    ) -> None:
        """Args: show: is told how many lines are done."""
        self.options = SearchOptions(translator, args)
        self.chooser = Chooser(translator, args)
        self.linked = LinkUser(translator, args) if wants_links(args) else None
        self.as_json = args.jsonl or self.chooser.gives_many
        # another engine needs a second pass for the log-probabilities of pieces, which plain text does not show
        self.only_text = args.engine != "torch" and not self.as_json and self.chooser.choose is None
        self.show = show

    def translate(self, lines: list[tuple[Line, str]], first: int) -> Iterator[bytes]:
        """Args: lines: with their prefixes; first: the number of lines before them."""
        from mt.evaluate import one_line

        names = [line.name for line, _ in lines if line.name]
        found = self.answers([line.text for line, _ in lines], [prefix for _, prefix in lines], first, names)
        for (line, _), answers in zip(lines, found, strict=True):
            if self.as_json:
                record = {"source": line.text, "translations": [answer.to_dict() for answer in answers]}
                yield json.dumps(record, ensure_ascii=False).encode() + b"\n"
            else:
                yield (one_line(answers[0].translation.text) + answers[0].suffix).encode() + line.end

    def answers(
        self, texts: list[str], prefixes: list[str], first: int, names: Sequence[str] = ()
    ) -> list[list[Answer]]:
        """The translations of each text, best first. Args: first: the number of texts before them; names: of rows of a
        table."""
        options = self.options.batch(prefixes, first, lambda done, parts: self.show(first + len(texts) * done / parts))
        if names:
            options = replace(options, names=names)
        if self.only_text:
            options = replace(options, details=False)

        def search(texts: list[str], stand_ins: "Sequence[Sequence[str]] | None") -> "list[list[Translation]]":
            return self.chooser.answer(texts, replace(options, stand_ins=stand_ins) if stand_ins else options)

        if self.linked is None:
            return [[Answer(translation) for translation in some] for some in search(texts, None)]
        return self.linked.answer(texts, search, first)
