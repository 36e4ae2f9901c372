"""Models of other programs where a model folder is expected: what they are, and what makes a model folder of them."""

from pathlib import Path
from shlex import quote

from mt.checkpoint.folder import MANIFEST
from mt.errors import CheckpointError


def refuse_foreign(path: Path) -> None:
    """Raises: CheckpointError: for a package for Argos Translate, and for a folder of transformers or CTranslate2."""
    if path.is_file() and path.suffix == ".argosmodel":
        what, hint = "a package for Argos Translate", _import("argos", path)
    elif (path / MANIFEST).exists():
        return
    elif (path / "config.json").is_file() and (path / "source.spm").is_file():
        what, hint = "a folder for MarianMT in transformers", _import("hf", path)
    elif (path / "config.json").is_file() and (path / "model.bin").is_file():
        what = "a folder for CTranslate2"
        hint = "name the model that it was made of, and add `--engine ct2` to search with CTranslate2."
    else:
        return
    raise CheckpointError(f"`{path}` is {what}, not a model folder.", hint=hint)


def _import(form: str, path: Path) -> str:
    return f"`mt import {form} {quote(str(path))} NEW_FOLDER` makes one of it."
