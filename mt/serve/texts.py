"""Texts of several lines, HTML and documents as work for the engine: generators like `Translator.answering`.

A model translates one line; what separates lines is kept as it is.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

from mt.decode.request import Options
from mt.decode.translation import Translation
from mt.decode.translator import Part, Translator
from mt.documents.html import read_fragment
from mt.documents.parsed import Parsed
from mt.documents.readers import lines_of, write_translated
from mt.postprocess.markup import Request, translated
from mt.postprocess.word_alignments import Linker
from mt.text.sentences import LINE_SIGN

Found = list[list[Translation]]
Answers = Generator[list[Part], Found, list[list[str]]]  # of each text its translations, the best first
LINE = re.compile(r"[^\s]+(?:[^\S\n\r]+[^\s]+)*")  # without white space at its ends


@dataclass(frozen=True)
class Lines:
    """The lines of a text, and what stands before, between and after them."""

    lines: list[str]
    gaps: list[str]  # one more than lines

    def joined(self, lines: Sequence[str]) -> str:
        return self.gaps[0] + "".join(line + gap for line, gap in zip(lines, self.gaps[1:], strict=True))

    def starts(self) -> list[int]:
        """The place of each line in the text."""
        found, place = [], len(self.gaps[0])
        for line, gap in zip(self.lines, self.gaps[1:], strict=True):
            found.append(place)
            place += len(line) + len(gap)
        return found


def layout_of(text: str) -> Lines:
    """The signs of lists (`- item`, `1. item`) belong to the gaps."""
    lines, gaps, place = list[str](), list[str](), 0
    for found in LINE.finditer(text):
        sign = LINE_SIGN.match(text, found.start(), found.end())
        begin = sign.end() if sign else found.start()
        if begin == found.end():
            continue  # a sign alone
        gaps.append(text[place:begin])
        lines.append(text[begin : found.end()])
        place = found.end()
    return Lines(lines, [*gaps, text[place:]])


def plain(translator: Translator, options: Options, texts: Sequence[str]) -> Answers:
    """Line by line. A line without letters and digits is copied."""
    laid_out = [layout_of(text) for text in texts]
    lines = [line for one in laid_out for line in one.lines]
    found = iter((yield from translator.answering(lines, replace(options, stand_ins=[()] * len(lines)))))
    return [_distinct(map(one.joined, _rows([next(found) for _ in one.lines], options.nbest))) for one in laid_out]


def html(
    translator: Translator, options: Options, texts: Sequence[str], linker: Linker, *, src: str, tgt: str
) -> Answers:
    """Block by block; inline tags follow the words that they stand at. A page names its new language."""
    pages = [read_fragment(text).naming(src, tgt) for text in texts]
    lines = [lines_of(page) for page in pages]
    found = iter((yield from _marked(translator, options, [line for some in lines for line in some], linker)))
    answers: list[list[str]] = []
    for page, own in zip(pages, lines, strict=True):
        ranked = _rows([next(found) for _ in own], options.nbest)
        answers.append(_distinct(write_translated(page, own, row).decode() for row in ranked))
    return answers


def document(
    translator: Translator, options: Options, parsed: Parsed, linker: Linker
) -> Generator[list[Part], Found, bytes]:
    """A document with its layout (`mt.documents`)."""
    lines = lines_of(parsed)
    found = yield from _marked(translator, options, lines, linker)
    return write_translated(parsed, lines, [some[0].text for some in found])


def _marked(
    translator: Translator, options: Options, lines: Sequence[str], linker: Linker
) -> Generator[list[Part], Found, Found]:
    """Lines with tags and placeholders, which are placed by the links of words."""
    work = translated(lines, lambda line, attempt: Request(line, attempt=attempt))
    try:
        sent, stand_ins = next(work)
        while True:
            said = yield from translator.answering(sent, replace(options, stand_ins=stand_ins))
            sent, stand_ins = work.send(said)
    except StopIteration as done:
        requests, found = done.value
    linked = linker.link([request.text for request in requests], found)
    return [
        [replace(one.translation, text=request.restore(one).text) for one in some]
        for request, some in zip(requests, linked, strict=True)
    ]


def _rows(found: Found, nbest: int) -> list[list[str]]:
    """The best translations of all lines, then the second ones, and so on: as many as every line has."""
    most = min((len(some) for some in found), default=1)
    return [[some[n].text for some in found] for n in range(min(nbest, most))]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
