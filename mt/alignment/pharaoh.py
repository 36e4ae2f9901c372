"""Word links in the Pharaoh format, and their comparison with gold links."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mt.errors import DataError, counted
from mt.text.words import Links, spaced_words

LINK = re.compile(r"(\d+)([-–p?])(\d+)")
LONGEST = 100  # characters of a link; of some thousand digits Python makes no number


@dataclass(frozen=True)
class Gold:
    """The gold links of one pair. Sure links are possible too."""

    sure: Links
    possible: Links


@dataclass(frozen=True)
class Agreement:
    """Counts of links and gold links over a whole text (Och & Ney 2003, section 6).

    With A links, S sure and P possible gold ones (S within P): precision = |A∩P| / |A|, recall = |A∩S| / |S|,
    AER = 1 - (|A∩S| + |A∩P|) / (|A| + |S|). Where all gold links are sure, AER is 1 - F1.
    """

    links: int
    sure: int
    found_sure: int
    found_possible: int

    @property
    def aer(self) -> float:
        total = self.links + self.sure
        return 1 - (self.found_sure + self.found_possible) / total if total else 0.0

    @property
    def precision(self) -> float:
        return self.found_possible / self.links if self.links else 0.0

    @property
    def recall(self) -> float:
        return self.found_sure / self.sure if self.sure else 0.0


def compare(found: Iterable[Links], gold: Iterable[Gold]) -> Agreement:
    counts = [0, 0, 0, 0]
    for links, drawn in zip(found, gold, strict=True):
        sizes = len(links), len(drawn.sure), len(links & drawn.sure), len(links & drawn.possible)
        counts = [total + size for total, size in zip(counts, sizes, strict=True)]
    return Agreement(*counts)


def pharaoh(links: Links) -> str:
    """`0-0 1-2`: source word and target word, counted from 0."""
    return " ".join(f"{i}-{j}" for i, j in sorted(links))


def parse_gold(line: str, *, base: int, where: str) -> Gold:
    """`0-0 1-2 3p3`: a sure link is `i-j`, a possible one `ipj` or `i?j`; words count from `base`.

    Raises: DataError: at anything else, or at a number below `base`.
    """
    sure, possible = set(), set()
    for item in line.split():
        found = LINK.fullmatch(item)
        if found is None:
            raise DataError(f"{where}: a link must read `1-2`, or `1p2` where it is only possible, but reads `{item}`.")
        if len(item) > LONGEST:
            raise DataError(f"{where}: the number of a word is too large.")
        link = int(found[1]) - base, int(found[3]) - base
        (possible if found[2] in "p?" else sure).add(link)
        if min(link) < 0:
            message = f"{where}: `{item}` counts from 0, but links are said to count from 1."
            raise DataError(message, hint="`--gold-base 0` says that they count from 0.")
    return Gold(sure, sure | possible)


def read_gold(lines: Sequence[str], *, base: int, path: Path | str) -> list[Gold]:
    """Raises: DataError: as `parse_gold`."""
    return [parse_gold(line, base=base, where=f"{path}:{n}") for n, line in enumerate(lines, 1)]


def check_words(links: Iterable[tuple[int, int]], source: str, target: str, *, base: int, where: str) -> None:
    """Raises: DataError: when a link exceeds the words of its pair."""
    words = len(spaced_words(source)), len(spaced_words(target))
    for i, j in links:
        if i >= words[0] or j >= words[1]:
            raise DataError(
                f"{where}: the link {i + base}-{j + base} is past the words of its pair, {words[0]} and {words[1]} "
                f"between spaces, which links count from {base}."
            )


def check_gold(
    gold: Sequence[Gold], sources: Sequence[str], targets: Sequence[str], *, base: int, path: Path | str
) -> None:
    """Raises: DataError: when the numbers of lines and pairs differ, and as `check_words`."""
    if len(gold) != len(sources):
        raise DataError(f"{path} must have a line for each of {counted(len(sources), 'pair')}, but has {len(gold):,}.")
    for n, (drawn, source, target) in enumerate(zip(gold, sources, targets, strict=True), 1):
        check_words(sorted(drawn.possible), source, target, base=base, where=f"{path}:{n}")
