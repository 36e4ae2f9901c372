"""A sentence, its translation, and their place in a file."""

from dataclasses import dataclass


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
