"""An item of several inputs."""

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

Part: TypeAlias = list[int] | Float[Tensor, "_ F"]  # of one input: token ids, or frames


@dataclass(frozen=True)
class SeveralInputs:
    """The rows of each input of one item. A missing input has one row, which stands in for it."""

    parts: tuple[Part, ...]
    present: tuple[bool, ...]

    def __len__(self) -> int:
        """Rows of all inputs."""
        return sum(map(len, self.parts))
