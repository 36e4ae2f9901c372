"""Refusals of a fresh start, which say what is not worth training.

A run that an older version began with such settings goes on and is scored, so no section has them in its constructor.
"""

from mt.config.inputs import parse_inputs
from mt.config.sections import Config
from mt.errors import require


def check_start(config: Config) -> None:
    """Raises: ConfigError: for the first setting that a new run must not have."""
    data = config.data
    different = len(set(data.columns)) == len(data.columns)
    require(different, "data.columns", "name the two columns of source and target", data.columns)
    hint = "set `data.target=null`; columns of text are named with `data.columns`, other inputs with `data.inputs`."
    must = "be null without `data.inputs`, because it would have no effect"
    require(bool(data.inputs) or data.target is None, "data.target", must, data.target, hint=hint)
    must = "be 0 beside `data.inputs`, because it would have no effect"
    require(not (data.inputs and data.augment), "data.augment", must, data.augment)
    most = config.tokenizer.max_sentences
    require(most > 0, "tokenizer.max_sentences", "be positive", most)
    target = data.target or data.tgt
    must = "name no column of `data.inputs`, which the model would only learn to copy"
    hint = "leave the column out of `data.inputs`."
    require(target not in [one.column for one in parse_inputs(data.inputs)], "data.target", must, target, hint=hint)
