"""Markup back into a translation, by word links.

A pair of tags goes around the run of words that came from what it held; a literal takes the place of the word that came
from its stand-in; a tag alone stands where the fewest links cross it. From the outside in: what is within an element
stays within it, and two elements side by side never overlap. So whatever the links say, the result is well nested, and
each mark is written once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mt.compute import ties
from mt.postprocess.tags import Element
from mt.text.words import Span, is_word

SoftLinks = Sequence[tuple[int, int, float]]  # source word, target word, weight
NOTHING = -0.01  # what a word without links is worth: it joins two that are wanted, and does not stretch a run


@dataclass
class Placed:
    """An element and its run of target words, `begin == end` where it has none."""

    element: Element
    begin: int
    end: int
    inner: "list[Placed]" = field(default_factory=list)


class Links:
    """What the target words of a sentence are linked to."""

    def __init__(self, soft: SoftLinks, sources: int, targets: int) -> None:
        self.sources = sources
        self.rows: list[dict[int, float]] = [{} for _ in range(targets)]
        for i, j, weight in soft:
            if weight > 0:
                self.rows[j][i] = self.rows[j].get(i, 0.0) + weight
        self.most = [_first_best(dict(sorted(row.items()))) for row in self.rows]

    def worth(self, j: int, wanted: range) -> float:
        """From 1.5, where a target word came from these source words alone, to -1.4: a run goes on over one foreign
        word, not over two. The word that it looked at most decides; the weights tell equals apart."""
        row, most = self.rows[j], self.most[j]
        if most is None:
            return NOTHING
        inside = sum(weight for i, weight in row.items() if i in wanted) / sum(row.values())
        return (1.0 if most in wanted else -0.9) + inside - 0.5

    def best_run(self, wanted: range, free: Sequence[bool], low: int) -> tuple[int, int] | None:
        """The run of free target words that is worth most, of equals the first; `free[0]` is word `low`. None: no word
        is linked at all.

        Where no word looked most at a wanted one, it is the single word that looked there the most.
        """
        best, run, begin, total = 0.0, None, low, 0.0
        for j, can in enumerate(free, low):
            if not can:
                begin, total = j + 1, 0.0
                continue
            if total <= 0:
                begin, total = j, 0.0
            total += self.worth(j, wanted)
            if total > best + ties.FLOAT32:
                best, run = total, (begin, j + 1)
        return run or self._second_best(wanted, free, low)

    def _second_best(self, wanted: range, free: Sequence[bool], low: int) -> tuple[int, int] | None:
        looked = {
            j: sum(weight for i, weight in self.rows[j].items() if i in wanted)
            for j, can in enumerate(free, low)
            if can
        }
        best = _first_best(looked)
        return None if best is None or looked[best] <= 0 else (best, best + 1)

    def single(self, wanted: range, free: Sequence[bool], low: int) -> tuple[int, int] | None:
        """The free target word that looked most at a wanted one, and most of them all."""
        looked = {j: self.rows[j][most] for j, can in enumerate(free, low)
                  if can and (most := self.most[j]) is not None and most in wanted}  # fmt: skip
        best = _first_best(looked)
        return None if best is None else (best, best + 1)

    def gap(self, before: int, allowed: Sequence[int]) -> int:
        """Where the fewest links cross: a gap counts by the target word after it, `before` by the source words before.

        The first of equals.
        """
        cost, costs = sum(most is not None and most < before for most in self.most), []
        for most in [*self.most, None]:
            costs.append(cost)
            if most is not None:
                cost += 1 if most >= before else -1
        return min(allowed, key=lambda gap: (costs[gap], gap))


def _first_best(values: Mapping[int, float]) -> int | None:
    """The word with the greatest value, of equals the first."""
    words = list(values)
    return words[ties.first_best(list(values.values()), ties.FLOAT32)] if words else None


def words_of(words: Sequence[Span], begin: int, end: int) -> range:
    """Which words lie in a stretch of text; for an empty one the empty range at the number of words before it."""
    first = sum(last <= begin for _, last in words)
    inside = sum(a < end for a, _ in words[first:]) if begin < end else 0
    return range(first, first + inside)


def place(
    elements: Sequence[Element], source_words: Sequence[Span], links: Links, within: range, low: int, high: int
) -> list[Placed]:
    """Elements side by side onto the target words `low` .. `high`, in their order there.

    Args: within: the source words of what holds them.
    """
    taken: list[Placed] = []
    free = [True] * (high - low)
    wanted = {id(e): words_of(source_words, e.begin, e.end) for e in elements}
    for element in sorted(elements, key=lambda e: not e.literal):  # a literal knows its word best
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
    gaps = [g for g in range(low, high + 1) if not any(p.begin < g < p.end for p in taken)]
    for element in elements:
        if id(element) not in done:
            gap = links.gap(wanted[id(element)].start, gaps)
            taken.append(Placed(element, gap, gap))
    for one in taken:
        one.inner = place(one.element.children, source_words, links, wanted[id(one.element)], one.begin, one.end)
    return sorted(taken, key=lambda p: (p.begin, p.end > p.begin, p.element.where))


class Writer:
    """Writes a translation with its marks. `places[j]` is where target word j begins in what was written."""

    def __init__(
        self, text: str, words: Sequence[Span], *, escape: Callable[[str], str] = str, apart: bool = False
    ) -> None:
        """Args: escape: how text is written; apart: white space around every literal, where others would run together
        with the text."""
        self.text = text
        self.words = words
        self.escape = escape
        self.apart = apart
        self.written = ""
        self.places = [0] * len(words)
        self.at = 0  # so much of the text is written
        self.word = 0  # the first word that begins after it
        self.literal_end = -1  # where the last literal ended in what was written

    def write(self, placed: Sequence[Placed]) -> str:
        self._run(placed, 0, len(self.words))
        self._copy(len(self.text))
        return self.written

    def _begin(self, word: int) -> int:
        return self.words[word][0] if word < len(self.words) else len(self.text)

    def _copy(self, end: int) -> None:
        """The text as far as this, where that is not written yet."""
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
        """What has no words, with the white space that it had in the source."""
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
