"""Files that outlive the version that wrote them: each kind has a number, and a chain of steps from number to number.

Who changes what a kind holds adds one function to its tuple below, and the folders of `tests/golden` prove that files
of every number still load. A file of a newer number is refused: what it means is not known here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mt.errors import CheckpointError

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of file. `migrations[n - 1]` makes of the values of schema n those of schema n + 1.

    A migration is a pure function, and may change the copy that it is given. `first_unnumbered`: files of schema 1
    carry no number.
    """

    migrations: tuple[Callable[[Values], Values], ...] = ()
    first_unnumbered: bool = False

    @property
    def current(self) -> int:
        return len(self.migrations) + 1

    def mark(self, values: Mapping[str, Any]) -> Values:
        """The values with the number that this version writes."""
        return {"schema": self.current, **values}

    def upgrade(self, values: Mapping[str, Any], where: str) -> Values:
        """The values, without their number, as this version would have written them.

        Raises `CheckpointError` naming `where`: for no number, a newer one, or values that are not of their number.
        """
        values = dict(values)
        number = values.pop("schema", 1 if self.first_unnumbered else None)
        if type(number) is not int or number < 1:
            raise CheckpointError(
                f"{where} must give its schema, a number from 1, but gives {number!r:.40}: it is damaged, or not of mt."
            )
        if number > self.current:
            known = "1" if self.current == 1 else f"1 to {self.current}"
            raise CheckpointError(
                f"{where} has schema {number}, but this version of mt reads {known}: a newer one wrote it; update mt."
            )
        try:
            for migrate in self.migrations[number - 1 :]:
                values = migrate(values)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise CheckpointError(f"{where} must be of schema {number}, but is not ({error!r:.80}).") from None
        return values


MANIFEST = Schema()  # MANIFEST.json of every folder
CONFIG = Schema()  # config.json of a model
STATE = Schema(first_unnumbered=True)  # state.json of a checkpoint
