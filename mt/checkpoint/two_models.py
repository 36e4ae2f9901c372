"""What two models must have in common to be used together: sources of the same kind, and languages."""

import logging
from pathlib import Path

from mt.checkpoint import model_folder
from mt.config import InputKind
from mt.errors import ConfigError
from mt.text.languages import plain_code

logger = logging.getLogger("mt")


def check_direction(path: Path | None, other: Path, option: str, *, opposite: bool = False) -> None:
    """Check that the model at `other`, the value of `option`, has the direction of the one at `path`, or the opposite.

    Args: path: None: the newest run.
    Raises: ConfigError: when it has the other one; CheckpointError: as `read_model`.
    """
    src, tgt = model_folder.languages(path)
    check_languages(f"{option} {other}", model_folder.languages(other), wanted=(tgt, src) if opposite else (src, tgt))


def check_same_inputs(path: Path | None, other: Path, option: str, *, opposite: bool = False) -> None:
    """Check that the model at `other`, the value of `option`, can be given the same sources as the one at `path`; or
    where it goes the opposite way, that these are text, which it can write.

    Args: path: None: the newest run. Raises: ConfigError, CheckpointError.
    """
    path = path or model_folder.newest_run(model_folder.RUNS)
    (mine, first), (theirs, second) = (_what_is_read(model) for model in (path, other))
    if opposite and mine:
        raise ConfigError(f"{option} needs a model that reads text, but {path} reads {first}.")
    if mine != theirs:
        raise ConfigError(f"{option} {other} reads {second}, but {path} reads {first}: a source must be one for both.")


def _what_is_read(path: Path) -> tuple[list[str], str]:
    """The kinds of a model's inputs, and their columns for messages; a single text is none of them."""
    inputs = model_folder.table_columns(path)[0]
    if [one.kind for one in inputs] in ([], [InputKind.text]):
        return [], "text"
    columns = ", ".join(f"{one.column}:{one.kind}" for one in inputs)
    return [one.kind for one in inputs], f"rows of a table ({columns})"


def check_languages(model: str, found: tuple[str, str], *, wanted: tuple[str, str]) -> None:
    """Raise `ConfigError` for a model of the opposite direction. Other languages are only a warning, because a language
    may have several codes. The names that `mt.data.corpus.own` gives unknown languages are not compared."""
    if found == wanted or {"src", "tgt"} & {*found, *wanted}:
        return
    what = f"{model} translates from {found[0]} to {found[1]}"
    if found == wanted[::-1]:
        raise ConfigError(f"{what}, but a model from {wanted[0]} to {wanted[1]} is needed here.")
    if [plain_code(code) for code in found] != [plain_code(code) for code in wanted]:
        logger.warning(f"{what}, not from {wanted[0]} to {wanted[1]}.")
