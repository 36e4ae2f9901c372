"""Models in the formats of other engines. What all of them need is here, and read without importing torch."""

from collections.abc import Sequence

from mt.errors import ConfigError

EXACT = "float32"  # the quantization that keeps weights as they are, and the default


def refuse(what: str, reasons: Sequence[str]) -> None:
    """Raise `ConfigError` "the model cannot be `what`: reason; reason." unless there are no reasons."""
    if reasons:
        raise ConfigError(f"the model cannot be {what}: {'; '.join(reasons)}.")
