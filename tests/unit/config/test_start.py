"""What only a new run must not have."""

import pytest

from mt.config import Config, DataConfig, TokenizerConfig, check_start
from mt.errors import ConfigError

TABLES = {"train": ["a.tsv"], "dev": ["b.tsv"]}
COPIED = (
    "`data.target` must name no column of `data.inputs`, which the model would only learn to copy, but is de. "
    "hint: leave the column out of `data.inputs`."
)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (DataConfig(inputs=["a:text", "de:text"], target="de", **TABLES), COPIED),
        (DataConfig(inputs=["de:text"], tgt="de", **TABLES), COPIED),
        (
            DataConfig(train=["a.tsv"], target="caption"),
            "`data.target` must be null without `data.inputs`, because it would have no effect, but is caption. hint: "
            "set `data.target=null`; columns of text are named with `data.columns`, other inputs with `data.inputs`.",
        ),
        (
            DataConfig(inputs=["a:text"], tgt="de", augment=0.1, **TABLES),
            "`data.augment` must be 0 beside `data.inputs`, because it would have no effect, but is 0.1.",
        ),
        (
            DataConfig(train=["a.tsv"], columns=["2", "2"]),
            "`data.columns` must name the two columns of source and target, but is ['2', '2'].",
        ),
    ],
)
def test_a_setting_that_is_not_worth_training_is_refused(data, says):
    with pytest.raises(ConfigError) as refused:
        check_start(Config(data=data))
    assert str(refused.value) == says


@pytest.mark.parametrize(
    "data",
    [
        DataConfig(inputs=["a:text", "b:text"], target="de", tgt="a", **TABLES),
        DataConfig(train=["a.tsv"], columns=["1", "2"]),
        DataConfig(),
    ],
)
def test_other_settings_are_not(data):
    check_start(Config(data=data))


def test_a_tokenizer_needs_lines_to_be_trained_on():
    with pytest.raises(ConfigError, match=r"^`tokenizer\.max_sentences` must be positive, but is 0\.$"):
        check_start(Config(tokenizer=TokenizerConfig(max_sentences=0)))
