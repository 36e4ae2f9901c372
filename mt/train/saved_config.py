"""The settings and the JSON files of a run folder. Imports no torch, so that runs are listed at once."""

from pathlib import Path
from typing import Any

import yaml

from mt.errors import CheckpointError
from mt.files import explained, read_json


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a run. Raises: CheckpointError: when the file cannot be read or is damaged."""
    try:
        with explained(f"`{path}` cannot be read"):
            values = parse_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise CheckpointError(f"`{path}` must be UTF-8 text, but is not: it is damaged.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        what = error.problem or error.context
        raise CheckpointError(f"`{path}`{line}: this is not YAML, so the file is damaged: {what}.") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise CheckpointError(f"`{path}` is not YAML: it is damaged.") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"`{path}` must be a table of settings, but is not: it is damaged.")
    return values


def parse_yaml(text: str) -> Any:
    """As `yaml.safe_load`, six times as fast where PyYAML has libyaml. Errors have the same words anywhere."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return loader.get_single_data()
    except yaml.YAMLError:
        return yaml.safe_load(text)
    finally:
        loader.dispose()


def read_facts(path: Path, problems: list[str] | None = None) -> dict[str, Any]:
    """A JSON file of a run; empty where it is missing or damaged. Args: problems: gets what is wrong with a file that
    is there."""
    try:
        return read_json(path)
    except CheckpointError as error:
        if problems is not None and not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            problems.append(error.message)
        return {}


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"lr": 1}} as {"optim.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
