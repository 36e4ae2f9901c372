"""A value means what was typed: settings whose type is text take the text itself.

Hydra's grammar reads `1.10`, `1e5`, `2024_11_27` and `true` as numbers and truth values, and YAML reads `no`, `12:30`
and `2024-11-27` so. Where the schema says text, the characters are the value, here for the command line and for YAML.
"""

import os
import re
import shlex
from collections.abc import Iterator

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import OverrideParseException

from mt.cli.schema import sections, settings, takes_list, unwrap
from mt.config import Config
from mt.errors import ConfigError

FUNCTION = re.compile(r"(choice|range|interval|glob|sort|shuffle|extend_list)\(.*\)", re.DOTALL)  # of Hydra's grammar
SAFE = re.compile(r"[A-Za-z0-9_./+:@~$-]*")
QUOTES = "'\""
OPEN, CLOSE = "([{", ")]}"
VARIABLE = re.compile(r"(?<!\\)\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
YAML = "tag:yaml.org,2002:"  # before the name of a type
PATHS = ("data.train", "data.dev", "data.test", "data.root", "data.cache", "alignment.links", "run.root")


def takes_text(key: str) -> bool:
    """Whether a setting is text, or a list of texts; `init` names a model."""
    return key == "init" or takes_list(key) or (key in settings() and unwrap(settings()[key])[0] is str)


def as_typed(override: str, *, multirun: bool = False) -> str:
    """An override as Hydra must get it to understand what was typed: the same, or with its text in quotes."""
    name, equals, value = override.partition("=")
    key = name.lstrip("+")
    if not equals or not value or name.startswith("~"):
        return override
    if key in sections() and value.startswith("{") and value.endswith("}"):
        return f"{name}={_section(key, value)}"
    if not takes_text(key):
        return override
    value = plain_variables(value)
    requote = _list if takes_list(key) else _scalar
    parts = split(value)
    if (function := FUNCTION.fullmatch(value)) is not None and multirun:
        if function[1] != "choice":
            return override
        inner = split(value[len("choice(") : -1])
        return f"{name}=choice({','.join(map(requote, inner))})"
    return f"{name}={','.join(map(requote, parts))}"


def split(text: str, before_quote: str = "") -> list[str]:
    """The parts between the commas that stand in no quotes and no brackets. Quotes are such at the start of a part, of
    an item in brackets, and after a character of `before_quote`."""
    parts, depth, quote, escaped, last = [""], 0, "", False, ","
    for character in text:
        if quote:
            quote = "" if character == quote and not escaped else quote
            escaped = character == "\\" and not escaped
        elif character in QUOTES and last in {*OPEN, ",", *before_quote}:
            quote = character
        elif character in OPEN:
            depth += 1
        elif character in CLOSE and depth:
            depth -= 1
        last = last if character == " " else character
        if character == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _section(name: str, text: str) -> str:
    """`{key: value, ...}` with the values of settings that are text in quotes."""
    parts = [part.partition(":") for part in split(text[1:-1], before_quote=":")]
    return "{" + ", ".join(f"{key}:{_value(f'{name}.{key.strip()}', value)}" for key, _, value in parts) + "}"


def _value(key: str, value: str) -> str:
    stripped = value.strip()
    if not stripped or not takes_text(key):
        return value
    return f" {(_list if takes_list(key) else _scalar)(plain_variables(stripped))}"


def _list(text: str) -> str:
    if not (text.startswith("[") and text.endswith("]")):
        return text if text.startswith("[") else _scalar(text)  # refused later, unless it is an interpolation
    if not text[1:-1].strip():
        return text
    return f"[{','.join(map(_item, split(text[1:-1])))}]"


def _item(text: str) -> str:
    stripped = text.strip()
    return text if _is_safe(stripped) or _in_quotes(stripped) else quoted(stripped)


def _scalar(text: str) -> str:
    other = text == "null" or isinstance(_as_hydra_reads(text), list | dict)  # which is refused later
    return text if other or _is_safe(text) or _in_quotes(text) else quoted(text)


def quoted(text: str) -> str:
    """As Hydra's grammar quotes it: a backslash is doubled only before a quote or at the end."""
    escaped = re.sub(r"(\\*)(')", lambda found: 2 * found[1] + "\\'", text)
    return "'" + re.sub(r"(\\+)$", lambda found: 2 * found[1], escaped) + "'"


def unquoted(text: str) -> str:
    """What `quoted` was given; other text as it is."""
    if len(text) < 2 or not (text[0] == text[-1] == "'"):
        return text
    return re.sub(r"(\\*)('|$)", lambda found: found[1][: len(found[1]) // 2] + found[2], text[1:-1])


def in_list(text: str) -> str:
    """As an item of a list is typed: in quotes where it needs some, in double ones if it can, for the shell's sake."""
    if "${" in text:
        return quoted(text.replace("${", "\\${"))  # no interpolation
    if text == text.strip() and not set(text) & {*QUOTES, *OPEN, *CLOSE, ","}:
        return text
    return quoted(text) if set(text) & {'"', "\\"} else f'"{text}"'


def in_shell(text: str) -> str:
    """As a word is typed in a shell: in quotes, and bytes that cannot be shown as `$'...'` has them."""
    if not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        return shlex.quote(text)
    raw = text.encode(errors="surrogateescape")
    escaped = [f"\\x{byte:02x}" if not 31 < byte < 127 or byte in b"'\\" else chr(byte) for byte in raw]
    return f"$'{''.join(escaped)}'"


def _is_safe(text: str) -> bool:
    """Whether Hydra reads the text as it is, alone, in lists and in sweeps; interpolations are left to it."""
    return "${" in text or (SAFE.fullmatch(text) is not None and _as_hydra_reads(text) == text)


def _in_quotes(text: str) -> bool:
    return isinstance(_as_hydra_reads(text, whole=True), QuotedString)


def _as_hydra_reads(text: str, *, whole: bool = False) -> object:
    try:
        override = OverridesParser.create().parse_overrides([f"key={text}"])[0]
    except OverrideParseException:
        return None
    return override._value if whole else override.value()


def plain_variables(text: str) -> str:
    """`${HOME}` as `$HOME`: with braces, a name without a dot would be looked up among the settings."""
    return VARIABLE.sub(lambda found: f"${found[1]}" if (found[1] or "") in os.environ else found[0], text)


# ---------------------------------------------------------------- YAML


def keep_texts(tree: yaml.Node) -> None:
    """Mark the scalars of settings that are text as such, whatever YAML would make of them; null stays null."""
    for key, node in _leaves(tree):
        nodes = node.value if isinstance(node, yaml.SequenceNode) and takes_list(key) else [node]
        for scalar in filter(lambda one: isinstance(one, yaml.ScalarNode), nodes if takes_text(key) else []):
            if scalar.tag != YAML + "null" or scalar is not node:
                scalar.tag = YAML + "str"
                scalar.value = plain_variables(scalar.value)


def _leaves(tree: yaml.Node, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, yaml.Node]]:
    for name, value in tree.value if isinstance(tree, yaml.MappingNode) else []:
        key = f"{prefix}{name.value}"
        if name.tag == YAML + "merge":  # `<<: *other`
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _leaves(part, prefix, depth)
        elif isinstance(value, yaml.MappingNode) and not depth:
            yield from _leaves(value, f"{key}.", 1)
        else:
            yield key, value


# ---------------------------------------------------------------- paths


def fill_in_paths(config: Config) -> None:
    """Replace `~` and environment variables in the settings that name files and folders.

    Raises: ConfigError: for a variable that is not set, unless a file has that very name; for a folder to write to
    whose name is not UTF-8.
    """
    for key in PATHS:
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        paths = [filled(key, path) for path in value] if isinstance(value, list) else filled(key, value)
        setattr(getattr(config, section), name, paths)
        if isinstance(paths, str) and any("\udc80" <= character <= "\udcff" for character in paths):
            raise ConfigError(f"`{key}` must be a name in UTF-8, because libraries that write there need one: {paths}")


def filled(key: str, path: str) -> str:
    if os.path.exists(path):  # noqa: PTH110 (pathlib raises for a name that no file can have)
        return path
    if missing := [a or b for a, b in VARIABLE.findall(path) if (a or b) not in os.environ]:
        raise ConfigError(f"`{key}` names {path}, but the environment variable {missing[0]} is not set.")
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 (pathlib would also take `./` away)
