"""The error for a model that a format cannot hold: all reasons in one message."""

from collections.abc import Sequence

from mt.errors import ConfigError


def refuse(what: str, reasons: Sequence[str]) -> None:
    """Raise `ConfigError` "the model cannot be `what`: reason; reason." unless there are no reasons."""
    if reasons:
        raise ConfigError(f"the model cannot be {what}: {'; '.join(reasons)}.")
