"""A sentence, its translation, and their place in a file."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mt.text.languages import nearest


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in a file that a pair came from; lines (or rows) count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Pair:
    """One sentence in two languages. Neither text contains a line feed."""

    src: str
    tgt: str
    origin: Origin


def fingerprint(pairs: Sequence[Pair]) -> str:
    """sha256 over the text of pairs, in order, as `TokenizedCorpus.fingerprint`."""
    return hashlib.sha256(as_bytes(pairs)).hexdigest()


def as_bytes(pairs: Sequence[Pair]) -> bytes:
    """The text of pairs, for a hash of it."""
    return "".join(f"{pair.src}\0{pair.tgt}\n" for pair in pairs).encode()


# Names of the two columns or fields of a table, in use in corpora; the first one is ours.
COMMON_NAMES = (
    ("src", "tgt"), ("source", "target"), ("src", "trg"), ("src_text", "tgt_text"), ("source_text", "target_text"),
    ("src_sentence", "tgt_sentence"), ("input", "output"), ("original", "translation"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """What is known of where a file that holds both sides has them."""

    src: str | None = None  # languages; None: not known
    tgt: str | None = None
    columns: tuple[str, ...] = ()  # names or numbers of columns, from 1, that the user gave; empty: none

    @property
    def candidates(self) -> list[tuple[str, str]]:
        """Names that the two columns may have, the most certain first."""
        if self.columns:
            return [(self.columns[0], self.columns[1])]
        languages = [(self.src, self.tgt)] if self.src and self.tgt else []
        return [*languages, *COMMON_NAMES]

    def among(self, names: Iterable[str]) -> tuple[str, str] | None:
        """The two of some names that are source and target: languages in any style, or common names in any case."""
        names = list(names)
        if self.columns:
            return self.candidates[0] if {*self.candidates[0]} <= {*names} else None
        plain = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
        for src, tgt in self.candidates:
            if src.lower() in plain and tgt.lower() in plain:
                return plain[src.lower()], plain[tgt.lower()]
        if self.src and self.tgt and {self.src, self.tgt} != {"src", "tgt"}:
            found = nearest(names, self.src), nearest(names, self.tgt)
            if found[0] is not None and found[1] is not None and found[0] != found[1]:
                return found[0], found[1]
        return None
