"""The settings by dotted key: the type of each, checks of keys and values, and the errors for wrong ones."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import SequenceMatcher, get_close_matches
from enum import EnumType
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mt.config import Config
from mt.config.from_json import WORDS, check_size
from mt.errors import ConfigError, spelt

OPTIONAL = {"experiment", "debug"}  # groups of which none need be chosen
PLAIN = WORDS | {str: "text"}


@cache
def settings() -> dict[str, Any]:
    """Every dotted key with its type: {"data.corpus": str | None, ...}."""
    hints = {section: get_type_hints(kind) for section, kind in sections().items()}
    return {f"{section}.{name}": hint for section, of in hints.items() for name, hint in of.items()}


@cache
def sections() -> dict[str, Any]:
    """The sections of the tree with their dataclasses."""
    return {name: kind for name, kind in get_type_hints(Config).items() if is_dataclass(kind)}


def leaves(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a nested mapping with their values; a mapping is a value only below a section."""
    known = sections()
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if key in known and isinstance(value, Mapping):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


@cache
def _checker() -> Any:
    """A tree of settings that takes values to check them; what it holds otherwise does not matter."""
    return OmegaConf.structured(Config)


def check_value(key: str, value: Any, where: str = "") -> None:
    """Raise `ConfigError` unless `key` is a setting and `value` fits its type. `where`: the file and line, if any."""
    if key in sections():
        first = next(name for name in settings() if name.startswith(f"{key}."))
        hint = f"set one of its keys, as in `{first}=...`."
        raise ConfigError(f"{opening(where)}`{key}` is a section of settings.", hint=hint)
    if key not in settings():
        raise unknown_key(key, where=where)
    check_size(value, f"{opening(where)}`{key}`")
    try:
        # OmegaConf checks the value, so that a value accepted here is also accepted by Hydra.
        OmegaConf.update(_checker(), key, value)
    except OmegaConfBaseException:
        raise wrong_value(key, value, where) from None
    if isinstance(value, list) and any(isinstance(item, list | Mapping) for item in value):  # OmegaConf takes the text
        raise wrong_value(key, value, where)


def check_option(group: str, option: object, options: list[str], where: str = "") -> None:
    """Raise `ConfigError` unless the group has this preset; the groups in `OPTIONAL` may have none (null)."""
    listed = f"the presets are {', '.join(f'`{name}`' for name in options)}."
    if isinstance(option, list):
        raise ConfigError(f"{opening(where)}`{group}` takes one preset, but is {option}.", hint=listed)
    if option not in options and not (option is None and group in OPTIONAL):
        near = get_close_matches(spelt(option), options, n=1)
        hint = f"did you mean `{near[0]}`? {listed[0].upper()}{listed[1:]}" if near else listed
        raise ConfigError(f"{opening(where)}`{group}` has no preset `{spelt(option)}`.", hint=hint)


def unknown_key(key: str, more: Iterable[str] = (), where: str = "") -> ConfigError:
    """The error for an unknown key; `more`: names to suggest besides settings, such as groups."""
    near = suggestions(key, [*settings(), *more])
    if near:
        *first, last = [f"`{name}`" for name in near]
        hint = f"did you mean {', '.join(first)} or {last}?" if first else f"did you mean {last}?"
    else:
        hint = "`mt train --cfg job` lists all settings."
    return ConfigError(f"{opening(where)}`{key}` is not a setting.", hint=hint)


def wrong_value(key: str, value: Any, where: str = "") -> ConfigError:
    """The error for a value that does not fit the type of a setting."""
    takes, optional = unwrap(settings()[key])
    shown = spelt(value)
    section, _, own = key.partition(".")
    barred = next(f.metadata.get("not", ()) for f in fields(sections()[section]) if f.name == own)
    members = takes.__members__ if isinstance(takes, EnumType) else {}
    names = [name for name in members if members[name] not in barred]
    must = (f"one of {', '.join(names)}" if names else expectation(takes)) + (" or null" if optional else "")
    near = get_close_matches(shown.lower(), names, n=1)
    return ConfigError(
        f"{opening(where)}`{key}` must be {must}, but is {shown}.", hint=f"did you mean `{near[0]}`?" if near else ""
    )


def expectation(takes: Any) -> str:
    """A type in words; one of an enum has none."""
    if get_origin(takes) is list:
        return "a list, as in [first,second]"
    if get_origin(takes) in {Union, UnionType}:
        parts = [part for part in get_args(takes) if part is not int or float not in get_args(takes)]
        return " or ".join("auto" if part is str else expectation(part) for part in parts)
    return PLAIN[takes]


def takes_list(key: str) -> bool:
    return key in settings() and get_origin(unwrap(settings()[key])[0]) is list


def unwrap(hint: Any) -> tuple[Any, bool]:
    """The type inside `X | None`, and whether None is allowed."""
    if get_origin(hint) in {Union, UnionType}:
        parts = [part for part in get_args(hint) if part is not NoneType]
        return parts[0] if len(parts) == 1 else hint, NoneType in get_args(hint)
    return hint, False


def suggestions(key: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known keys that a mistyped key resembles, best first; none for a name that no setting could have."""
    if key.rpartition(".")[2].startswith("_"):
        return []
    scores = {name: likeness(key, name) for name in known if "." in name or "." not in key}  # a group has no dot
    best = max(scores.values(), default=0.0)
    near = [name for name, score in scores.items() if score >= max(0.7, best - 0.1)]
    return sorted(near, key=lambda name: -scores[name])[:most]


def likeness(typed: str, known: str) -> float:
    """How similar a typed key is to a known one, 0 to 1: as a whole, in its last part, or in one word of it."""
    word, last = typed.rpartition(".")[2], known.rpartition(".")[2]
    whole = SequenceMatcher(None, typed, known).ratio()
    ending = SequenceMatcher(None, word, last).ratio()
    if len(word) > 2 and (word in last or last in word):
        return max(whole, ending, 0.85 + 0.05 * ending)
    if any(len(part) > 3 and part in last for part in word.split("_")):
        return max(whole, ending, 0.7 + 0.1 * ending)
    return max(whole, ending)


def opening(where: str) -> str:
    return f"{where}: " if where else ""
