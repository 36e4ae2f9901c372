"""`mt translate`: text on stdin or in files, translations on stdout, one line for each line."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, TypeVar

from mt.cli.choice_options import Chooser, add_choice_options, check_choice_options, load_models
from mt.cli.importing import uncollected
from mt.cli.link_options import Answer, LinkUser, add_link_options
from mt.cli.options import Parser, check_output, stdin, stdout
from mt.cli.search_options import (
    SearchOptions,
    add_search_options,
    check_prefixes,
    check_search_options,
    prefix_file,
)
from mt.corpus.lines import MAX_LINE, check_file, decode_line, raw_lines
from mt.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from mt.decode.translator import Translator

L = TypeVar("L")
Line = tuple[str, bytes]  # the text, and what ended it: LF, CR LF, or nothing at the end of the input
CHUNK = 2000  # lines that are sorted by length together, where nobody waits for each


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="mt translate",
        description="Translate lines of text. One line out for each line in, in order; an empty line stays empty.",
        epilog="example:  echo 'Good morning.' | mt translate runs/my-run",
    )
    parser.add_argument("model", nargs="?", type=Path, help="model folder, run or checkpoint (default: the newest run)")
    parser.add_argument("-i", "--input", help="file to translate, plain or compressed (default: stdin)")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")
    parser.add_argument(
        "--jsonl",
        action="store_true",
        help="one JSON object a line, with scores and pieces; piece_log_probs has one more, of the end mark",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16", "int8"])
    add_search_options(parser)
    add_choice_options(parser)
    add_link_options(parser)
    asked = parser.parse_args(argv)
    check_search_options(parser, asked)
    check_choice_options(parser, asked)
    return asked


def run(argv: list[str]) -> int:
    asked = parse(argv)
    if asked.input:
        check_file(asked.input)
    read = asked.input or "/dev/stdin"  # which stands for the file that a shell opened, where there is one
    check_output(asked.output, read, asked.glossary, prefix_file(asked.prefix))
    check_prefixes(prefix_file(asked.prefix), asked.input)
    out = None if asked.output else stdout()
    lines = file_lines(asked.input) if asked.input else lines_of(stdin(), "stdin")
    with uncollected():  # torch: not before the options are known to be right
        from mt.device import set_up_cpu
        from mt.files import explained
        from mt.log import setup

    setup()
    set_up_cpu(None)
    try:
        translator = load_models(asked)
    except CheckpointError as error:
        if asked.model is None or asked.model.is_dir():
            raise
        raise CheckpointError(f"{error} Text to translate comes on stdin, or with -i FILE.") from None
    if not asked.input and sys.stdin.isatty():
        print("type a line to translate; Ctrl-D ends", file=sys.stderr)
    way = Way(translator, asked)  # before an old output is written over
    if out is None:
        with explained(f"`{asked.output}` cannot be written"), asked.output.open("wb") as out:
            translate(way, lines, out, asked)
    else:
        translate(way, lines, out, asked)
    return 0


class Way:
    """From texts to what is printed of them, as the options say. Making one checks every file that they name."""

    def __init__(self, translator: "Translator", asked: argparse.Namespace) -> None:
        self.options = SearchOptions(translator, asked)
        self.chooser = Chooser(translator, asked)
        self.linked = LinkUser(translator, asked)
        self.as_json = asked.jsonl or self.chooser.gives_many

    def answer(self, texts: list[str], prefixes: list[str]) -> list[list[Answer]]:
        options = self.options.chunk(prefixes)
        return self.linked.answer(texts, partial(self.chooser.answer, options=options))


def translate(way: Way, lines: Iterable[Line], out: BinaryIO, asked: argparse.Namespace) -> None:
    """Chunks of lines in, as many out, each ended as it came; line by line where a person types.

    Raises: DataError: for a line that is no text, and when the file of --prefix has more lines, or fewer.
    """
    from mt.evaluate import one_line

    chunk, as_json = 1 if not asked.input and sys.stdin.isatty() else CHUNK, way.as_json
    for group in chunks(way.options.with_prefixes(lines), chunk):
        texts, prefixes = [text for (text, _), _ in group], [prefix for _, prefix in group]
        for ((text, end), _), answers in zip(group, way.answer(texts, prefixes), strict=True):
            line = to_json(text, answers) if as_json else one_line(answers[0].translation.text) + answers[0].suffix
            out.write(line.encode() + (b"\n" if as_json else end))
        out.flush()


def to_json(text: str, answers: list[Answer]) -> str:
    return json.dumps(
        {
            "source": text,
            "translations": [
                {
                    "text": answer.translation.text,
                    "score": round(answer.translation.score, 6),
                    "log_prob": round(answer.translation.log_prob, 6),
                    "pieces": answer.translation.pieces,
                    "piece_log_probs": [round(value, 6) for value in answer.translation.piece_log_probs],
                    "finished": answer.translation.finished,
                    **answer.fields(),
                }
                for answer in answers
            ],
        },
        ensure_ascii=False,
    )


def lines_of(stream: IO[bytes], name: str) -> Iterator[Line]:
    """The lines of a stream, which errors call `name`. Raises: DataError: as `decode_line`, at the line."""
    return decoded(enumerate(iter(lambda: stream.readline(MAX_LINE + 2), b""), 1), name)


def file_lines(path: str) -> Iterator[Line]:
    """The lines of a file, plain or compressed. Raises: DataError: when it cannot be read."""
    return decoded(raw_lines(path), path)


def decoded(lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[Line]:
    for number, raw in lines:
        text = decode_line(raw, f"{name}:{number}", first=number == 1)
        yield text, raw[len(raw.removesuffix(b"\n").removesuffix(b"\r")) :]


def chunks(lines: Iterable[L], size: int) -> Iterator[list[L]]:
    """So many lines at a time; where one is refused, those before it come first."""
    chunk: list[L] = []
    try:
        for line in lines:
            chunk.append(line)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except DataError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk
