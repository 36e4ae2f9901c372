"""What Hydra, OmegaConf and YAML refuse, said in a sentence of ours."""

import re
from collections.abc import Iterator

from hydra.errors import MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, InterpolationResolutionError, ValidationError
from yaml import MarkedYAMLError

from mt.cli.schema import opening, settings, unknown_key, wrong_value
from mt.errors import ConfigError


def in_our_words(error: BaseException) -> ConfigError:
    """The `ConfigError` that tells the user what `error` is about."""
    inside = re.match(r"In '([^']+)'", str(error))
    where = f"{inside[1]}.yaml" if inside else ""
    for cause in causes(error):
        match cause:
            case ConfigError():
                return cause
            case MarkedYAMLError():
                return bad_yaml(cause)
            case MissingConfigException():
                return no_preset(cause)
            case InterpolationResolutionError():
                return ConfigError(f"{opening(where)}`{cause.full_key}` cannot be filled in: {first_line(cause)}.")
            case ValidationError() if cause.full_key in settings():
                return wrong_value(cause.full_key, cause.value, where)
            case ConfigKeyError() | ConfigAttributeError() if str(cause.full_key).startswith("hydra"):
                return ConfigError(f"`{cause.full_key}` is not a setting of Hydra; `mt train --cfg hydra` shows them.")
            case ConfigKeyError() | ConfigAttributeError() if cause.full_key:
                return unknown_key(cause.full_key, where=where)
    return ConfigError(f"These settings cannot be put together: {first_line(error)}.")


def no_preset(error: MissingConfigException) -> ConfigError:
    """The refusal of a preset that no folder has."""
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    listed = f" Options: {', '.join(error.options)}." if error.options else ""
    return ConfigError(f"`{group}` has no option `{option}`.{listed}")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from or while handling."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def bad_yaml(error: MarkedYAMLError, file: str | None = None) -> ConfigError:
    """A file that is no YAML, with the line that shows it."""
    mark = error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}" if mark else ""
    name = file or (mark.name if mark else "a settings file")
    return ConfigError(f"{name}{line}: this is not YAML: {error.problem or error.context}.")


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
