"""Sections from values that may come from anywhere: exactly right, or refused by name."""

import json
from dataclasses import asdict, fields
from enum import StrEnum

import pytest

from mt.config import (
    Config,
    DataConfig,
    DecodeConfig,
    ModelConfig,
    NormPlacement,
    Positions,
    Precision,
    TokenizerConfig,
    TrainConfig,
)
from mt.config.from_json import from_plain
from mt.errors import ConfigError, shown

CHANGED = Config(
    data=DataConfig(corpus=None, train=["a.en", "a.de"], limit=7),
    model=ModelConfig(kv_heads=2, norm=NormPlacement.post, positions=Positions.rotary, bias=False),
    tokenizer=TokenizerConfig(tags=["<2de>"], sampling=0.5),
    train=TrainConfig(epochs=2.5, precision=Precision.bf16),
)


@pytest.mark.parametrize("config", [Config(), CHANGED], ids=["default", "changed"])
@pytest.mark.parametrize("name", [field.name for field in fields(Config)])
def test_every_section_comes_back_from_json(config, name):
    section = getattr(config, name)
    values = json.loads(json.dumps(config.to_dict()[name]))
    back = from_plain(type(section), values, "f")
    assert back == section
    for field in fields(section):  # enum members are equal to their names, so equality says too little
        value = getattr(section, field.name)
        if isinstance(value, StrEnum):
            assert getattr(back, field.name) is value


def test_a_list_is_not_shared_with_the_values():
    values = asdict(CHANGED.data)
    from_plain(DataConfig, values, "f").train.append("x")
    assert values["train"] == ["a.en", "a.de"]


def test_a_whole_number_will_do_for_a_float_but_not_the_other_way():
    values = asdict(DecodeConfig())
    made = from_plain(DecodeConfig, {**values, "length_penalty": 1}, "f")
    assert type(made.length_penalty) is float


@pytest.mark.parametrize("values", [None, [], "beam: 5", 3])
def test_what_is_no_table(values):
    with pytest.raises(ConfigError) as raised:
        from_plain(DecodeConfig, values, "config.json: `decode`")
    shown = repr(values) if isinstance(values, str) else json.dumps(values)
    assert str(raised.value) == f"config.json: `decode` must be an object with settings, but is {shown}."


def test_an_unknown_setting():
    known = ", ".join(sorted(asdict(DecodeConfig())))
    with pytest.raises(ConfigError) as raised:
        from_plain(DecodeConfig, {**asdict(DecodeConfig()), "baem": 5}, "f")
    assert str(raised.value) == f"f has no setting `baem`; this version knows {known}."


def test_a_missing_setting():
    values = asdict(DecodeConfig())
    del values["max_ratio"], values["beam"]
    with pytest.raises(ConfigError) as raised:
        from_plain(DecodeConfig, values, "f")
    assert str(raised.value) == "f lacks `beam`; the file is from another version, or damaged."


def test_a_setting_that_came_later_may_be_missing():
    first = {"beam": 3, "length_penalty": 0.5, "max_ratio": 1.5, "max_extra": 4, "batch_tokens": 99}
    assert from_plain(DecodeConfig, first, "f") == DecodeConfig(
        beam=3, length_penalty=0.5, max_ratio=1.5, max_extra=4, batch_tokens=99, patience=None
    )


def test_a_missing_setting_has_the_default_of_its_time():
    """The first model folders were searched by the exact rule, which is not the default any more."""
    values = asdict(DecodeConfig())
    del values["patience"], values["groups"]
    read = from_plain(DecodeConfig, values, "f")
    assert (read.patience, read.groups, DecodeConfig().patience) == (None, 1, 1.0)


@pytest.mark.parametrize(
    ("section", "key", "value", "wanted"),
    [
        (DecodeConfig, "beam", "5", "a whole number, but is '5'"),
        (DecodeConfig, "beam", 5.0, "a whole number, but is 5.0"),
        (DecodeConfig, "beam", True, "a whole number, but is true"),
        (DecodeConfig, "beam", None, "a whole number, but is null"),
        (DecodeConfig, "length_penalty", "1", "a number, but is '1'"),
        (DecodeConfig, "length_penalty", False, "a number, but is false"),
        (ModelConfig, "bias", 1, "true or false, but is 1"),
        (ModelConfig, "norm", "Pre", "one of pre, post, but is 'Pre'"),
        (ModelConfig, "norm", 0, "one of pre, post, but is 0"),
        (ModelConfig, "norm", None, "one of pre, post, but is null"),
        (TokenizerConfig, "tags", "x", "an array of strings, but is 'x'"),
        (TokenizerConfig, "tags", [1], "an array of strings, but is [1]"),
        (TokenizerConfig, "normalization", ["nfkc"], 'a string, but is ["nfkc"]'),
        (DataConfig, "cache", "${oc.env:HOME}", None),  # text stays text
    ],
)
def test_a_value_of_another_type(section, key, value, wanted):
    values = {**asdict(section()), key: value}
    if wanted is None:
        assert getattr(from_plain(section, values, "f"), key) == value
        return
    with pytest.raises(ConfigError) as raised:
        from_plain(section, values, "f")
    assert str(raised.value) == f"f: `{key}` must be {wanted}."


@pytest.mark.parametrize(("value", "fine"), [(None, True), (2, True), ("2", False), (2.0, False), (True, False)])
def test_a_setting_that_may_be_null(value, fine):
    values = {**asdict(ModelConfig()), "kv_heads": value}
    if fine:
        assert from_plain(ModelConfig, values, "f").kv_heads == value
    else:
        with pytest.raises(ConfigError, match=r"^f: `kv_heads` must be a whole number or null, but is"):
            from_plain(ModelConfig, values, "f")


def test_a_section_checks_its_own_values():
    with pytest.raises(ConfigError, match=r"^`decode\.beam` must be positive, but is 0\.$"):
        from_plain(DecodeConfig, {**asdict(DecodeConfig()), "beam": 0}, "f")


@pytest.mark.parametrize("key", ["beam", "length_penalty", "max_length", "no_repeat_ngram"])
@pytest.mark.parametrize("value", [2**63, -(10**400)], ids=["64 bits", "no float"])
def test_a_number_beyond_64_bits_is_refused_wherever_it_stands(key, value):
    with pytest.raises(ConfigError) as raised:
        from_plain(DecodeConfig, {**asdict(DecodeConfig()), key: value}, "f")
    assert str(raised.value) == f"f: `{key}` must be a number of at most 64 bits, but is {shown(value)}."
