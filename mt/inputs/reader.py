"""Sources of models that read tables: the cells of the input columns of one row, joined by tabs."""

from collections.abc import Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from mt.config import Input, InputKind
from mt.errors import ConfigError, DataError, check_texts
from mt.inputs.audio import Audio
from mt.inputs.contents import within
from mt.inputs.features import Features
from mt.inputs.image import Images
from mt.inputs.kind import FrameKind
from mt.inputs.several import Part, SeveralInputs
from mt.inputs.spec_augment import masked

Item: TypeAlias = Part | SeveralInputs
EncodeText = Callable[[Sequence[str]], list[list[int]]]

SAMPLED = 1000  # cells of a column, to find size and scale
KINDS: dict[InputKind, type[FrameKind]] = {
    InputKind.features: Features, InputKind.image: Images, InputKind.audio: Audio,
}  # fmt: skip


class InputReader:
    """Reads sources: texts become token ids, cells of other kinds frames. Nothing is kept between calls."""

    def __init__(self, inputs: Sequence[Input], encode: EncodeText) -> None:
        """Args: encode: turns texts into token ids."""
        self.inputs = list(inputs)
        self.encode = encode
        self.kinds = [KINDS[one.kind](one) if one.kind in KINDS else None for one in inputs]

    def item(
        self,
        source: str,
        where: str = "",
        left_out: Sequence[bool] | None = None,
        masks: Sequence[Sequence[float]] = (),
    ) -> Item:
        """The rows of one input, or of several. Of several, those with an empty cell are missing.

        Args: where: the row of the source, for the error; left_out: inputs whose cells are treated as empty;
        masks: what of a recording is hidden, as `masked` takes it. Raises: DataError: names `where` and the column.
        """
        without = left_out or repeat(False)
        cells = ["" if out else cell for cell, out in zip(self.cells(source, where), without, strict=False)]
        parts = [self._read(place, cell, where) for place, cell in enumerate(cells)]
        if masks:
            parts = [
                masked(part, masks) if isinstance(part, Tensor) and one.kind is InputKind.audio else part
                for part, one in zip(parts, self.inputs, strict=True)
            ]
        return parts[0] if len(parts) == 1 else SeveralInputs(tuple(parts), tuple(bool(cell.strip()) for cell in cells))

    def check(self, **sources: Sequence[str]) -> None:
        """Raises: ConfigError: as `check_texts`, with the form of a source."""
        try:
            check_texts(**sources)
        except ConfigError as error:
            cells = "a cell" if len(self.inputs) == 1 else "the cells of a row with tabs between them"
            named = ", ".join(one.column for one in self.inputs)
            form = f"a source is a string: {cells} ({named}); a file is its name, as `str(path)` gives it."
            raise ConfigError(error.message, hint=form) from error

    def counts(self, source: str, where: str = "", known: dict[tuple[int, str], int] | None = None) -> list[int]:
        """The number of rows of each input; 0 for a missing one of several.

        Args: known: the rows of cells that were read before, by input and cell; they are not read again, and what is
        read is added. Raises: DataError: as `item`."""
        known = {} if known is None else known
        cells = self.cells(source, where)
        found = [self._size(place, cell, where, known) for place, cell in enumerate(cells)]
        if len(cells) == 1:
            return found
        return [size if cell.strip() else 0 for size, cell in zip(found, cells, strict=True)]

    def cells(self, source: str, where: str = "") -> list[str]:
        cells = source.split("\t")
        if len(cells) != len(self.inputs):
            opening = f"{where}: " if where else ""
            columns = ", ".join(one.column for one in self.inputs)
            raise DataError(
                f"{opening}a source must have the cells {columns} with tabs between them, but is {source!r}."
            )
        return cells

    def text(self, source: str) -> str:
        """The text cells of a source, in lines. Raises: DataError: as `item`."""
        return "\n".join(texts_of(self.inputs, [source]))

    def _read(self, place: int, cell: str, where: str) -> Part:
        kind = self.kinds[place]
        return self.encode([cell])[0] if kind is None else _read(kind, cell, where)

    def _size(self, place: int, cell: str, where: str, known: dict[tuple[int, str], int]) -> int:
        if self.kinds[place] is None:  # a text is read faster than found
            return len(self._read(place, cell, where))
        size = known.get((place, cell))
        if size is None:
            size = known[place, cell] = len(self._read(place, cell, where))
        return size

    def __reduce__(self) -> tuple[type["InputReader"], tuple[list[Input], EncodeText]]:
        return InputReader, (self.inputs, self.encode)


def _read(kind: FrameKind, cell: str, where: str) -> Float[Tensor, "_ F"]:
    """Raises: DataError: names `where` and the column."""
    try:
        return kind.read(cell)
    except DataError as error:
        opening = f"{where}: " if where else ""
        raise DataError(f"{opening}column `{kind.setting.column}`: {error.message}.", hint=error.hint) from None


def fit(inputs: Sequence[Input], sources: Sequence[str], origins: Sequence[object]) -> list[Input]:
    """The inputs with the sizes and scales of an even sample of the training data.

    Args: origins: where each source comes from, for errors. Raises: DataError: for a cell that cannot be read, and for
    a column that is always empty.
    """
    found: list[Input] = []
    for place, one in enumerate(inputs):
        if one.kind not in KINDS:
            found.append(one)
            continue
        kind = KINDS[one.kind](one)
        rows = ((source.split("\t")[place], str(origin)) for source, origin in zip(sources, origins, strict=True))
        known = [(cell, where) for cell, where in rows if cell]
        if not known:
            raise DataError(f"column `{one.column}` is empty in all of the training data.")
        found.append(kind.fitted([_read(kind, *row) for row in known[:: -(-len(known) // SAMPLED)]]))
    return found


def described(one: Input) -> str:
    """What was found of an input, for the log."""
    if one.kind is InputKind.text:
        return "text"
    made = f"a grid of {one.grid} x {one.grid} patches, " if one.side else ""
    made += f"{one.rate:,} samples a second, " if one.rate else ""
    return f"{one.kind}, {made}{one.size:,} numbers a row, scale {one.scale:g}"


def texts_of(inputs: Sequence[Input], sources: Sequence[str]) -> list[str]:
    """The cells of all text columns, column after column."""
    return [
        source.split("\t")[place]
        for place, one in enumerate(inputs) if one.kind is InputKind.text
        for source in sources
    ]  # fmt: skip


def located(kind: InputKind, cell: str, folder: str) -> str:
    """A cell as its table in `folder` means it: file names are relative to the table."""
    return cell if kind not in KINDS or not cell else within(folder, cell)


def as_written(inputs: Sequence[Input], source: str, folder: str) -> str:
    """A source with its cells as its table in `folder` has them, wherever that folder is: the inverse of `located`."""
    begin = str(Path(folder) / "_").removesuffix("_")
    cells = zip(inputs, source.split("\t"), strict=True)
    return "\t".join(cell.removeprefix(begin) if one.kind in KINDS else cell for one, cell in cells)
