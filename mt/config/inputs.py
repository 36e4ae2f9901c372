"""The inputs of a model that reads tables: columns, each of a kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from mt.config.decode import LATER
from mt.config.enums import InputKind
from mt.errors import require

FORM = "be columns with their kinds, as in [image:features,caption:text]"
SETTING = re.compile(r"(?P<column>.+?):(?P<kind>[a-z]+)(?::(?P<side>\d{1,6})(?::(?P<patch>\d{1,6}))?)?")
SIDE, GRID = 96, 8  # of an image, where the setting gives none: its pixels, and its patches along a side
SIDES, PATCHES = range(1, 1025), range(1, 129)  # of images, in pixels
RATES = (8_000, 192_000)
MOST_NUMBERS = 65_536  # in a row


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Input:
    """One input column of a table. `size`, `scale` and `rate` are found in the training data (`mt.inputs.reader.fit`).

    The repr is part of the fingerprint of a run's data. It leaves out later fields that are not set, so that older runs
    keep theirs."""

    column: str
    kind: InputKind
    size: int = 0  # numbers in a row; 0: not known yet, or text
    scale: float = 1.0  # rows are divided by it
    side: int = field(default=0, metadata=LATER)  # of an image, in pixels: every one is made a square of it
    patch: int = field(default=0, metadata=LATER)  # side of the squares that an image is cut into, one row each
    rate: int = field(default=0, metadata=LATER)  # of audio, in samples a second; 0: not known yet

    def __post_init__(self) -> None:
        require(0 <= self.size <= MOST_NUMBERS, "size", f"lie in [0, {MOST_NUMBERS}]", self.size)
        require(self.scale > 0, "scale", "be positive", self.scale)
        if self.kind is InputKind.image:
            require(self.side in SIDES, "side", "lie in [1, 1024]", self.side)
            must = f"be at most 128 and divide the side of the image ({self.side})"
            require(fits(self.patch, self.side), "patch", must, self.patch)
            require(self.size in (0, 3 * self.patch**2), "size", "be that of a patch of three colours", self.size)
        if self.kind is InputKind.audio:
            known = self.rate == 0 or RATES[0] <= self.rate <= RATES[1]
            require(known, "rate", f"lie in [{RATES[0]}, {RATES[1]}]", self.rate)

    @property
    def grid(self) -> int:
        """Patches along a side of an image."""
        return self.side // self.patch

    @property
    def setting(self) -> str:
        """As `data.inputs` names it."""
        return f"{self.column}:{self.kind}" + (f":{self.side}:{self.patch}" if self.side else "")

    def __repr__(self) -> str:
        shown = [f for f in fields(self) if "later" not in f.metadata or getattr(self, f.name) != f.default]
        return f"Input({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"


def fits(patch: int, side: int) -> bool:
    """Whether an image of this side can be cut into patches of this one."""
    return patch in PATCHES and side % patch == 0


def parse_inputs(texts: Sequence[str], key: str = "data.inputs") -> list[Input]:
    """The inputs of a setting such as [image:features,caption:text] or [photo:image:96:12]. Raises: ConfigError."""
    found: list[Input] = []
    for text in texts:
        form = SETTING.fullmatch(text)
        require(form is not None and "\t" not in text, key, FORM, text)
        assert form is not None
        column, kind = form["column"], form["kind"]
        known = [member.value for member in InputKind]
        require(kind in known, key, f"name kinds out of {', '.join(known)}", text)
        require(column not in [one.column for one in found], key, "name each column once", text)
        side = patch = 0
        if kind == InputKind.image:
            side = int(form["side"] or SIDE)
            patch = int(form["patch"] or side // GRID)
            must = "name an image as [photo:image:96:12]: a side up to 1024, a patch that divides it"
            require(side in SIDES and fits(patch, side), key, must, text)
        else:
            must = "give a side and a patch for images only, as in [photo:image:96:12]"
            require(form["side"] is None, key, must, text)
        found.append(Input(column=column, kind=InputKind(kind), side=side, patch=patch))
    return found
