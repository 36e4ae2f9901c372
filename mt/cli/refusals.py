"""Errors of Hydra, OmegaConf and YAML as our own `ConfigError`, in one sentence."""

import re
from collections.abc import Iterator

from hydra.errors import MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, InterpolationResolutionError, ValidationError
from yaml import MarkedYAMLError

from mt.cli.schema import opening, settings, unknown_key, wrong_value
from mt.errors import ConfigError


def in_our_words(error: BaseException) -> ConfigError:
    """The `ConfigError` for an error of Hydra, OmegaConf or YAML, by the first known cause in its chain."""
    inside = re.match(r"In '([^']+)'", str(error))
    where = f"{inside[1]}.yaml" if inside else ""
    for cause in causes(error):
        match cause:
            case ConfigError():
                return cause
            case MarkedYAMLError():
                return bad_yaml(cause)
            case MissingConfigException():
                group, _, option = str(cause.missing_cfg_file).rpartition("/")
                listed = f"the presets are {', '.join(f'`{name}`' for name in cause.options)}." if cause.options else ""
                return ConfigError(f"`{group}` has no preset `{option}`.", hint=listed)
            case InterpolationResolutionError():
                return ConfigError(f"{opening(where)}`{cause.full_key}` cannot be resolved: {first_line(cause)}.")
            case ValidationError() if cause.full_key in settings():
                return wrong_value(cause.full_key, cause.value, where)
            case ConfigKeyError() | ConfigAttributeError() if str(cause.full_key).startswith("hydra"):
                return ConfigError(
                    f"`{cause.full_key}` is not a setting of Hydra.", hint="`mt train --cfg hydra` shows them."
                )
            case ConfigKeyError() | ConfigAttributeError() if cause.full_key:
                return unknown_key(cause.full_key, where=where)
    return ConfigError(f"these settings cannot be combined: {first_line(error)}.")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause or context, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def bad_yaml(error: MarkedYAMLError, file: str | None = None) -> ConfigError:
    """The error for a file that is not YAML, with its line."""
    mark = error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}" if mark else ""
    name = file or (mark.name if mark else "a settings file")
    return ConfigError(f"{name}{line}: this is not YAML: {error.problem or error.context}.")


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
