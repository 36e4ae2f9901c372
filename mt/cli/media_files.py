"""Pictures, recordings and arrays given to a verb that takes lines: what the model reads, and what to type instead."""

import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from mt.errors import DataError
from mt.text.media import ADVICE, HEAD, media_in, media_of


def check_lines_of_text(file: Path | str | None, model: Path | None) -> None:
    """Raises: DataError: for a picture, a recording or an array, with the row of a table that names it if the model
    reads such a table. Args: file: None: what a shell opened as stdin."""
    found = media_in(head_of_stdin()) if file is None else media_of(file)
    if found is None:
        return
    from mt.checkpoint.model_folder import table_columns

    inputs = table_columns(model)[0]
    shown = f"`{file or 'stdin'}` is {found.what}"
    if not inputs:
        raise DataError(f"{shown}, but the model reads text.", hint=ADVICE)
    places = [one.column for one in inputs if one.kind == found.kind]
    if not places:
        columns = ", ".join(f"{one.column} ({one.kind})" for one in inputs)
        raise DataError(f"{shown}, but the model reads rows of a table, with the columns {columns}.")
    from mt.cli.typed import in_shell

    row = {one.column: "" for one in inputs} | {places[0]: f"{file or 'FILE'}"}
    command = " ".join(["mt translate", *([in_shell(f"{model}")] if model else [])])
    raise DataError(
        f"{shown}, but the model reads a table, in which the column `{places[0]}` names such files.",
        hint=f"`echo {in_shell(json.dumps(row, ensure_ascii=False))} | {command}` translates one row.",
    )


def head_of_stdin() -> bytes:
    """The first bytes of a file as stdin, which are not taken from it; of a pipe and a terminal none."""
    with suppress(AttributeError, OSError, ValueError):  # without stdin, and on Windows
        number = sys.stdin.fileno()
        if stat.S_ISREG(os.fstat(number).st_mode):
            return os.pread(number, HEAD, 0)
    return b""
