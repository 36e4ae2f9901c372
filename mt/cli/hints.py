"""Hints of the readers of text in the words of a verb."""

import re
import shlex

from mt.errors import DataError

PAIR = re.compile(r"data\.train=\[([^],]*),([^],]*)\]")
COLUMNS = re.compile(r"'?data\.columns=\[([^]]*)\]'?")
SETTINGS = re.compile(r"`?data\.(columns|src|tgt)\b")


def without_settings(error: DataError, verb: str) -> DataError:
    """The error of a reader, whose hint names settings of `mt train`, for a verb that has options instead."""
    hint = PAIR.sub(r"\1 \2", error.hint)
    if verb == "clean":
        hint = hint.replace("`data.src`", "`--src`").replace("`data.tgt`", "`--tgt`")
        hint = COLUMNS.sub(lambda found: shlex.join(["--columns", *found[1].split(",")]), hint)
    elif SETTINGS.search(hint):
        hint = "put source and target alone, in this order, in a file of two columns."
    return DataError(error.message, hint=hint)
