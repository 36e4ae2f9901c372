"""Versions of file formats: each kind of file has a schema number, and a chain of migrations between numbers.

A change of a format adds a migration to its tuple below. The folders in `tests/golden` prove that files of every number
still load. A file with a newer number is an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mt.errors import CheckpointError, shown

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of file. `migrations[n - 1]` converts values of schema n to schema n + 1; it may change its argument.

    `first_unnumbered`: files of schema 1 have no number.
    """

    migrations: tuple[Callable[[Values], Values], ...] = ()
    first_unnumbered: bool = False

    @property
    def current(self) -> int:
        return len(self.migrations) + 1

    def mark(self, values: Mapping[str, Any]) -> Values:
        """The values with the current schema number."""
        return {"schema": self.current, **values}

    def upgrade(self, values: Mapping[str, Any], where: str) -> Values:
        """The values converted to the current schema, without the number.

        Raises `CheckpointError` naming `where` for a missing or newer number, and values that do not fit their number.
        """
        values = dict(values)
        number = values.pop("schema", 1 if self.first_unnumbered else None)
        if type(number) is not int or number < 1:
            raise CheckpointError(
                f"{where} must have a `schema` number, but has {shown(number):.40}: it is damaged, or not a file of mt."
            )
        if number > self.current:
            known = "1" if self.current == 1 else f"1 to {self.current}"
            hint = "update mt to read newer files."
            raise CheckpointError(f"{where} has schema {number}, but this version of mt reads {known}.", hint=hint)
        try:
            for migrate in self.migrations[number - 1 :]:
                values = migrate(values)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise CheckpointError(f"{where} does not fit its schema {number} ({error!r:.80}).") from None
        return values


MANIFEST = Schema()  # MANIFEST.json of every folder
CONFIG = Schema()  # config.json of a model
STATE = Schema(first_unnumbered=True)  # state.json of a checkpoint
