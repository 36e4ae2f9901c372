"""A user's own YAML file of settings, read safely and checked as strictly as the command line."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from mt.cli.origin_layer import GROUP, register
from mt.cli.refusals import bad_yaml, first_line
from mt.cli.schema import check_option, check_value, leaves, sections, unknown_key
from mt.cli.typed import keep_texts
from mt.errors import ConfigError
from mt.files import reason

NOT_IN_FILES = {
    "defaults": "write `model: base` to choose a preset",
    "hydra": "give Hydra's settings on the command line",
}

TAKES = "`--config` takes a YAML file of settings; `mt train --cfg job` prints one with all of them."


def read_settings(file: Path, groups: Mapping[str, list[str]]) -> dict[str, Any]:
    """The file as a preset for Hydra: `model: base` chooses a preset, `model: {dim: 128}` sets values.

    Raises `ConfigError`, with the file and the line, for a file that cannot be read and for a wrong key or value.
    """
    text = read_text(file)
    if not text.strip():
        raise ConfigError(f"`{file}` is empty.", hint=TAKES)
    tree = {key: value for key, value in parse(text, str(file)).items() if not (key in sections() and value is None)}
    origin = tree.get(GROUP)
    if isinstance(origin, Mapping) and set(origin) == {"path"}:
        origin = tree[GROUP] = origin["path"]
    if origin is None:
        tree.pop(GROUP, None)
    elif not isinstance(origin, Mapping):
        tree[GROUP] = register(origin)
        groups = {**groups, GROUP: [tree[GROUP]]}
    chosen = {key: value for key, value in tree.items() if key in groups and not isinstance(value, Mapping)}
    values = {key: value for key, value in tree.items() if key not in chosen}
    for key, value in leaves(values):
        where = f"{file}, line {line_of(text, key)}"
        if key in NOT_IN_FILES or ("." in key and key in tree):
            raise ConfigError(f"{where}: `{key}` is not allowed here.", hint=f"{NOT_IN_FILES.get(key, nested(key))}.")
        if key not in sections() and "." not in key:
            raise unknown_key(key, more=[*groups, *sections()], where=where)
        check_value(key, value, where)
        corpus = isinstance(tree.get("data"), Mapping) and tree["data"].get("corpus")
        if key == "data.train" and value == [] and not corpus:
            raise ConfigError(f"{where}: `data.train` names no file.", hint="name some, or leave it out.")
    for group, option in chosen.items():
        check_option(group, option, groups[group], f"{file}, line {line_of(text, group)}")
    defaults = [{f"override /{group}": option} for group, option in chosen.items() if option is not None]
    return {"defaults": [*defaults, "_self_"], **values}


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"`{file}` does not exist.", hint=TAKES) from None
    except UnicodeDecodeError:
        raise ConfigError(f"`{file}` is not UTF-8 text.", hint=TAKES) from None
    except OSError as error:
        raise ConfigError(f"`{file}` cannot be read: {reason(error)}.") from None


def parse(text: str, name: str) -> dict[str, Any]:
    """The plain values of a YAML text. OmegaConf's safe loader reads 1e-3 as a number, YAML's own does not."""
    try:
        loader = get_yaml_loader()(text)
        root = loader.get_single_node()
        keep_texts(root)
        values = loader.construct_document(root) if root is not None else None
        tree = OmegaConf.to_container(OmegaConf.create(values), resolve=False)
    except yaml.MarkedYAMLError as error:
        raise bad_yaml(error, name) from None
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"{name}: {first_line(error)}.") from None
    except (AssertionError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        tree = None  # YAML that OmegaConf does not handle, such as a date or a list of itself
    if not isinstance(tree, dict) or (len(tree) == 1 and text.strip() in tree):
        raise ConfigError(f"{name} must contain sections of settings, such as `model:` with `dim: 512` below it.")
    return cast(dict[str, Any], tree)


def nested(key: str) -> str:
    section, _, name = key.partition(".")
    return f"write `{section}:` and, indented below it, `{name}: ...`"


def line_of(text: str, key: str) -> int:
    """The line, from 1, of a dotted key."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 1
    for part in key.split("."):
        pairs: Iterable[tuple[yaml.Node, yaml.Node]] = node.value if isinstance(node, yaml.MappingNode) else []
        for name, value in pairs:
            if name.value == part:
                node, line = value, name.start_mark.line + 1
    return line
