"""Settings that name files of text: the checks before any work, with the line to type where two files are meant."""

from collections.abc import Sequence
from pathlib import Path

from mt.cli.schema import wrong_value
from mt.cli.typed import in_list, in_shell
from mt.config import DataConfig
from mt.data.corpus.names import bare, kind_of, language_of, without_language
from mt.data.corpus.own import check_files
from mt.errors import ConfigError, DataError

TEXT = ("data.train", "data.dev", "data.test")


def check_text_files(data: DataConfig) -> None:
    """As `check_files`; where one plain file, or what two names begin with, is named alone, the hint names both.

    Raises: DataError.
    """
    for key in TEXT:
        files = getattr(data, key.removeprefix("data."))
        if len(files) == 1 and not data.inputs and (both := sides_of(files[0])):
            problem = "has no partner" if Path(files[0]).exists() else "does not exist"
            raise DataError(f"`{files[0]}` {problem}.", hint=naming(key, both))
    check_files(data)


def check_is_list(key: str, value: str) -> None:
    """Raises: ConfigError: always, because `value` is no list; the hint has the list that is meant."""
    hint = ""
    if both := sides_of(value):
        hint = naming(key, both)
    elif Path(value).exists() and kind_of(value):
        hint = f"write `{assignment(key, [value])}`."
    error = wrong_value(key, value)
    raise ConfigError(error.message, hint=hint or error.hint)


def sides_of(name: str) -> list[str]:
    """The two plain files that are meant by one of them, or by what is before their languages; [] if it is not clear.

    `a.en` with `a.es` beside it gives `a.en`, `a.es`, and so does `a`, in alphabetical order.
    """
    path = Path(name)
    if kind_of(name) or (path.exists() and not language_of(bare(path.name))):
        return []
    like = without_language(bare(path.name) if language_of(bare(path.name)) else f"{path.name}.en")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    plain = [(str(other), bare(other.name)) for other in beside if other.is_file() and not kind_of(str(other))]
    found = [other for other, own in plain if language_of(own) and without_language(own) == like]
    if len(found) != 2 or (path.exists() and str(path) not in found):
        return []
    return sorted(found, key=lambda file: (file != str(path), file))


def naming(key: str, both: Sequence[str]) -> str:
    return f"write `{assignment(key, both)}`, source first."


def assignment(key: str, files: Sequence[str]) -> str:
    """What a user types in a shell to set a list of files."""
    return in_shell(f"{key}=[{','.join(map(in_list, files))}]")
