"""`init=MODEL` on the command line and in files: the settings of a model as a preset of Hydra's.

The preset comes after those of the other groups, so that a user's file and overrides change what it sets.
"""

from collections.abc import Mapping
from hashlib import sha256

from hydra.core.config_store import ConfigStore

from mt.cli.folders import CONFIG_DIR
from mt.cli.typed import filled
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
    default = (CONFIG_DIR / "train.yaml").read_text(encoding="utf-8")
    for group in FIXED:
        if f"  - {group}: {choices[group]}\n" not in default:
            raise kept(f"{group}={choices[group]}", group)


def kept(preset: str, group: str) -> ConfigError:
    what = "shape" if group == "model" else "tokenizer"
    return ConfigError(
        f"`{preset}` cannot be used with `init`, which keeps the {what} of its model; leave one of them out."
    )
