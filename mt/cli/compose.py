"""From defaults, presets, a user's file and `key=value` overrides to one checked `Config`, through Hydra.

Hydra finds and merges the YAML files of `configs/`. It accepts misspelt keys, and its error messages are terse, so
every override and file is checked against the dataclasses first, and Hydra's own errors are translated (`refusals.py`).
Nothing is ever instantiated from a configuration.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mt.cli.folders import groups
from mt.cli.origin_layer import FIXED, GROUP, KEY, check_presets, check_tables, kept, register
from mt.cli.refusals import in_our_words
from mt.cli.run_name import FILE_GROUP, run_name
from mt.cli.schema import check_option, check_value, leaves, sections, settings, takes_list, unknown_key
from mt.cli.text_files import TEXT, assignment, check_is_list
from mt.cli.tree import composed
from mt.cli.typed import as_typed, fill_in_paths, in_list, in_shell, quoted, takes_text
from mt.cli.user_file import read_settings
from mt.config import Config, DataConfig
from mt.data.corpus.catalog import CATALOG
from mt.errors import ConfigError
from mt.files import folder_name, meant


def compose(overrides: list[str], *, config_dir: Path | None = None, config_file: Path | None = None) -> Config:
    """The checked settings of a command line, with a name for the run.

    `config_dir` holds more presets. `config_file` overrides the presets, and `overrides` override both.
    Raises: ConfigError.
    """
    config, choices = before_naming(overrides, prepare(config_file, config_dir=config_dir), config_dir=config_dir)
    config.run.name = run_name(config, choices)
    return config


def before_naming(
    overrides: list[str], chosen: list[str], *, config_dir: Path | None = None
) -> tuple[Config, dict[str, object]]:
    """As `compose`, with the name as it was given, and the preset that is chosen from each group.

    Args: chosen: what `prepare` returned for the user's file.
    """
    overrides = [as_typed(text) for text in overrides]
    overrides = check_overrides(overrides, config_dir=config_dir, file=bool(chosen)) + chosen
    if config_dir is not None:
        overrides.append(f"hydra.searchpath=[{quoted(f'file://{config_dir.resolve()}')}]")
    parsed = [parse(text) for text in overrides]
    more = config_dir or chosen or any(one.is_hydra_override() or one.key_or_group == GROUP for one in parsed)
    try:
        tree, choices = composed(parsed, ours=not more)
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        raise in_our_words(error) from error
    check_presets(choices)
    check_tables(tree)
    return to_config(tree), choices


def to_config(tree: DictConfig) -> Config:
    """The dataclasses of a composed tree. Raises `ConfigError` for unknown keys and values that do not fit."""
    try:
        if OmegaConf.get_type(tree) is not Config or "${" in str(OmegaConf.to_container(tree)):
            plain = OmegaConf.to_container(tree, resolve=True, enum_to_str=True)
            tree = cast(DictConfig, OmegaConf.merge(schema(), resolved(plain)))
        config = cast(Config, OmegaConf.to_object(tree))
    except OmegaConfBaseException as error:
        raise in_our_words(error) from error
    fill_in_paths(config)
    check_text(config.data)
    return config


@cache
def schema() -> DictConfig:
    """The dataclasses as a tree of OmegaConf, which takes it a tenth of all composition; not to be changed. From its
    first use Hydra knows it as `settings`."""
    tree = OmegaConf.structured(Config)
    ConfigStore.instance().store(name="settings", node=tree)
    return tree


def resolved(value: Any) -> Any:
    """Resolved values as OmegaConf must get them to resolve nothing again: a name may contain `${`."""
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item) for item in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def check_text(data: DataConfig) -> None:
    """Raises: ConfigError: for settings of one's own text that a named corpus would silently ignore."""
    if data.train:
        return
    for name in ("dev", "test"):
        if files := getattr(data, name):
            raise ConfigError(
                f"`data.{name}` names {files[0]}, but `data.train` names no file, and the corpus {data.corpus} has a "
                f"{name} set of its own.",
                hint=f"name the training text with `data.train`, or leave `data.{name}` out.",
            )
    if data.columns:
        raise ConfigError(
            f"`data.columns` chooses the columns {' and '.join(data.columns)}, but `data.train` names no file, and the "
            f"corpus {data.corpus} is no table.",
            hint="name a table with `data.train`, or leave `data.columns` out.",
        )
    entry = CATALOG.get(str(data.corpus))
    given = data.src or data.tgt
    if entry and given and (data.src or entry.src, data.tgt or entry.tgt) != (entry.src, entry.tgt):
        raise ConfigError(
            f"`data.src` and `data.tgt` ask for {data.src or entry.src} to {data.tgt or entry.tgt}, but the corpus "
            f"{data.corpus} is {entry.src} to {entry.tgt}.",
            hint="name your own text with `data.train`, or leave `data.src` and `data.tgt` out.",
        )


def prepare(config_file: Path | None, *, config_dir: Path | None = None) -> list[str]:
    """Register the schema and the user's file with Hydra. Returns the overrides that select the file.

    The file is read once, here: it may be a pipe.
    """
    schema()  # now Hydra knows it
    if config_file is None:
        return []
    node = read_settings(config_file, groups(config_dir))
    # A pipe, as in `--config <(...)`, has a number for a name; its content has a name that stays.
    own = config_file.stem if config_file.is_file() else f"settings-{sha256(repr(node).encode()).hexdigest()[:8]}"
    name = folder_name(own)
    ConfigStore.instance().store(group=FILE_GROUP, name=name, node=node, package="_global_")
    return [f"{FILE_GROUP}='{name}'"]


def with_files(overrides: list[str]) -> list[str]:
    """`a.en a.de` as `data.train=[a.en,a.de]`; beside such a setting, and a misspelt file, they are refused later."""
    files = files_among(overrides, groups())
    others = [text for text in overrides if text not in files]
    refused = any(text.startswith("data.train=") or ("=" not in text and looks_like_file(text)) for text in others)
    if not files or refused:
        return overrides
    return [*others, f"data.train=[{','.join(map(in_list, files))}]"]


def files_among(overrides: list[str], known: Mapping[str, list[str]]) -> list[str]:
    """The words of a command line that are the names of files, and no settings."""
    keys = {*known, *settings(), *sections()}
    return [text for text in overrides if text.partition("=")[0].lstrip("+~") not in keys and is_text_file(text)]


def refuse_files(overrides: list[str], known: Mapping[str, list[str]]) -> None:
    """Raises: ConfigError: for files among the words of a command line, a misspelt one first: the hint about those that
    exist would leave it out."""
    files = files_among(overrides, known)
    for text in overrides if files else ():
        if text not in files and "=" not in text and looks_like_file(text):
            parse(text)
    if files:
        raise ConfigError(
            f"`{files[0]}` is a file, not a setting.", hint=f"to train on it write `{assignment('data.train', files)}`."
        )


def check_overrides(
    overrides: list[str], *, config_dir: Path | None = None, multirun: bool = False, file: bool = False
) -> list[str]:
    """Check all overrides and return them as Hydra needs them.

    Hydra's `+` adds a key that the schema does not have, even to a dataclass; here `+key=value` means `key=value`.
    `file`: whether a file of settings is given too; `data.dev=[]` may then remove the files that it names.
    Raises `ConfigError` for the first override that cannot be used.
    """
    known = groups(config_dir)
    refuse_files(overrides, known)
    parsed = [parse(text) for text in overrides]
    keys = {override.key_or_group for override in parsed}
    if keys & {GROUP, KEY}:
        for override in parsed:
            if override.key_or_group in FIXED and not all(isinstance(value, Mapping) for value in values(override)):
                raise kept(cast(str, override.input_line), override.key_or_group)
    for override in parsed:
        check_files_named(override, corpus=bool(keys & {"data", "data.corpus"}), file=file or "experiment" in keys)
    return [check_override(override, known, multirun=multirun) for override in parsed]


def check_files_named(override: Override, *, corpus: bool, file: bool) -> None:
    """Raises: ConfigError: for a list of text files that is named and empty, as `data.train=[$TEXT]` without TEXT.

    Args: corpus: whether a named corpus is chosen instead; file: whether files of a set may be taken back.
    """
    key = override.key_or_group
    if key not in TEXT or (corpus if key == "data.train" else file):
        return
    if any(value in ([], "") for value in values(override)):
        raise ConfigError(f"`{key}` names no file (is a variable not set?).", hint=f"name some, or leave `{key}` out.")


def check_override(override: Override, known: Mapping[str, list[str]], *, multirun: bool) -> str:
    """Check one override and return it as Hydra needs it; `known`: the groups of presets."""
    text, key = cast(str, override.input_line), override.key_or_group
    if override.is_hydra_override():
        return text
    if override.is_delete():
        why, hint = "a setting always has a value", "set another value, or null."
        if key in known:
            why, hint = "a group always has a preset", "choose another preset."
        raise ConfigError(f"`~{key}` cannot be used, because {why}.", hint=hint)
    if override.is_sweep_override() and not multirun:
        simple = override.value_type is ValueType.SIMPLE_CHOICE_SWEEP
        texts = [value for value in values(override) if isinstance(value, str)] if simple and takes_text(key) else []
        found = ",".join(map(in_list, texts)) or text.partition("=")[2]
        instead = f", or write `{assignment(key, texts)}` for a list" if texts and takes_list(key) else ""
        raise ConfigError(
            f"`{key}` has several values, {found}.", hint=f"add `--multirun` to train with each{instead}."
        )
    if key in (GROUP, KEY):
        names = [register(value) for value in values(override) if value is not None]
        return f"{GROUP}={','.join(names)}" if names else f"~{GROUP}"
    for value in values(override):
        if key in known:
            check_option(key, "null" if value is None and override.is_sweep_override() else value, known[key])
        elif key in sections() and isinstance(value, Mapping):
            for leaf, part in leaves({key: value}):
                check_typed(leaf, part)
        elif key in TEXT and isinstance(value, str):
            check_is_list(key, value)
        elif key in sections() or key in settings():
            check_typed(key, value)
        else:
            raise unknown_key(key, more=known)
    if key in known and text.endswith("=null"):
        return f"~{key}"  # Hydra's syntax for it
    own = key in known and key not in groups()  # a group of the user's own is not in our defaults list
    return ("+" if own else "") + text.lstrip("+")


def check_typed(key: str, value: Any) -> None:
    """As `check_value`, but an empty text is an error, as among options: `run.name=$NAME` may continue another run."""
    check_value(key, value)
    if value == "":
        hint = f"give it one, or leave `{key}` out."
        raise ConfigError(f"`{key}` has an empty value (is a variable not set?).", hint=hint)


def values(override: Override) -> list[Any]:
    """The values of an override: one, or those of a sweep that lists them."""
    return [parse(text).value() for text in listed(override)]


def listed(override: Override) -> list[str]:
    """The overrides with one value each that an override expands to."""
    if not override.is_sweep_override():
        return [cast(str, override.input_line)]
    if override.value_type in {ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP, ValueType.RANGE_SWEEP}:
        return [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]
    return []  # globs and intervals: only Hydra and the sweeper know


def is_text_file(name: str) -> bool:
    """Whether there is a file of this name that is no YAML file."""
    # os.path and not pathlib, which raises for a name that no file can have, such as one of 300 letters
    return not name.endswith((".yaml", ".yml")) and os.path.isfile(name)  # noqa: PTH113


def looks_like_file(text: str) -> bool:
    """Whether a word without `=` is rather the name of a file than a setting: `a.en`, but not `optim.lr`."""
    first, dot, _ = text.partition(".")
    return "/" in text or (bool(dot) and first not in sections() and first not in groups())


def no_such_file(text: str) -> ConfigError:
    """With the file of the most alike name as its hint."""
    beside = list[str]()
    with suppress(OSError, ValueError):  # no folder, or a name that none can have
        beside = sorted(os.listdir(os.path.dirname(text) or "."))  # noqa: PTH120, PTH208
    near = meant(Path(text), beside)
    hint = f"did you mean `{near}`?" if near else "correct its name, or write `key=value`, as in `optim.lr=1e-3`."
    return ConfigError(f"`{text}` is neither a setting nor a file that exists.", hint=hint)


@cache
def parse(text: str) -> Override:
    """Parse one override by Hydra's grammar, which takes a millisecond; not to be changed. Raises: ConfigError."""
    try:
        return OverridesParser.create().parse_overrides([text])[0]
    except (OverrideParseException, ValueError):  # Python refuses numbers of thousands of digits
        if text.endswith((".yaml", ".yml")):
            raise ConfigError(
                f"`{text}` is not a setting: it looks like a settings file.", hint=f"write `--config {in_shell(text)}`."
            ) from None
        if "=" not in text and looks_like_file(text):
            raise no_such_file(text) from None
        if "=" not in text:
            raise ConfigError(f"`{text}` is not a setting.", hint="write `key=value`, as in `optim.lr=1e-3`.") from None
        raise ConfigError(
            f"`{text}` cannot be read as `key=value`.",
            hint="quote a value with special characters, as in `\"data.root='my data (1)'\"`.",
        ) from None
