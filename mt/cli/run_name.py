"""The default name of a run, which is the name of its folder under `runs/`."""

import re
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from mt.config import Config
from mt.data.corpus.names import corpus_name, name_of
from mt.data.corpus.readers import infer_languages
from mt.errors import require

FILE_GROUP = "config_file"  # the place of a user's own file in the defaults list of train.yaml
NOT_IN_NAMES = {FILE_GROUP, "run.name", "run.root", "run.dry_run"}  # overrides that a name need not repeat
LONGEST, LONGEST_VALUE = 100, 40


def run_name(
    config: Config, choices: Mapping[str, object], job: Sequence[str] = (), fixed: Collection[str] = ()
) -> str:
    """The name given, or one made of the file, the experiment, or the data and the model that were chosen.

    Args: job: the overrides of one job of a sweep; fixed: the keys that are the same in all of its jobs. The others are
    added if the name does not tell them yet, so that no two jobs share a folder.

    A run that an older version named otherwise keeps its name, so that the same command resumes it.
    Raises: ConfigError: for a name that commands would take for an option.
    """
    if config.run.name:
        require(not config.run.name.startswith("-"), "run.name", "not begin with a dash", config.run.name)
        told, parts = set[str](), [config.run.name]
    else:
        told, parts = recipe(config, choices)
    keys = [key_of(text) for text in job if key_of(text) not in told | NOT_IN_NAMES]
    differ = [key for key in keys if key not in fixed]
    values = {key_of(text): text.partition("=")[2] for text in job}
    name = "-".join([*parts, *(f"{short(key, differ)}={folder_name(values[key], LONGEST_VALUE)}" for key in differ)])
    name = folder_name(name, 2 * LONGEST)  # 255 bytes are the most that file systems take
    old = name_before(config, choices, job)
    return old if old != name and is_run_of(Path(config.run.root) / old, config) else name


def recipe(config: Config, choices: Mapping[str, object]) -> tuple[set[str], list[str]]:
    """The groups that tell runs apart, and the options chosen from them."""
    data = config.data
    own = corpus_name(data.train, own_languages(config)) if data.train else str(data.corpus)
    return chosen_parts(choices, own)


def own_languages(config: Config) -> tuple[str, str] | None:
    inferred = infer_languages(config.data.train) or (None, None)
    src, tgt = config.data.src or inferred[0], config.data.tgt or inferred[1]
    return (src, tgt) if src and tgt else None


def chosen_parts(choices: Mapping[str, object], data: str) -> tuple[set[str], list[str]]:
    told = next(([group] for group in (FILE_GROUP, "experiment") if choices.get(group)), ["data", "model"])
    parts = {group: data if group == "data" else str(choices[group]) for group in told}
    if choices.get("debug"):
        parts["debug"] = str(choices["debug"])
    return set(parts), [folder_name(part) for part in parts.values()]


def name_before(config: Config, choices: Mapping[str, object], job: Sequence[str]) -> str:
    """As versions before 2026-11-27 named a run: after the first file, with every override of the job."""
    data = config.data
    told, parts = chosen_parts(choices, name_of(data.train[0]) if data.train else str(data.corpus))
    if config.run.name:
        told, parts = set(), [config.run.name]
    rest = sorted(text.lstrip("+") for text in job if text.partition("=")[0] not in told | NOT_IN_NAMES)
    return "-".join([*parts, folder_name(",".join(rest))] if rest else parts)


def is_run_of(folder: Path, config: Config) -> bool:
    """Whether there is a run with checkpoints that was started on the files of `config`."""
    try:
        saved: Any = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        same = saved["data"]["train"] == config.data.train
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
        return False
    return same and any(folder.glob("checkpoints/step-*"))


def key_of(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def short(key: str, others: Sequence[str]) -> str:
    """The last part of a key, or all of it where another key ends in the same."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in others) == 1 else key


def folder_name(text: str, longest: int = LONGEST) -> str:
    """`text` without signs that shells and file systems mind; what was changed or cut keeps a mark of its own."""
    clean = re.sub(r"^-|[^\w.,=+-]+", "_", text)[:longest]
    return clean if clean == text else f"{clean}-{sha256(text.encode()).hexdigest()[:8]}"
