"""Translate text with markup: tags, placeholders and addresses of a line are unchanged in its translation, each once.

The model gets a stand-in for each literal, since it garbles unseen text and the sentence around it. A stand-in may be
garbled too: the word that is linked to it is replaced by the literal.
"""

import html
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from mt.postprocess.tag_placement import Links, Writer, place
from mt.postprocess.tags import Element, Kind, Marked, Plain, parse
from mt.postprocess.word_alignments import LinkedTranslation, SoftLinks
from mt.text.words import Span, reading_words, spaced_words, stands_alone

# Names and letters, which most languages keep; names are nouns, as most placeholders are.
STAND_INS = ("Peter", "Berlin", "Tom", "Y", "Max", "X", "Anna", "Z", "Paris", "Q", "Maria", "K", "London", "J")
SPECIAL = re.compile(r"[<>{}%$#@&]|://|www\.")  # every mark has one of these


@dataclass(frozen=True)
class Restored:
    """A translation with its marks, and links between its words and those of the line, separated by white space."""

    text: str
    links: set[tuple[int, int]]


class Request:
    """A line with markup, and the plain text that is translated in its place."""

    def __init__(self, line: str, *, markup: bool = True, protect: re.Pattern[str] | None = None) -> None:
        """Args: protect: a pattern of more literals; markup: whether tags, placeholders and addresses are parsed."""
        self.marked: Marked = parse(line, protect, tags=markup)
        self.protect = protect
        usable = [word for word in STAND_INS if word not in line] or ["X"]
        self.words = [usable[n % len(usable)] for n in range(len(self.marked.literals))]

    @cached_property
    def plain(self) -> Plain:
        return self.marked.plain(self.words)

    @property
    def changed(self) -> bool:
        """Whether `text` differs from the line."""
        return bool(self.marked.marks) or self.marked.escaped

    @property
    def text(self) -> str:
        """The text to translate; empty for a line of marks and punctuation only."""
        return "" if self.marked.bare else self.plain.text

    def restore(self, linked: LinkedTranslation) -> Restored:
        """The translation of `text` with the marks of the line."""
        if not self.changed:
            return Restored(linked.text, linked.links())
        text = self._without_forgeries(linked.text)
        source_words = apart(reading_words(self.plain.text), [(e.begin, e.end) for e in literals(self.plain.elements)])
        target_words = apart(reading_words(text), [s for word in set(self.words) for s in occurrences(word, text)])
        return self.put_back(text, source_words, target_words, linked.soft(source_words, target_words))

    def put_back(self, text: str, source_words: list[Span], target_words: list[Span], soft: SoftLinks) -> Restored:
        """As `restore`, from any links. The result has every mark of the line once, whatever the links."""
        if self.marked.bare:
            return Restored(self.marked.line, set())
        text, soft = self._link_stand_ins(text, source_words, target_words, soft)
        links = Links(soft, len(source_words), len(target_words))
        everything = range(len(source_words))
        placed = place(self.plain.elements, source_words, links, everything, 0, len(target_words))
        escape = partial(html.escape, quote=False) if self.marked.escaped else str
        harmless = SPECIAL.sub(lambda match: " " * len(match[0]), text)
        for tried, spaced in ((text, False), (text, True), (harmless, True)):
            writer = Writer(tried, target_words, escape=escape, apart=spaced)
            restored = writer.write(placed)
            if self.has_all_marks(restored):
                break  # else the text next to a mark forms another mark with it
        ours = [self.plain.place_in_line(begin) for begin, _ in source_words]
        linked = ((ours[i], writer.places[j]) for j, i in enumerate(links.most) if i is not None)
        return Restored(restored, by_spaces(self.marked.line, restored, linked))

    def has_all_marks(self, text: str) -> bool:
        """Whether a text has every mark of the line as often as the line, protected text at least as often."""
        found = Counter(mark.text for mark in parse(text).marks)
        wanted = Counter((mark.text, mark.kind is Kind.protected) for mark in self.marked.marks)
        return all(
            text.count(mark) >= count if protected else found[mark] == count
            for (mark, protected), count in wanted.items()
        )

    def _without_forgeries(self, text: str) -> str:
        """The text with blanks for what the model wrote that could be taken for a mark of the line."""
        ours = set(self.marked.literals)
        for mark in parse(text).marks:
            if mark.text in ours or (mark.kind is not Kind.literal and not self.marked.escaped):
                begin, end = mark.span
                text = text[:begin] + " " * (end - begin) + text[end:]
        return text

    def _link_stand_ins(
        self, text: str, source_words: list[Span], target_words: list[Span], soft: SoftLinks
    ) -> tuple[str, SoftLinks]:
        """Link a stand-in of the translation to that of the source alone; blank those that appear too often."""
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
        taken = set(sure.values())
        others = [(i, j, weight) for i, j, weight in soft if i not in taken and j not in sure]
        return text, [*others, *((i, j, 1.0) for j, i in sure.items())]


def literals(elements: Sequence[Element]) -> list[Element]:
    """All literals, nested ones included, from left to right."""
    return [e for one in elements for e in ([one] if one.literal else literals(one.children))]


def occurrences(word: str, text: str) -> list[Span]:
    """The spans of a word in a text, as a whole word."""
    spans = [match.span() for match in re.finditer(re.escape(word), text)]
    return [span for span in spans if stands_alone(text, *span)]


def apart(words: Sequence[Span], certain: Sequence[Span]) -> list[Span]:
    """The words, with each certain span as a word of its own, cut out of the others."""
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


def by_spaces(line: str, text: str, linked: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Links between positions of two texts, as links between their words separated by white space."""
    ours, theirs = ([begin for begin, _ in spaced_words(one)] for one in (line, text))
    found = ((bisect_right(ours, a) - 1, bisect_right(theirs, b) - 1) for a, b in linked)
    return {(i, j) for i, j in found if i >= 0 and j >= 0}
