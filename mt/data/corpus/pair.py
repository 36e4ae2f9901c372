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

    @property
    def names(self) -> set[str]:
        return {name for pair in self.candidates for name in pair}
