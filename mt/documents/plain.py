"""Plain text: each paragraph is a segment. Blank lines, indents, the signs of lists and line ends stay.

A paragraph whose lines were broken to fit a width is translated as a whole and broken to the same width again; in any
other text each line is a segment.
"""

import re
from collections.abc import Sequence
from itertools import groupby, pairwise

import regex

from mt.documents.parsed import Parsed, Raw, Spot, decoded, lines_with_ends, parsed_text
from mt.text.sentences import LINE_SIGN
from mt.text.words import CLUSTER, IDEOGRAPHIC, UNSPACED_SIGN, joined, line_piece, line_pieces

NARROWEST = 40  # characters; shorter lines are addresses, verses and lists
ITEM = re.compile(r"(?:[-*+•–—>|#]|\(?\w{1,3}[.)])\s")  # what begins a line that is not the rest of another one
WORD = regex.compile(r"([ \t\n]*)([^ \t\n]+)")  # a no-break space is within one
PIECE = line_piece()


def read_text(data: bytes) -> Parsed:
    content, encoded = decoded(data)
    lines = groupby(lines_with_ends(content), lambda line: bool(content[line[0] : line[1]].strip()))
    spots = [spot for has_words, some in lines if has_words for spot in _paragraph(content, [*some])]
    return parsed_text(content, spots, encoded)


def _paragraph(content: str, lines: Sequence[tuple[int, int, int]]) -> list[Spot]:
    texts = [content[begin:end] for begin, end, _ in lines]
    if not is_wrapped(texts):
        return [_line(begin, text) for (begin, _, _), text in zip(lines, texts, strict=True)]
    first, rest = _before(texts[0]), _indent(texts[1])
    line_end = content[lines[0][1] : lines[0][2]]
    width = max(map(len, texts))
    begin = lines[0][0] + len(first)
    end = lines[-1][0] + len(texts[-1].rstrip())

    def render(said: str, _: Raw) -> str:
        return wrap(said, width, len(first), rest, line_end, piece=PIECE)

    segment = joined(text.strip() for text in (texts[0][len(first) :], *texts[1:]))
    return [Spot(begin, end, segment, render)]


def _line(begin: int, text: str) -> Spot:
    begin += len(_before(text))
    inner = text[len(_before(text)) :].strip()
    return Spot(begin, begin + len(inner), inner, lambda said, _: said)


def _indent(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def _before(text: str) -> str:
    """What stands before the words of a line: its indent, and the sign of an item."""
    indent = _indent(text)
    sign = LINE_SIGN.match(text, len(indent))
    return text[: sign.end()] if sign else indent


def is_wrapped(texts: Sequence[str]) -> bool:
    """Whether lines are one text, broken to fit a width: no line had room for the first word of the next one."""
    width = max(map(len, texts))
    if len(texts) < 2 or width < NARROWEST or len({_indent(text) for text in texts[1:]}) > 1:
        return False
    return all(
        not ITEM.match(after.strip()) and len(line.rstrip()) + 1 + len(_first_word(after)) > width
        for line, after in pairwise(texts)
    )


def _first_word(line: str) -> str:
    """Of a script without spaces it is a character: a line of it has room for a part of the next one."""
    word = line.split()[0]
    return CLUSTER.findall(word)[0] if UNSPACED_SIGN.match(word) or IDEOGRAPHIC.match(word) else word


def wrap(
    text: str, width: int, used: int, indent: str, line_end: str, *, never_first: re.Pattern[str] | None = None,
    piece: "regex.Pattern[str]" = WORD,
) -> str:  # fmt: skip
    """Break a text between its pieces, so that no line is wider than `width` where that can be.

    Args: used: characters before the text on its first line; indent: what every further line begins with; never_first:
    words that do not begin a line; piece: what stays whole, as `line_piece`.
    """
    written, place = list[str](), used
    for gap, word in line_pieces(text, piece):
        may_begin = never_first is None or not never_first.match(word)
        if written and place + len(gap) + len(word) > width and may_begin:
            written.append(line_end + indent)
            place = len(indent)
        elif written:
            written.append(gap)
            place += len(gap)
        written.append(word)
        place += len(word)
    return "".join(written)
