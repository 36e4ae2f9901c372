"""A glossary: words that a translation must, or must not, contain when the source has certain words.

One entry a line, source and target separated by a tab:

    house<TAB>Haus                 a sentence with "house" gets "Haus"
    house<TAB>Haus|Hauses|Häuser   one of these forms, chosen by the model
    house<TAB>!Bude                and never "Bude"
    *<TAB>!okay                    no sentence ever gets "okay"
    # a line that begins with # is a comment

Terms are one or more whole words. A source term in lower case is found in any case; one with a capital only as it is
written. A letter that has two spellings ("é" is one code point or two, ye is Persian or Arabic) is found in both. Where
terms overlap in the source the longest one counts, so "green house" does not also require "Haus". Target terms are used
as they are written.

"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mt.errors import ConfigError, DataError
from mt.text.lines import read_lines
from mt.text.spelling import one_spelling
from mt.text.words import stands_alone

ALWAYS = "*"
UNNAMED = "glossary"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a glossary. `where` names it in errors.

    Raises: ConfigError: for terms of another type; DataError: for terms that no line of a file could have.
    """

    source: str
    targets: tuple[str, ...]  # forms of one word: one of them is required, or all are banned
    banned: bool
    where: str = UNNAMED

    def __post_init__(self) -> None:
        targets: object = self.targets
        if not (isinstance(targets, list | tuple) and all(isinstance(term, str) for term in (self.source, *targets))):
            raise ConfigError(
                f"{self.where}: an entry must have a source term and a tuple of target terms, but has "
                f"{self.source!r} and {targets!r}.",
                hint='write it as `Entry("cat", ("Katze", "Katzen"), banned=False)`.',
            )
        object.__setattr__(self, "source", _spaced(self.source))
        object.__setattr__(self, "targets", tuple(map(_spaced, self.targets)))
        if not self.source:
            raise DataError(f"{self.where}: the source term of `{self.written}` is empty.")
        if not self.targets or not all(self.targets):
            message = f"{self.where}: a form of the target term is empty in {self.written!r}."
            raise DataError(message, hint="write a word on each side of |.")
        if self.source == ALWAYS and not self.banned:
            raise DataError(
                f"{self.where}: {ALWAYS} stands for every sentence and can only ban, as in "
                f"{ALWAYS}<TAB>!{self.written}."
            )

    @property
    def written(self) -> str:
        """The target terms as a file has them."""
        return "!" * self.banned + "|".join(self.targets)


@dataclass(frozen=True, slots=True)
class Constraints:
    """The entries of a glossary that apply to one sentence."""

    required: tuple[Entry, ...] = ()
    banned: tuple[Entry, ...] = ()


class Glossary:
    """Entries, indexed by source term. Raises: DataError: for two that contradict each other."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.always: list[Entry] = []
        self.entries: dict[str, list[Entry]] = {}  # by source term, in one spelling
        for number, given in enumerate(entries, 1):
            if not isinstance(given, Entry):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"entry {number:,} of the glossary must be an `Entry`, but is {given!r}.")
            entry = replace(given, where=f"entry {number:,} of the glossary") if given.where == UNNAMED else given
            own = self.entries.setdefault(one_spelling(entry.source), []) if entry.source != ALWAYS else self.always
            own.append(entry)
        self._check_contradictions()
        self._by_first: dict[str, list[tuple[re.Pattern[str], str]]] = {}  # by first character, the longest terms first
        for term in sorted(self.entries, key=lambda term: (-len(term), term)):
            self._by_first.setdefault(term[0].lower(), []).append((spelling(term), term))

    @classmethod
    def read(cls, path: Path | str) -> "Glossary":
        """Raises: DataError: for a file that cannot be read, and, with the line number, for a line that is no entry."""
        entries = (parse(line, f"{path}:{number}") for number, line in enumerate(read_lines(path), 1))
        return cls([entry for entry in entries if entry is not None])

    def _check_contradictions(self) -> None:
        """Raises: DataError: for two entries of one term that require different words, or one that requires what
        another one bans; the first two are named."""
        for term, entries in self.entries.items():
            required = [entry for entry in entries if not entry.banned]
            for entry in required:
                others = [one for one in required if not {*one.targets} & {*entry.targets}]
                banning = [one for one in (*entries, *self.always) if one.banned and {*one.targets} >= {*entry.targets}]
                if banning:
                    why = "which must appear by the one and must not by the other"
                    raise _contradiction(term, entry, banning[0], why)
                if others:
                    raise _contradiction(term, entry, others[0], "which must both appear")

    def constraints(self, sentence: str) -> Constraints:
        """The entries that apply to the sentence, in its order, without duplicates."""
        found = [*self.always, *(entry for term in self._terms(one_spelling(sentence)) for entry in self.entries[term])]
        first = {(entry.targets, entry.banned): entry for entry in reversed(found)}
        kept = list(dict.fromkeys(entry for entry in found if first[entry.targets, entry.banned] is entry))
        return Constraints(tuple(e for e in kept if not e.banned), tuple(e for e in kept if e.banned))

    def _terms(self, sentence: str) -> list[str]:
        """The source terms in a sentence, from left to right; at each position the longest."""
        found, place = [], 0
        while place < len(sentence):
            for pattern, term in self._by_first.get(sentence[place].lower(), ()):
                match = pattern.match(sentence, place)
                if match and stands_alone(sentence, *match.span()):
                    found.append(term)
                    place = match.end()
                    break
            else:
                place += 1
        return found


def parse(line: str, where: str) -> Entry | None:
    """The entry of one line; None for a comment or an empty line. Raises: DataError: for anything else."""
    if not line.strip() or line.startswith("#"):
        return None
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != 2 or not all(columns):
        raise DataError(
            f"{where}: an entry must be a source term, a tab and a target term, but is {line!r}.",
            hint="a target after ! must not appear, | separates forms of which one is used, and # begins a comment.",
        )
    source, target = columns
    return Entry(source, tuple(target.removeprefix("!").split("|")), target.startswith("!"), where)


def _spaced(term: str) -> str:
    return " ".join(term.split())


def _contradiction(term: str, entry: Entry, other: Entry, why: str) -> DataError:
    first, second = (f"`{one.source}` as `{one.written}`" for one in (entry, other))
    forms = "|".join(dict.fromkeys([*entry.targets, *other.targets]))
    hint = "delete one of the two"
    if not other.banned:
        hint += f", or write the words of which one is used in one entry: {term}<TAB>{forms}"
    return DataError(
        f"{entry.where} and {other.where} contradict each other: {first} and {second}, {why}.", hint=f"{hint}."
    )


def spelling(term: str) -> re.Pattern[str]:
    """Finds a term, with any white space between its words, in any case if it is in lower case itself."""
    words = r"\s+".join(map(re.escape, term.split()))
    return re.compile(words, re.IGNORECASE if term == term.lower() else re.NOFLAG)
