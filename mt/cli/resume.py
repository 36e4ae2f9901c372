"""`mt train --resume FOLDER`: the settings of a run from its folder, with other limits if some are given."""

import contextlib
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from mt.cli.compose import check_override, parse, refuse_files, values
from mt.cli.folders import groups
from mt.cli.origin_layer import GROUP, KEY
from mt.cli.runs import check_run
from mt.cli.schema import leaves, sections
from mt.cli.text_files import check_text_files
from mt.cli.typed import as_typed, fill_in_paths
from mt.config import Config
from mt.config.from_json import from_plain
from mt.data.corpus.names import HUB
from mt.errors import CheckpointError, ConfigError, DataError, readable
from mt.train.overview import is_run
from mt.train.saved_config import read_config
from mt.train.start_folder import start_folder


def resume(folder: Path, overrides: list[str], command: list[str]) -> float:
    """Continue a run; returns its best score on dev.

    Relative paths in its settings, and in `overrides`, are relative to the folder in which the run was started.
    Raises: MtError.
    """
    check_run_folder(folder)
    config = saved_settings(folder, changes(overrides))
    fill_in_paths(config)
    own, place, here = Path(config.run.root) / str(config.run.name), folder.resolve(), Path.cwd()
    start = start_folder(folder, own, config.data)
    if (start / own).resolve() != place:  # the folder was moved
        config.run.root, config.run.name = str(place.parent), place.name
    if start != here:
        print(readable(f"mt train: names of files and folders count from `{start}`, as at the start"), file=sys.stderr)
    with contextlib.chdir(start):
        if config.data.train:
            try:
                check_text_files(config.data)
            except DataError as error:
                named = [*config.data.train, *config.data.dev, *config.data.test]
                if all(file.startswith(HUB) or Path(file).exists() for file in named):
                    raise
                where = f"; relative names count from `{start}`" if start != here else ""
                hint = f"if the text has moved, name it, as in `data.train=[new.en,new.de]`{where}."
                raise DataError(error.message, hint=hint) from None
        from mt import build  # imports torch, so only once settings and file names are checked

        return build.train(config, command)


def check_run_folder(folder: Path) -> None:
    """As `check_run`; of a folder within a run, and of the name of one in `runs/`, the hint names the run."""
    if is_run(folder):
        return
    for near in (Path("runs") / folder, *folder.parents[:2]):
        if is_run(near):
            raise CheckpointError(f"`{folder}` is not the folder of a run.", hint=f"did you mean `{near}`?")
    check_run(folder)


def changes(overrides: list[str]) -> dict[str, Any]:
    """The settings in `overrides`, by dotted key. Raises: ConfigError."""
    found: dict[str, Any] = {}
    known = groups()
    refuse_files(overrides, known)
    for override in map(parse, map(as_typed, overrides)):
        key = override.key_or_group
        if key in (GROUP, KEY):
            raise ConfigError(
                f"`{override.input_line}` cannot be used with --resume: a run keeps the model it began with."
            )
        text = check_override(override, known, multirun=False)
        if key in {"run", "run.name", "run.root"} or override.is_hydra_override():
            raise ConfigError(f"`{text}` cannot be used with --resume, which continues the run in its folder.")
        (value,) = values(override)
        if key in known and not (key in sections() and isinstance(value, dict)):
            raise ConfigError(f"`{text}` cannot be used with --resume: a run keeps its presets.")
        found.update(leaves({key: value}) if key in sections() else {key: value})
    return found


def saved_settings(folder: Path, changed: dict[str, Any]) -> Config:
    """The settings of a run with some changed. Those that are younger than the run have their defaults."""
    saved, defaults = read_config(folder / "config.yaml"), Config()
    if unknown := saved.keys() - sections().keys():
        raise ConfigError(
            f"{folder}/config.yaml has the section `{min(unknown)}`, which this version of mt does not know."
        )
    made = {}
    for name, kind in sections().items():
        own = saved.get(name, {})
        given = {key.partition(".")[2]: value for key, value in changed.items() if key.partition(".")[0] == name}
        if isinstance(own, dict):
            plain = defaults.to_dict()[name] | {
                f.name: f.metadata["before"] for f in fields(kind) if "before" in f.metadata
            }
            own = {**plain, **own, **given}
        made[name] = from_plain(kind, own, f"{folder}/config.yaml: `{name}`")
    return Config(**made)
