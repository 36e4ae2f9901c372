"""The tree of settings that Hydra composes of presets, and the values that are set in it."""

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from hashlib import sha256

import hydra
from hydra import initialize_config_dir
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict

from mt.cli.folders import CONFIG_DIR
from mt.cli.schema import sections, settings

Composed = tuple[DictConfig, dict[str, object]]


def composed(overrides: Sequence[Override], *, ours: bool) -> Composed:
    """The tree of the settings, without Hydra's own, and the preset that is chosen from each group.

    Hydra takes a tenth of a second for presets, so what it made of them is kept for the next jobs of a sweep. Values
    are set as Hydra sets them, after all presets.

    Args: overrides: checked ones; ours: whether they choose from the files of `configs/` only.
    """
    values: list[Override] = []
    lines: list[str] = []  # of what chooses presets
    for override in overrides:
        if sets_value(override):
            values.append(override)
        else:
            lines.append(str(override.input_line))
    chosen = tuple(lines)
    tree, choices = deepcopy(of_our_presets(chosen, contents())) if ours else of_presets(chosen)
    for override in values:
        OmegaConf.update(tree, override.key_or_group, override.value())
    return tree, choices


def sets_value(override: Override) -> bool:
    """Whether an override gives one value to a setting, or several to a section, and chooses no preset."""
    if override.type is not OverrideType.CHANGE or override.package is not None or override.is_sweep_override():
        return False
    key = override.key_or_group
    return key in settings() or (key in sections() and isinstance(override.value(), dict))


def of_presets(lines: tuple[str, ...]) -> Composed:
    """What Hydra composes of overrides."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        tree = hydra.compose("train", list(lines), return_hydra_config=True)
    choices = dict(tree.hydra.runtime.choices)
    with open_dict(tree):
        del tree["hydra"]
    return tree, choices


@lru_cache(maxsize=64)
def of_our_presets(lines: tuple[str, ...], state: str) -> Composed:
    """As `of_presets`; not to be changed. Args: state: what `contents` returned, which changes with the files."""
    return of_presets(lines)


def contents() -> str:
    """A hash of all files in `configs/`."""
    files = sorted(file for file in CONFIG_DIR.glob("**/*.yaml") if file.is_file())
    return sha256(repr([(file, file.read_bytes()) for file in files]).encode()).hexdigest()
