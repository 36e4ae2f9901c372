"""Translate text with markup: tags, placeholders and addresses of a line are unchanged in its translation, each once.

The model gets a stand-in for each literal, since it garbles unseen text and the sentence around it. A stand-in may be
garbled too: the word that is linked to it is replaced by the literal.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, cached_property, partial

from mt.decode.translation import Translation
from mt.postprocess.tag_placement import Links, Writer, place
from mt.postprocess.word_alignments import LinkedTranslation, SoftLinks
from mt.text.placeholders import SPECIAL
from mt.text.tags import Element, Kind, Marked, Plain, parse
from mt.text.words import Span, has_letters, reading_words, spaced_words, stands_alone

# Names and letters, which most languages keep; names are nouns, as most placeholders are.
STAND_INS = ("Peter", "Berlin", "Tom", "Y", "Max", "X", "Anna", "Z", "Paris", "Q", "Maria", "K", "London", "J")
NUMBERS = ("12", "15", "20", "30", "40", "50", "60", "70", "80", "90")
# What stands for a number is translated best as one: digits, and placeholders by their names.
COUNT = re.compile(
    r"[\d.,:/\s-]*\d[\d.,:/\s-]*|\{+(?:n|num\w*|count\w*|total|amount|quantity)\}+|%(?:\d+\$)?L?[din]|:count"
)
ATTEMPTS = 3  # at a line, with other stand-ins each time, until all come through
LIKE = 0.6  # of 1: how like its stand-in a garbled word must be
Found = list[list[Translation]]  # the n-best list of each line


@dataclass(frozen=True)
class Restored:
    """A translation with its marks, and links between its words and those of the line, separated by white space."""

    text: str
    links: set[tuple[int, int]]


class Request:
    """A line with markup, and the plain text that is translated in its place."""

    def __init__(
        self, line: str, *, markup: bool = True, protect: re.Pattern[str] | None = None, attempt: int = 0
    ) -> None:
        """Args: protect: what else stays as it is; markup: whether tags, placeholders and addresses are looked for;
        attempt: which stand-ins are used, from 0 to `ATTEMPTS` - 1."""
        self.marked: Marked = parse(line, protect, tags=markup)
        self.changed = bool(self.marked.marks) or self.marked.escaped  # whether `text` differs from the line
        self.words: list[str] = []
        usable = cache(lambda choice: [word for word in choice if word not in line] or ["X"])
        used = set[str]()
        for literal in self.marked.literals:
            words = usable(tuple(_stand_ins(literal, attempt)))
            self.words.append(next((word for word in words if word not in used), words[len(self.words) % len(words)]))
            used.add(self.words[-1])

    @cached_property
    def plain(self) -> Plain:
        return self.marked.plain(self.words)

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
        """The text to translate; empty for a line of marks and punctuation only."""
        return "" if self.marked.bare else self.plain.text

    def restore(self, linked: LinkedTranslation) -> Restored:
        """The translation of `text` with the marks of the line."""
        if not self.changed and not self.bare:
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
        links = Links(soft, len(target_words))
        placed = place(self.plain.elements, source_words, links, range(len(source_words)), 0, len(target_words))
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
        """Link a stand-in of the translation to that of the source alone; blank those that appear too often. A stand-in
        that did not come through is linked only to a word like it: another word has its own meaning."""
        weights = {(i, j): weight for i, j, weight in soft}
        stand_ins = {e.begin: self.plain.text[e.begin : e.end] for e in literals(self.plain.elements)}
        sure: dict[int, int] = {}  # target word: source word
        for word in set(self.words):
            begins = {begin for begin, stand_in in stand_ins.items() if stand_in == word}
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
            if i not in taken and span[0] in stand_ins
        }
        others = [
            (i, j, weight)
            for i, j, weight in soft
            if i not in taken and j not in sure and (i not in lost or like(lost[i], text[slice(*target_words[j])]))
        ]
        return text, [*others, *((i, j, 1.0) for j, i in sure.items())]


def translated(
    lines: Sequence[str], request: Callable[[str, int], Request]
) -> Generator[tuple[list[str], list[list[str]]], Found, tuple[list[Request], Found]]:
    """Translate lines with markup; one whose stand-ins do not come through is sent again with others.

    Yields texts, one for each line, and their stand-ins, and is sent the translations of each. A line that is not sent
    again has an empty text, so that numbers and prefixes belong to the same lines.

    Args: request: of a line and the number of the attempt.
    Returns: of each line the best request and its translations.
    """
    requests: list[Request] = []
    found: Found = []
    for attempt in range(ATTEMPTS):
        again = [
            n for n in range(len(lines))
            if not requests or requests[n].came_through(found[n][0].text) < len(requests[n].words)
        ]  # fmt: skip
        if not again:
            break
        new = {n: request(lines[n], attempt) for n in again}
        said = yield (
            [new[n].text if n in new else "" for n in range(len(lines))],
            [new[n].words if n in new else [] for n in range(len(lines))],
        )
        if not requests:
            requests, found = [new[n] for n in again], said
        for n in again:
            if new[n].came_through(said[n][0].text) > requests[n].came_through(found[n][0].text):
                requests[n], found[n] = new[n], said[n]
    return requests, found


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
    """All literals, nested ones included, from left to right."""
    return [e for one in elements for e in ([one] if one.literal else literals(one.children))]


def occurrences(word: str, text: str) -> list[Span]:
    """The spans of a word in a text, as a whole word."""
    spans = [match.span() for match in re.finditer(re.escape(word), text)]
    return [span for span in spans if stands_alone(text, *span)]


def apart(words: Sequence[Span], certain: Sequence[Span]) -> list[Span]:
    """The words, with each certain span as a word of its own, cut out of the others. No two spans overlap."""
    cuts = sorted(certain)
    found = list(cuts)
    for begin, end in words:
        place = bisect_right(cuts, begin, key=lambda cut: cut[1])  # earlier ones end before the word begins
        while place < len(cuts) and cuts[place][0] < end:
            first, last = cuts[place]
            if begin < first:
                found.append((begin, first))
            begin = last
            place += 1
        if begin < end:
            found.append((begin, end))
    return sorted(found)


def by_spaces(line: str, text: str, linked: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Links between positions of two texts, as links between their words separated by white space."""
    ours, theirs = ([begin for begin, _ in spaced_words(one)] for one in (line, text))
    found = ((bisect_right(ours, a) - 1, bisect_right(theirs, b) - 1) for a, b in linked)
    return {(i, j) for i, j in found if i >= 0 and j >= 0}
