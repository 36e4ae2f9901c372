"""`config.yaml` of a run folder. Imports no torch, so that runs are listed at once."""

from pathlib import Path
from typing import Any

import yaml

from mt.errors import CheckpointError


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a run. Raises: CheckpointError: when the file cannot be read or is damaged."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"`{path}` cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"`{path}` must be a table of settings, but is not: it is damaged.")
    return values


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"lr": 1}} as {"optim.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
