"""The lines of a gettext entry whose flags say which placeholders its program knows: `c-format`, `no-c-format`.

    100%% of %d {files}    ->    100&#00037; of {num0} &#000123;files}        (c-format)

Where the usual patterns (`mt.text.placeholders`) find other placeholders than the program, those of the program are
given to the translator as `{x0}`, or as `{num0}` where a number takes its place. What only looks like a placeholder is
text: its first sign is written as a character reference, with zeros that nobody else writes.
"""

import html
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from mt.documents.parts import NAMES
from mt.text.placeholders import ADDRESS, FORMATS, PLACEHOLDERS, QT_NUMBER, Format
from mt.text.tags import ENTITY, TAGS, Kind, parse
from mt.text.words import Span

NUMBER = re.compile(r"%(?:\d+\$)?[di]|%L?n")
OURS = re.compile(r"&#000(\d+);")
NONE = "(?!)"  # matches nothing


@dataclass(frozen=True)
class Shielded:
    """A line as it is translated, and what is needed to write its translation."""

    line: str
    names: Mapping[str, str] = field(default_factory=dict)  # of placeholders, and what they stand for
    doubled: Sequence[str] = ()  # patterns; `sign` is written twice where it is text
    escaped: bool = False  # a translation may have character references, and the line has none of its own

    def written(self, said: str) -> str:
        found, place = list[str](), 0
        named = "|".join(map(re.escape, sorted(self.names, key=len, reverse=True))) or NONE
        for match in re.finditer(rf"(?P<named>{named})|{TAGS}|{ADDRESS}", said):
            found += [self._text(said[place : match.start()]), self.names.get(match[0], match[0])]
            place = match.end()
        return "".join([*found, self._text(said[place:])])

    def _text(self, words: str) -> str:
        words = OURS.sub(lambda match: chr(int(match[1])), words)
        if self.escaped:
            words = ENTITY.sub(lambda match: html.unescape(match[0]), words)
        for one in self.doubled:
            words = re.sub(one, lambda match: match[0] * (2 if match["sign"] else 1), words)
        return words


def shielded(line: str, flags: Collection[str]) -> Shielded:
    """Args: flags: of the entry; without one of a format the line stays as it is."""
    names = [flag.removesuffix("-format") for flag in flags if flag.endswith("-format")]
    known = frozenset(FORMATS[name] for name in names if name in FORMATS)
    refused = frozenset(FORMATS[name[3:]] for name in names if name.startswith("no-") and name[3:] in FORMATS)
    if not known and not refused:
        return Shielded(line)
    tokens = list(_tokens(line, _pattern(known, refused - known)))
    signs = "".join(one.doubled for one in known)
    lone = any(sign in signs for kind, text, _ in tokens if kind in ("text", "other") for sign in text)
    doubled = list[str]()
    for one in known:
        if one.doubled and not lone:  # else the line does not keep to the rule itself
            whole = NONE if any(kind == "pair" for kind, _, _ in tokens) else f"(?!% ){one.directive}"
            doubled.append(f"{whole}|(?P<sign>[{one.doubled}])")
    written, given = list[str](), dict[str, str]()
    for kind, text, _ in tokens:
        if kind == "directive":
            name = _name(line, len(given), text)
            given[name] = text
            written.append(name)
        else:
            shown = kind == "text" or kind == "kept" or (kind == "pair" and lone)
            written.append(text if shown else f"&#000{ord(text[0])};")
    shield = "".join(written)
    usual = [mark.span for mark in parse(line).marks if mark.kind is Kind.literal]
    ours = [span for kind, text, span in tokens if kind == "directive" or (kind == "kept" and text[0] != "<")]
    if usual == ours and not OURS.search(shield):
        return Shielded(line, {text: text for text in given.values()}, doubled)
    return Shielded(shield, given, doubled, ENTITY.search(line) is None)


def _tokens(line: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, str, Span]]:
    """The kind of each stretch of the line, its text and its place."""
    place = 0
    while match := pattern.search(line, place):
        begin = match.start()
        yield "text", line[place:begin], (place, begin)
        kind = next(kind for kind in ("pair", "directive", "other", "kept") if match[kind] is not None)
        place = begin + 1 if kind == "other" else match.end()
        yield kind, line[begin:place], (begin, place)
    yield "text", line[place:], (place, len(line))


def _name(line: str, number: int, directive: str) -> str:
    """A placeholder that the line does not have, of a kind that is translated as a number or as a word."""
    names = [f"{{num{number}}}", *(f"{{{letter}{number}}}" for letter in NAMES)]
    return next(name for name in names[not NUMBER.fullmatch(directive) :] if name not in line)


@cache
def _pattern(known: frozenset[Format], refused: frozenset[Format]) -> re.Pattern[str]:
    """Signs that are written twice, the placeholders of the known formats, and what only looks like one. Without a
    known format all placeholders are kept but those of the refused ones."""
    pairs = [re.escape(sign * 2) for one in known for sign in one.doubled]
    directives = [one.directive for one in known]
    usual = [*PLACEHOLDERS, QT_NUMBER]
    other = usual if known else [one for one in usual if any(one in some.usual for some in refused)]
    kept = [TAGS, ADDRESS, *(one for one in usual if one not in other)]
    groups = {"kept": kept, "pair": pairs, "directive": directives, "other": other}
    return re.compile("|".join(f"(?P<{name}>{'|'.join(some) or NONE})" for name, some in groups.items()))
