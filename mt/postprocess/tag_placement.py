"""Place the markup of a source in its translation, by word links.

A pair of tags encloses the run of words that are linked to its content; a literal replaces the word that is linked to
its stand-in; a single tag is placed where it crosses the fewest links. Placement goes from the outside in: the
content of an element stays inside it, and two elements side by side never overlap. So whatever the links are, the
result is well nested and has each mark once.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mt.compute import ties
from mt.text.tags import Element
from mt.text.words import Span, is_word

SoftLinks = Sequence[tuple[int, int, float]]  # source word, target word, weight
NO_LINKS = -0.01  # the worth of a word without links: it may join two linked words, but does not extend a run


@dataclass
class Placed:
    """An element and its run of target words, `begin == end` where it has none."""

    element: Element
    begin: int
    end: int
    inner: "list[Placed]" = field(default_factory=list)


class Links:
    """The source words of each target word: `rows` with all weights, `most` with the one of greatest weight."""

    def __init__(self, soft: SoftLinks, targets: int) -> None:
        """Args: targets: the number of target words."""
        self.rows: list[dict[int, float]] = [{} for _ in range(targets)]
        for i, j, weight in soft:
            if weight > 0:
                self.rows[j][i] = self.rows[j].get(i, 0.0) + weight
        self.most = [_first_best(dict(sorted(row.items()))) for row in self.rows]
        # The target words of a source word: with its greatest weight, and with any. A line may have thousands of
        # elements, each of which asks for a few words.
        self.led, self.linked = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for j, (row, most) in enumerate(zip(self.rows, self.most, strict=True)):
            for i in row:
                self.linked[i].append(j)
            if most is not None:
                self.led[most].append(j)
        self._most = np.array([-1 if most is None else most for most in self.most], dtype=np.int64)

    def worth(self, j: int, wanted: range) -> float:
        """From 1.5, where a target word is linked to these source words alone, to -1.4: a run extends over one other
        word, not over two. The link of greatest weight decides; the other weights break ties."""
        row, most = self.rows[j], self.most[j]
        if most is None:
            return NO_LINKS
        return (1.0 if most in wanted else -0.9) + self._inside(j, wanted) / sum(row.values()) - 0.5

    def _inside(self, j: int, wanted: range) -> float:
        return sum(weight for i, weight in self.rows[j].items() if i in wanted)

    def best_run(self, wanted: range, free: Sequence[bool], low: int) -> tuple[int, int] | None:
        """The run of free target words of greatest worth, the first of equals; `free[0]` is word `low`.

        Without a run of positive worth, the single word with the greatest weight on the wanted words; None: no word
        has any.
        """
        best, run, end = 0.0, None, low
        for begin in _free(self.led, wanted, free, low):  # no other word is worth anything
            if begin < end:
                continue  # the run of an earlier word has it
            total, end = 0.0, begin
            while end - low < len(free) and free[end - low] and (end == begin or total > 0):
                total += self.worth(end, wanted)
                end += 1
                if total > best + ties.FLOAT32:
                    best, run = total, (begin, end)
        return run or _as_run({j: self._inside(j, wanted) for j in _free(self.linked, wanted, free, low)})

    def single(self, wanted: range, free: Sequence[bool], low: int) -> tuple[int, int] | None:
        """Of the free target words whose greatest weight is on a wanted word, the one where it is greatest."""
        return _as_run({j: self.rows[j][self._most[j]] for j in _free(self.led, wanted, free, low)})

    def gap(self, before: int, allowed: NDArray[np.int64]) -> int:
        """The allowed gap that crosses the fewest links, the first of equals. A gap has the number of the target word
        after it. Args: before: the number of source words before the tag; allowed: in ascending order.
        """
        more = np.where(self._most >= before, 1, -1) * (self._most >= 0)  # crossed behind a word than in front of it
        costs = np.concatenate([[0], np.cumsum(more)])
        return int(allowed[np.argmin(costs[allowed])])


def _free(of: Mapping[int, list[int]], wanted: range, free: Sequence[bool], low: int) -> list[int]:
    """The free target words `of` the wanted source words, in their order; `free[0]` is word `low`."""
    found = {j for i in wanted for j in of.get(i, ())}
    return sorted(j for j in found if 0 <= j - low < len(free) and free[j - low])


def _first_best(values: Mapping[int, float]) -> int | None:
    """The word with the greatest value, the first of equals."""
    words = list(values)
    return words[ties.first_best(list(values.values()), ties.FLOAT32)] if words else None


def _as_run(values: Mapping[int, float]) -> tuple[int, int] | None:
    """The best word as a run; None without a positive value."""
    best = _first_best(values)
    return None if best is None or values[best] <= 0 else (best, best + 1)


def words_of(words: Sequence[Span], begin: int, end: int) -> range:
    """The words in a span of text; of an empty span the empty range at the number of words before it."""
    first = bisect_right(words, begin, key=lambda word: word[1])
    return range(first, bisect_left(words, end, key=lambda word: word[0]) if begin < end else first)


def place(
    elements: Sequence[Element], source_words: Sequence[Span], links: Links, within: range, low: int, high: int
) -> list[Placed]:
    """Place elements side by side on the target words `low` .. `high`, in their order there.

    Args: within: the source words of the element around them.
    """
    taken: list[Placed] = []
    free = [True] * (high - low)
    wanted = {id(e): words_of(source_words, e.begin, e.end) for e in elements}
    for element in sorted(elements, key=lambda e: not e.literal):  # the links of literals are the surest
        own = wanted[id(element)]
        if not own:
            continue
        if element.literal:
            run = links.single(own, free, low)
        else:
            run = (low, high) if own == within and all(free) and low < high else links.best_run(own, free, low)
        if run:
            free[run[0] - low : run[1] - low] = [False] * (run[1] - run[0])
            taken.append(Placed(element, *run))
    done = {id(p.element) for p in taken}
    inside = {g for p in taken for g in range(p.begin + 1, p.end)}
    gaps = np.array([g for g in range(low, high + 1) if g not in inside], dtype=np.int64)
    for element in elements:
        if id(element) not in done:
            gap = links.gap(wanted[id(element)].start, gaps)
            taken.append(Placed(element, gap, gap))
    for one in taken:
        one.inner = place(one.element.children, source_words, links, wanted[id(one.element)], one.begin, one.end)
    return sorted(taken, key=lambda p: (p.begin, p.end > p.begin, p.element.where))


class Writer:
    """Writes a translation with its marks. `places[j]` is the position of target word j in `written`."""

    def __init__(
        self, text: str, words: Sequence[Span], *, escape: Callable[[str], str] = str, apart: bool = False
    ) -> None:
        """Args: escape: applied to the text; apart: put white space around every literal."""
        self.text = text
        self.words = words
        self.escape = escape
        self.apart = apart
        self.written = ""
        self.places = [0] * len(words)
        self.at = 0  # the number of characters of the text that are written
        self.word = 0  # the first word that begins after them
        self.literal_end = -1  # the position in `written` after the last literal

    def write(self, placed: Sequence[Placed]) -> str:
        self._run(placed, 0, len(self.words))
        self._copy(len(self.text))
        return self.written

    def _begin(self, word: int) -> int:
        return self.words[word][0] if word < len(self.words) else len(self.text)

    def _copy(self, end: int) -> None:
        """Write the text up to `end`."""
        while self.word < len(self.words) and (begin := self.words[self.word][0]) < end:
            if begin >= self.at:
                self.written += self.escape(self.text[self.at : begin])
                self.places[self.word], self.at = len(self.written), begin
            self.word += 1
        self.written += self.escape(self.text[self.at : end])
        self.at = max(self.at, end)

    def _run(self, placed: Sequence[Placed], low: int, high: int) -> None:
        for one in placed:
            if one.begin == one.end:
                self._between(one, low, high)
                continue
            self._copy(self._begin(one.begin))
            end = self.words[one.end - 1][1]
            if one.element.literal:
                before, after = one.element.spaces
                if before and is_word(self.written[-1:] or " "):
                    self.written += " "
                self._literal(one.element.opening)
                if after and is_word(self.text[end : end + 1] or " "):
                    self.written += " "
                self.places[one.begin] = len(self.written.rstrip()) - len(one.element.opening)
                self.at = end
            else:
                if one.element.block and not one.element.spaces[0]:
                    self.written = self.written.rstrip()  # the space was put into the plain text, to part words
                self.written += one.element.opening
                self._run(one.inner, one.begin, one.end)
                self._copy(end)
                self.written += one.element.closing
                if one.element.block and not one.element.spaces[1]:
                    self.at += len(self.text) - self.at - len(self.text[self.at :].lstrip())

    def _literal(self, literal: str) -> None:
        apart = self.apart or len(self.written) == self.literal_end
        self.written += f" {literal} " if self.apart else f" {literal}" if apart else literal
        self.literal_end = len(self.written)

    def _between(self, one: Placed, low: int, high: int) -> None:
        """Write an element without target words, with the white space around it that it had in the source."""
        element, at_word = one.element, one.begin
        before, after = (True, True) if element.literal else element.spaces
        if at_word > low:
            self._copy(self.words[at_word - 1][1])
        if before and at_word > low and not self.written[-1:].isspace():
            self.written += " "
        if element.literal:
            self._literal(element.opening)
        else:
            self.written += element.opening
            self._run(one.inner, at_word, at_word)
            self.written += element.closing
        if at_word < high:
            parted = self.at < self._begin(at_word)
            self.at = self._begin(at_word) if at_word > low else self.at
            sticks = element.literal and is_word(self.text[self.at : self.at + 1] or " ")
            if (after and (parted or at_word == low or sticks)) or (sticks and not after):
                self.written += " "
