"""Sections of settings from untrusted JSON values.

Nothing is interpolated, converted or imported: a value that does not have the type of its setting is an error.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from mt.errors import SHOWN, ConfigError, shown

Section = TypeVar("Section")
WORDS: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a string", type(None): "null",
}  # fmt: skip


def from_plain(section: type[Section], values: object, where: str) -> Section:
    """A section from the plain JSON values of an untrusted file.

    A key that is newer than the file format (`mt.config.LATER`) may be missing. It then has its default or, if the
    default has changed since, the value `before` of its metadata.

    Raises: ConfigError: on an unknown or missing key, or a value of another type; names `where` and the key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be an object with settings, but is {shown(values)}.")
    types = get_type_hints(section)
    known = fields(section)  # pyright: ignore[reportArgumentType]
    names = {f.name for f in known}
    for key in values:
        if key not in names:
            name = key if isinstance(key, str) and key.isprintable() and len(key) <= SHOWN else shown(key)
            raise ConfigError(f"{where} has no setting `{name}`; this version knows {', '.join(sorted(names))}.")
    absent = [f for f in known if f.name not in values]
    missing = sorted(f.name for f in absent if not f.metadata.get("later"))
    if missing:
        raise ConfigError(f"{where} lacks `{missing[0]}`; the file is from another version, or damaged.")
    before = {f.name: f.metadata["before"] for f in absent if "before" in f.metadata}
    barred = {f.name: f.metadata.get("not", ()) for f in known}
    given = {key: _plain(types[key], value, f"{where}: `{key}`", barred[key]) for key, value in values.items()}
    return section(**before, **given)


def typed(config: Any) -> Any:
    """The same sections, each value of its setting's type: Python's constructors take what they are given. A path
    becomes a string.

    Raises: ConfigError: for a section that is none, or a value of another type.
    """
    sections = {}
    for name, kind in get_type_hints(type(config)).items():
        section = getattr(config, name)
        if not isinstance(section, kind):
            made = f"{name}={kind.__name__}(...)"
            raise ConfigError(f"`{name}` must be a {kind.__name__}, but is {shown(section)}.", hint=f"write `{made}`.")
        values = {f.name: getattr(section, f.name) for f in fields(kind)}
        sections[name] = from_plain(kind, {key: _fspath(value) for key, value in values.items()}, f"`{name}`")
    return type(config)(**sections)


def _fspath(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_fspath(part) for part in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_size(value: object, where: str) -> None:
    """Raises: ConfigError: for a whole number beyond 64 bits, which Python holds, but no float and no tensor."""
    if isinstance(value, int) and abs(value) >= 1 << 63:
        raise ConfigError(f"{where} must be a number of at most 64 bits, but is {shown(value)}.")


def _plain(kind: Any, value: object, where: str, barred: Collection[StrEnum] = ()) -> object:
    """`value` if it has the type `kind`; a string becomes an enum member, of those that are not `barred`."""
    check_size(value, where)
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):  # JSON can spell it, UTF-8 cannot
        raise ConfigError(f"{where} must be text, but {shown(value)} contains half of a surrogate pair.")
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    for option in options:
        if option is type(None) and value is None:
            return None
        if get_origin(option) is list and isinstance(value, list):
            (part,) = get_args(option)
            if isinstance(part, type) and is_dataclass(part):
                return [from_plain(part, v, f"{where}, {number}") for number, v in enumerate(value, 1)]
            if all(isinstance(v, str) for v in value):
                return list(value)
        if isinstance(option, type) and issubclass(option, StrEnum):
            if isinstance(value, str) and value in [member.value for member in option if member not in barred]:
                return option(value)
        elif option is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        elif isinstance(option, type) and type(value) is option:
            return value
    wanted = " or ".join(
        f"one of {', '.join(one for one in o if one not in barred)}" if isinstance(o, type) and issubclass(o, StrEnum)
        else WORDS.get(o) or ("an array of strings" if get_args(o) == (str,) else "an array of objects")
        for o in options
    )  # fmt: skip
    raise ConfigError(f"{where} must be {wanted}, but is {shown(value)}.")
