"""Hints of the readers of text in the words of a verb."""

import re
import shlex

from mt.errors import DataError

COLUMNS = re.compile(r"'?data\.columns=\[([^]]*)\]'?")
SIDE = re.compile(r"`data\.(src|tgt)(?:=|(?=`))([^`]*)`")
SETTINGS = re.compile(r"`?data\.(columns|src|tgt)\b")


def without_settings(error: DataError, verb: str) -> DataError:
    """The error of a reader, whose hint names settings of `mt train`, for a verb that has options instead."""
    hint = error.hint
    if verb == "clean":
        hint = SIDE.sub(lambda found: f"`--{found[1]}{' ' * bool(found[2])}{found[2]}`", hint)
        hint = COLUMNS.sub(lambda found: shlex.join(["--columns", *found[1].split(",")]), hint)
    elif SETTINGS.search(hint):
        hint = "put source and target alone, in this order, in a file of two columns."
    return DataError(error.message, hint=hint)
