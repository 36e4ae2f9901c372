"""The name of a run that is given none: the name of its folder below `runs/`."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from mt.config import Config
from mt.data.corpus.names import name_of
from mt.errors import require

FILE_GROUP = "config_file"  # the place of a user's own file in the defaults list of train.yaml
NOT_IN_NAMES = {FILE_GROUP, "run.name", "run.root", "run.dry_run"}  # overrides that a name does not repeat
LONGEST = 100


def run_name(config: Config, choices: Mapping[str, object], job: Sequence[str] = ()) -> str:
    """`run.name`, or else a name made of the settings file, the experiment, or the data and the model.

    `job`: the overrides of one job of a sweep. Those that the name does not contain yet are added, so that no two jobs
    share a folder. Raises: ConfigError: for a name that commands would take for an option.
    """
    if config.run.name:
        require(not config.run.name.startswith("-"), "run.name", "not begin with a dash", config.run.name)
        named, parts = set(), [config.run.name]
    else:
        named, parts = recipe(config, choices)
    rest = sorted(text.lstrip("+") for text in job if text.partition("=")[0] not in named | NOT_IN_NAMES)
    return "-".join([*parts, folder_name(",".join(rest))] if rest else parts)


def recipe(config: Config, choices: Mapping[str, object]) -> tuple[set[str], list[str]]:
    """The groups of presets that the name is made of, and the preset chosen from each."""
    named = next(([group] for group in (FILE_GROUP, "experiment") if choices.get(group)), ["data", "model"])
    parts = {group: str(choices[group]) for group in named}
    if "data" in parts:
        parts["data"] = name_of(config.data.train[0]) if config.data.train else str(config.data.corpus)
    if choices.get("debug"):
        parts["debug"] = str(choices["debug"])
    return set(parts), [folder_name(part) for part in parts.values()]


def folder_name(text: str) -> str:
    """`text` without characters that are special in shells and file systems; a changed text also gets a hash."""
    clean = re.sub(r"^-|[^\w.,=+-]+", "_", text)[:LONGEST]
    return clean if clean == text else f"{clean}-{sha256(text.encode()).hexdigest()[:8]}"
