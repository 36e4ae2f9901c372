"""Texts of several lines, and HTML, as work for the engine: generators like `Translator.answering`.

A model translates one line; what separates lines is kept as it is.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from mt.decode.request import Options
from mt.decode.translation import Translation
from mt.decode.translator import Part, Translator
from mt.postprocess.markup import Request, translated
from mt.postprocess.tags import BLOCK, Kind, parse
from mt.postprocess.word_alignments import Linker

Found = list[list[Translation]]
Answers = Generator[list[Part], Found, list[list[str]]]  # of each text its translations, the best first
LINE = re.compile(r"[^\s]+(?:[^\S\n\r]+[^\s]+)*")  # without white space at its ends
SKIPPED = frozenset({"script", "style", "textarea", "template", "svg", "math", "noscript", "iframe", "object"})


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


def lines_of(text: str) -> Lines:
    lines, gaps, place = list[str](), list[str](), 0
    for found in LINE.finditer(text):
        gaps.append(text[place : found.start()])
        lines.append(found[0])
        place = found.end()
    return Lines(lines, [*gaps, text[place:]])


def blocks_of(markup: str) -> Lines:
    """The runs of words with inline tags of an HTML text; block tags, scripts and comments stand between them."""
    marks = [mark for mark in parse(markup).marks if mark.kind is not Kind.literal]
    cuts: list[tuple[int, int]] = []
    skipped = ""
    for mark in marks:
        if skipped:
            cuts[-1] = (cuts[-1][0], mark.span[1])
            if mark.name == skipped and mark.text.startswith("</"):
                skipped = ""
            continue
        opens = not mark.text.startswith(("</", "<!", "<?")) and not mark.text.endswith("/>")
        if mark.name in SKIPPED:
            skipped = mark.name if opens else ""
            cuts.append(mark.span)
        elif not mark.name or mark.name in BLOCK or mark.name in {"html", "head", "body"}:
            cuts.append(mark.span)
    if skipped:  # never closed
        cuts[-1] = (cuts[-1][0], len(markup))
    runs, gaps, place, gap = list[str](), list[str](), 0, ""
    for begin, end in [*cuts, (len(markup), len(markup))]:
        run = markup[place:begin]
        if stripped := run.strip():
            before = run.index(stripped)
            gaps.append(gap + run[:before])
            runs.append(stripped)
            gap = run[before + len(stripped) :]
        else:
            gap += run
        gap += markup[begin:end]
        place = end
    return Lines(runs, [*gaps, gap])


def plain(translator: Translator, options: Options, texts: Sequence[str]) -> Answers:
    """Line by line. A line without letters and digits is copied."""
    laid_out = [lines_of(text) for text in texts]
    lines = [line for one in laid_out for line in one.lines]
    found = iter((yield from translator.answering(lines, replace(options, stand_ins=[()] * len(lines)))))
    return [_ranked(one, [next(found) for _ in one.lines], options.nbest) for one in laid_out]


def html(translator: Translator, options: Options, texts: Sequence[str], linker: Linker) -> Answers:
    """Block by block; inline tags follow the words that they stand at."""
    laid_out = [blocks_of(text) for text in texts]
    runs = [run for one in laid_out for run in one.lines]
    work = translated(runs, lambda run, attempt: Request(run, attempt=attempt))
    requests: list[Request] = []
    found: Found = []
    try:
        sent, stand_ins = next(work)
        while True:
            said = yield from translator.answering(sent, replace(options, stand_ins=stand_ins))
            sent, stand_ins = work.send(said)
    except StopIteration as done:
        requests, found = done.value
    linked = linker.link([request.text for request in requests], found)
    restored = iter(
        [replace(one.translation, text=request.restore(one).text) for one in some]
        for request, some in zip(requests, linked, strict=True)
    )
    return [_ranked(one, [next(restored) for _ in one.lines], options.nbest) for one in laid_out]


def _ranked(layout: Lines, found: Found, nbest: int) -> list[str]:
    """The translations of a text from those of its lines: best with best, second with second; no two are equal."""
    most = min((len(some) for some in found), default=1)
    ranked = (layout.joined([some[n].text for some in found]) for n in range(min(nbest, most)))
    return list(dict.fromkeys(ranked))
