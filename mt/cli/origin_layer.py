"""`init=MODEL` on the command line and in files: the settings of a model as a preset of Hydra's.

The preset comes after those of the other groups, so that a user's file and overrides change what it sets.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from mt.cli.folders import default_presets
from mt.cli.typed import filled
from mt.data.corpus.columns import TABLES
from mt.data.corpus.names import kind_of
from mt.errors import ConfigError

GROUP, KEY = "init", "init.path"
FIXED = ("model", "tokenizer")  # groups of presets for what a model has


def register(model: object) -> str:
    """Register the settings of a model with Hydra. Returns the name of their preset.

    Raises: ConfigError: for what is no name; CheckpointError: when there is no such model.
    """
    if not isinstance(model, str) or not model:
        raise ConfigError(f"`init` must name a run or a model folder, but is {model if model != '' else 'empty'}.")
    from mt.train.origin import starting_settings  # imports torch

    model = filled("init", model)
    name = f"model-{sha256(model.encode(errors='surrogateescape')).hexdigest()[:8]}"
    node = starting_settings(model)
    ConfigStore.instance().store(group=GROUP, name=name, node=node, package="_global_")
    return name


def check_presets(choices: Mapping[str, object]) -> None:
    """Raises: ConfigError: for a preset that would not count, because the model has a shape and a tokenizer."""
    if not choices.get(GROUP):
        return
    default = default_presets()
    for group in FIXED:
        if choices[group] != default[group]:
            raise kept(f"{group}={choices[group]}", group)


def check_tables(tree: DictConfig) -> None:
    """Raises: ConfigError: for text, or no dev set, where `init` names a model that reads tables: the settings that its
    inputs need are not of the user's typing. Args: tree: the composed settings."""
    data, model = tree.data, tree.init.path
    if not model or not data.inputs:
        return
    from mt.checkpoint.model_folder import table_columns

    if not table_columns(Path(model))[0]:
        return  # a model of text, which the user's `data.inputs` do not fit: the model says so when it is read
    columns = ", ".join("{} ({})".format(*str(one).split(":")[:2]) for one in data.inputs)
    problem = ""
    for name in ("train", "dev"):
        files = [str(file) for file in getattr(data, name) or ()]
        if text := [file for file in files if kind_of(file) not in TABLES]:
            problem = problem or f"`data.{name}` names {text[0]}, which is no table"
        elif not files:
            problem = problem or f"`data.{name}` names no table"
    if problem:
        target = data.target or data.tgt
        raise ConfigError(
            f"`init={model}` reads rows of a table, with the columns {columns} and {target} (what it writes), but "
            f"{problem}.",
            hint="write `data.train=[TRAIN.tsv] data.dev=[DEV.tsv]`, with the names of tables that have these columns.",
        )


def kept(preset: str, group: str) -> ConfigError:
    what = "shape" if group == "model" else "tokenizer"
    return ConfigError(
        f"`{preset}` cannot be used with `init`, which keeps the {what} of its model; leave one of them out."
    )
