"""The inputs of a model that reads tables: columns, each of a kind."""

from collections.abc import Sequence
from dataclasses import dataclass

from mt.config.enums import InputKind
from mt.errors import require

FORM = "be columns with their kinds, as in [image:features,caption:text]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One input column of a table. `size` and `scale` are found in the training data (`mt.inputs.reader.fit`)."""

    column: str
    kind: InputKind
    size: int = 0  # numbers in a row; 0: not known yet, or text
    scale: float = 1.0  # rows are divided by it

    def __post_init__(self) -> None:
        require(0 <= self.size <= 1 << 16, "size", "lie in [0, 65536]", self.size)
        require(self.scale > 0, "scale", "be positive", self.scale)


def parse_inputs(texts: Sequence[str], key: str = "data.inputs") -> list[Input]:
    """The inputs of a setting such as [image:features,caption:text]. Raises: ConfigError."""
    found: list[Input] = []
    for text in texts:
        column, _, kind = text.rpartition(":")
        known = [member.value for member in InputKind]
        require(bool(column) and "\t" not in column, key, FORM, text)
        require(kind in known, key, f"name kinds out of {', '.join(known)}", text)
        require(column not in [one.column for one in found], key, "name each column once", text)
        found.append(Input(column=column, kind=InputKind(kind)))
    return found
