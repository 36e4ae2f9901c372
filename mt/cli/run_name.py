"""The name of a run that is given none: the name of its folder below `runs/`."""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mt.cli.typed import unquoted
from mt.config import Config
from mt.data.corpus.names import corpus_name, name_of
from mt.data.corpus.readers import infer_languages
from mt.errors import readable, require
from mt.files import LONGEST_NAME, folder_name

FILE_GROUP = "config_file"  # the place of a user's own file in the defaults list of train.yaml
NOT_IN_NAMES = {FILE_GROUP, "run.name", "run.root", "run.dry_run"}  # overrides that a name does not repeat
STEP = re.compile(r"step-\d+")
LONGEST_VALUE = 40


def run_name(
    config: Config, choices: Mapping[str, object], job: Sequence[str] = (), fixed: Collection[str] = ()
) -> str:
    """`run.name`, or else a name made of the settings file, the experiment, or the data and the model.

    Args: job: the overrides of one job of a sweep; fixed: the keys that are the same in all of its jobs. The others are
    added if the name does not contain them yet, so that no two jobs share a folder.

    A run that an older version named differently keeps its name, so that the same command resumes it.
    Raises: ConfigError: for a name that commands would take for an option.
    """
    if config.run.name:
        require(not config.run.name.startswith("-"), "run.name", "not begin with a dash", config.run.name)
        named, parts = set[str](), [config.run.name]
    else:
        data = corpus_name(config.data.train, own_languages(config)) if config.data.train else str(config.data.corpus)
        named, parts = chosen_parts(choices, data, config.init.path)
    given = (text.lstrip("+").partition("=") for text in job)
    values = {key: unquoted(value) for key, _, value in given}
    differ = sorted(key for key in values if key not in {*named, *NOT_IN_NAMES, *fixed})
    name = "-".join([*parts, *(f"{short(key, differ)}={folder_name(values[key], LONGEST_VALUE)}" for key in differ)])
    name = folder_name(name, LONGEST_NAME)
    old = name_before(config, choices, job)
    return old if old != name and is_run_of(Path(config.run.root) / old, config) else name


def tell_name(given: str | None, config: Config) -> None:
    """Say on stderr in which folder a run is whose name no folder should have."""
    if given and given != config.run.name:
        folder = Path(config.run.root) / str(config.run.name)
        print(
            readable(f"mt train: the run `{given}` is in the folder `{folder}`, a name without special characters"),
            file=sys.stderr,
        )


def own_languages(config: Config) -> tuple[str, str] | None:
    inferred = infer_languages(config.data.train) or (None, None)
    src, tgt = config.data.src or inferred[0], config.data.tgt or inferred[1]
    return (src, tgt) if src and tgt else None


def model_name(path: Path) -> str:
    """The name of the run that a model or a checkpoint is in, else its own."""
    inner = {"model", "checkpoints", "best", "latest"}
    return next(part for part in reversed(path.absolute().parts) if part not in inner and not STEP.fullmatch(part))


def chosen_parts(choices: Mapping[str, object], data: str, origin: str | None = None) -> tuple[set[str], list[str]]:
    """The groups of presets that a name is made of, and what it says of each. Args: data: the name of the text."""
    named = next(([group] for group in (FILE_GROUP, "experiment") if choices.get(group)), ["data", "model"])
    parts = {group: data if group == "data" else str(choices[group]) for group in named}
    if choices.get("debug"):
        parts["debug"] = str(choices["debug"])
    if origin is not None:
        if "data" in parts:
            parts.pop("model")
        parts["init"] = f"from-{model_name(Path(origin))}"
    return set(parts), [folder_name(part) for part in parts.values()]


def name_before(config: Config, choices: Mapping[str, object], job: Sequence[str]) -> str:
    """The name that versions before 2026-11-27 gave: of the first file, with every override of the job."""
    data = config.data
    named, parts = chosen_parts(choices, name_of(data.train[0]) if data.train else str(data.corpus))
    if config.run.name:
        named, parts = set(), [config.run.name]
    rest = sorted(text.lstrip("+") for text in job if text.partition("=")[0] not in named | NOT_IN_NAMES)
    return "-".join([*parts, folder_name(",".join(rest))] if rest else parts)


def is_run_of(folder: Path, config: Config) -> bool:
    """Whether there is a run with checkpoints that was started on the files of `config`."""
    try:
        saved: Any = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        same = saved["data"]["train"] == config.data.train
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
        return False
    return same and any(folder.glob("checkpoints/step-*"))


def short(key: str, others: Sequence[str]) -> str:
    """The last part of a key, or all of it if another key ends in the same."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in others) == 1 else key
