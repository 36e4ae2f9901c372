"""Translate text with markup: tags, placeholders and addresses of a line come out as they went in, each once.

What must stay as it is travels as a stand-in, for a model garbles what it never saw, and the sentence around it, too. A
stand-in may be garbled as well: whatever came from it, by word links, makes room for what it stood for.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from mt.postprocess.tag_placement import Links, Writer, place
from mt.postprocess.tags import Element, Kind, Marked, Plain, parse
from mt.postprocess.word_alignments import Linked, SoftLinks
from mt.text.words import Span, has_letters, reading_words, spaced_words, stands_alone

# Names and letters, which most languages leave as they are; a name reads as a noun, which most placeholders stand for.
STAND_INS = ("Peter", "Berlin", "Tom", "Y", "Max", "X", "Anna", "Z", "Paris", "Q", "Maria", "K", "London", "J")
NUMBERS = ("12", "15", "20", "30", "40", "50", "60", "70", "80", "90")
# What stands for a number is translated best as one: digits, and placeholders by their names.
COUNT = re.compile(r"[\d.,:/\s-]*\d[\d.,:/\s-]*|\{+(?:n|num\w*|count\w*|total|amount|quantity)\}+|%(?:\d+\$)?[di]")
ATTEMPTS = 3  # at a line, with other stand-ins each time, until all come through
LIKE = 0.6  # of 1: how like its stand-in a garbled word must be
SPECIAL = re.compile(r"[<>{}%$#@&]|://|www\.")  # no mark is without one of these


@dataclass(frozen=True)
class Restored:
    """A translation with its marks; links are between the words, by white space, of the line and of this text."""

    text: str
    links: set[tuple[int, int]]


class Request:
    """A line, and the plain text that is translated instead."""

    def __init__(
        self, line: str, *, markup: bool = True, protect: re.Pattern[str] | None = None, attempt: int = 0
    ) -> None:
        """Args: protect: what else stays as it is; markup: whether tags, placeholders and addresses are looked for;
        attempt: which stand-ins are used, from 0 to `ATTEMPTS` - 1."""
        self.marked: Marked = parse(line, protect, tags=markup)
        self.protect = protect
        self.words: list[str] = []
        for literal in self.marked.literals:
            usable = [word for word in _stand_ins(literal, attempt) if word not in line] or ["X"]
            self.words.append(
                next((word for word in usable if word not in self.words), usable[len(self.words) % len(usable)])
            )

    @cached_property
    def plain(self) -> Plain:
        return self.marked.plain(self.words)

    @property
    def changed(self) -> bool:
        """Whether what is translated is not the line itself."""
        return bool(self.marked.marks) or self.marked.escaped

    @property
    def bare(self) -> bool:
        """Whether the line is copied: it is not empty, but has nothing to translate."""
        return self.marked.bare and bool(self.marked.line.strip())

    def came_through(self, text: str) -> int:
        """How many of the stand-ins a translation has."""
        wanted = Counter(self.words)
        return sum(min(count, len(occurrences(word, text))) for word, count in wanted.items())

    @property
    def text(self) -> str:
        """What is sent to the model: nothing where a line is marks and signs only."""
        return "" if self.marked.bare else self.plain.text

    def restore(self, linked: Linked) -> Restored:
        """Put the marks of the line into a translation of `text`."""
        if not self.changed and not self.bare:
            return Restored(linked.text, linked.links())
        text = self._without_forgeries(linked.text)
        source_words = apart(reading_words(self.plain.text), [(e.begin, e.end) for e in literals(self.plain.elements)])
        target_words = apart(reading_words(text), [s for word in set(self.words) for s in occurrences(word, text)])
        return self.put_back(text, source_words, target_words, linked.soft(source_words, target_words))

    def put_back(self, text: str, source_words: list[Span], target_words: list[Span], soft: SoftLinks) -> Restored:
        """As `restore`, from any links. Every mark of the line is there once, whatever the links."""
        if self.marked.bare:
            return Restored(self.marked.line, set())
        text, soft = self._settled(text, source_words, target_words, soft)
        links = Links(soft, len(source_words), len(target_words))
        everything = range(len(source_words))
        placed = place(self.plain.elements, source_words, links, everything, 0, len(target_words))
        escape = _escape if self.marked.escaped else str
        harmless = SPECIAL.sub(lambda match: " " * len(match[0]), text)
        for tried, spaced in ((text, False), (text, True), (harmless, True)):
            writer = Writer(tried, target_words, escape=escape, apart=spaced)
            said = writer.write(placed)
            if self.whole(said):
                break  # else the text reads as a mark together with one of the line's, or breaks it
        ours = [self.plain.place_in_line(begin) for begin, _ in source_words]
        tied = ((ours[i], writer.places[j]) for j, i in enumerate(links.most) if i is not None)
        return Restored(said, by_spaces(self.marked.line, said, tied))

    def whole(self, said: str) -> bool:
        """Whether every mark of the line is in a text, and as often; what the user protects may be there more often."""
        there = Counter(mark.text for mark in parse(said).marks)
        wanted = Counter((mark.text, mark.kind is Kind.protected) for mark in self.marked.marks)
        return all(
            said.count(text) >= count if protected else there[text] == count
            for (text, protected), count in wanted.items()
        )

    def _without_forgeries(self, text: str) -> str:
        """Blanks for what a model wrote itself that would be taken for a mark of this line."""
        ours = set(self.marked.literals)
        for mark in parse(text).marks:
            if mark.text in ours or (mark.kind is not Kind.literal and not self.marked.escaped):
                begin, end = mark.span
                text = text[:begin] + " " * (end - begin) + text[end:]
        return text

    def _settled(
        self, text: str, source_words: list[Span], target_words: list[Span], soft: SoftLinks
    ) -> tuple[str, SoftLinks]:
        """A stand-in that came through is linked to itself alone, one that came through too often is blanked. One that
        did not is linked only to a word like it, for another word has a meaning of its own, which would be lost."""
        weights = {(i, j): weight for i, j, weight in soft}
        sure: dict[int, int] = {}  # target word: source word
        for word in set(self.words):
            begins = {e.begin for e in literals(self.plain.elements) if self.plain.text[e.begin : e.end] == word}
            origins = [i for i, span in enumerate(source_words) if span[0] in begins]
            spots = [j for j, (a, b) in enumerate(target_words) if text[a:b] == word]
            if len(origins) == 1:
                spots.sort(key=lambda j: -weights.get((origins[0], j), 0.0))
            sure |= dict(zip(spots, origins, strict=False))
            for j in spots[len(origins) :]:
                begin, end = target_words[j]
                text = text[:begin] + " " * (end - begin) + text[end:]
        if source_words and target_words and len(target_words) - 1 not in sure:
            (a, b), (c, d) = source_words[-1], target_words[-1]
            if not has_letters(self.plain.text[a:b]) and not has_letters(text[c:d]) and text[c:d].strip():
                sure[len(target_words) - 1] = len(source_words) - 1  # a mark at the end stays at the end
        taken = set(sure.values())
        lost = {
            i: self.plain.text[slice(*span)]
            for i, span in enumerate(source_words)
            if i not in taken and any(e.begin == span[0] for e in literals(self.plain.elements))
        }
        others = [
            (i, j, weight)
            for i, j, weight in soft
            if i not in taken and j not in sure and (i not in lost or like(lost[i], text[slice(*target_words[j])]))
        ]
        return text, [*others, *((i, j, 1.0) for j, i in sure.items())]


def _stand_ins(literal: str, attempt: int) -> Sequence[str]:
    """What may stand for a literal: a number for one, else a name; the other way round at the second attempt, and the
    last names at the third."""
    if attempt == 2:
        return [*STAND_INS[4:], *STAND_INS[:4]]
    return NUMBERS if bool(COUNT.fullmatch(literal)) == (attempt == 0) else STAND_INS


def like(stand_in: str, word: str) -> bool:
    """Whether a word is probably what became of a stand-in."""
    if stand_in.isdigit() or len(stand_in) == 1:
        return unicodedata.normalize("NFKC", word).lower() == stand_in.lower()
    return SequenceMatcher(None, stand_in.lower(), word.lower(), autojunk=False).ratio() >= LIKE


def literals(elements: Sequence[Element]) -> list[Element]:
    """Those within others, too, from left to right."""
    return [e for one in elements for e in ([one] if one.literal else literals(one.children))]


def occurrences(word: str, text: str) -> list[Span]:
    """Where a word stands in a text, as a whole word."""
    spans = [match.span() for match in re.finditer(re.escape(word), text)]
    return [span for span in spans if stands_alone(text, *span)]


def apart(words: Sequence[Span], certain: Sequence[Span]) -> list[Span]:
    """Words, where each certain span is one of its own and cut out of any other."""
    cuts = sorted(certain)
    found = list(cuts)
    for begin, end in words:
        for first, last in cuts:
            if begin < first < end:
                found.append((begin, first))
            if begin < last and first < end:
                begin = max(begin, last)
        if begin < end:
            found.append((begin, end))
    return sorted(found)


def by_spaces(line: str, said: str, tied: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Links between places of two texts, as links between their words by white space."""
    ours, theirs = ([begin for begin, _ in spaced_words(text)] for text in (line, said))
    found = ((bisect_right(ours, a) - 1, bisect_right(theirs, b) - 1) for a, b in tied)
    return {(i, j) for i, j in found if i >= 0 and j >= 0}


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
