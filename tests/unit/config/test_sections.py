"""Every check of the settings, with the sentence it raises."""

import json
import math
import re

import pytest

from mt.config import (
    AlignmentConfig,
    BatchConfig,
    CleanConfig,
    Config,
    DataConfig,
    DecodeConfig,
    InitConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    Positions,
    ScheduleConfig,
    TokenizerConfig,
    TrainConfig,
)
from mt.errors import ConfigError

WRONG = [
    (AlignmentConfig, {"weight": -0.1}, "`alignment.weight` must not be negative, but is -0.1."),
    (AlignmentConfig, {"layer": 0}, "`alignment.layer` must be positive or null, but is 0."),
    (AlignmentConfig, {"head": 0}, "`alignment.head` must be positive, but is 0."),
    (TrainConfig, {"minutes": 1, "epochs": 0}, "`train.epochs` must be positive, auto or null, but is 0."),
    (TrainConfig, {"epochs": "many"}, "`train.epochs` must be positive, auto or null, but is many."),
    (TrainConfig, {"steps": 1, "attention_pairs": 0}, "`train.attention_pairs` must be positive or null, but is 0."),
    (
        DataConfig,
        {"train": ["a.tsv"], "columns": ["2"]},
        "`data.columns` must name the two columns of source and target, but is ['2'].",
    ),
    (DataConfig, {"limit": 0}, "`data.limit` must be a positive number or null, but is 0."),
    (DataConfig, {"corpus": None}, "`data.train` must name files when `data.corpus` is null, but is []."),
    (DataConfig, {"workers": -1}, "`data.workers` must lie in [0, 64] or be null, but is -1."),
    (DataConfig, {"workers": 65}, "`data.workers` must lie in [0, 64] or be null, but is 65."),
    (CleanConfig, {"max_chars": 0}, "`clean.max_chars` must be positive, but is 0."),
    (CleanConfig, {"max_ratio": 0.5}, "`clean.max_ratio` must be at least 1, but is 0.5."),
    (TokenizerConfig, {"vocab_size": 7}, "`tokenizer.vocab_size` must lie in [8, 1000000] or be auto, but is 7."),
    (
        TokenizerConfig,
        {"vocab_size": 1_000_001},
        "`tokenizer.vocab_size` must lie in [8, 1000000] or be auto, but is 1000001.",
    ),
    (
        TokenizerConfig,
        {"normalization": "nfd"},
        "`tokenizer.normalization` must be one of nfc, nmt_nfkc, nmt_nfkc_cf, nfkc, nfkc_cf, identity, but is nfd.",
    ),
    *(
        (
            TokenizerConfig,
            {"tags": tags},
            "`tokenizer.tags` must be distinct marks without spaces, none of them special or a byte, but is "
            f"{tags[-1]!r}.",
        )
        for tags in ([""], ["<a", "b c"], ["<s>"], ["<0x0A>"], ["x▁"], ["<x>", "<x>"])
    ),
    (TokenizerConfig, {"character_coverage": 0.0}, "`tokenizer.character_coverage` must lie in [0.98, 1], but is 0.0."),
    (TokenizerConfig, {"sampling": 1.1}, "`tokenizer.sampling` must lie in [0, 1], but is 1.1."),
    (ModelConfig, {"dim": 0}, "`model.dim` must be positive, like `model.heads`, but is 0."),
    (ModelConfig, {"heads": 7}, "`model.dim` must be a multiple of `model.heads`, but is 256 with 7 heads."),
    (ModelConfig, {"heads": 8, "kv_heads": 3}, "`model.kv_heads` must divide `model.heads` (8), but is 3."),
    (ModelConfig, {"kv_heads": 0}, "`model.kv_heads` must divide `model.heads` (4), but is 0."),
    (
        ModelConfig,
        {"dim": 12, "positions": Positions.rotary},
        "`model.dim` must give an even size per head with rotary positions, but is 3 per head.",
    ),
    (ModelConfig, {"dim": 9, "heads": 3}, "`model.dim` must be even, but is 9."),
    (ModelConfig, {"ffn_dim": 0}, "`model.ffn_dim` must be positive, but is 0."),
    (ModelConfig, {"encoder_layers": 0}, "`model.encoder_layers` must be positive, but is 0."),
    (ModelConfig, {"decoder_layers": 0}, "`model.decoder_layers` must be positive, but is 0."),
    (ModelConfig, {"dropout": 1.0}, "`model.dropout` must lie in [0, 1), but is 1.0."),
    (ModelConfig, {"attention_dropout": -0.1}, "`model.attention_dropout` must lie in [0, 1), but is -0.1."),
    (ModelConfig, {"activation_dropout": 1.0}, "`model.activation_dropout` must lie in [0, 1), but is 1.0."),
    (ModelConfig, {"word_dropout": 1.0}, "`model.word_dropout` must lie in [0, 1), but is 1.0."),
    (DataConfig, {"augment": 1.5}, "`data.augment` must lie in [0, 1], but is 1.5."),
    (ModelConfig, {"spec_augment": 1.0}, "`model.spec_augment` must lie in [0, 1), but is 1.0."),
    (ModelConfig, {"matching": -1.0}, "`model.matching` must not be negative, but is -1.0."),
    (LossConfig, {"ctc": -0.1}, "`loss.ctc` must not be negative, but is -0.1."),
    (LossConfig, {"ctc": float("inf")}, "`loss.ctc` must be a finite number, but is inf."),
    (LossConfig, {"consistency": -1.0}, "`loss.consistency` must not be negative, but is -1.0."),
    (BatchConfig, {"accumulate": 0}, "`batch.accumulate` must be positive, but is 0."),
    (BatchConfig, {"max_length": 1}, "`batch.max_length` must be at least 2, but is 1."),
    (BatchConfig, {"tokens": 100}, "`batch.tokens` must be at least `batch.max_length` (256), but is 100."),
    (BatchConfig, {"pool": 0}, "`batch.pool` must be positive, but is 0."),
    (LossConfig, {"label_smoothing": 1.0}, "`loss.label_smoothing` must lie in [0, 1), but is 1.0."),
    (OptimConfig, {"lr": 0.0}, "`optim.lr` must be positive, but is 0.0."),
    (OptimConfig, {"lr": float("nan")}, "`optim.lr` must be positive, but is nan."),
    (OptimConfig, {"embedding_lr_ratio": 0.0}, "`optim.embedding_lr_ratio` must be positive or null, but is 0.0."),
    (OptimConfig, {"beta1": 1.0}, "`optim.beta1` must lie in [0, 1), but is 1.0."),
    (OptimConfig, {"beta2": -0.1}, "`optim.beta2` must lie in [0, 1), but is -0.1."),
    (OptimConfig, {"eps": 0.0}, "`optim.eps` must be positive, but is 0.0."),
    (OptimConfig, {"momentum": 1.0}, "`optim.momentum` must lie in [0, 1), but is 1.0."),
    (OptimConfig, {"weight_decay": -1.0}, "`optim.weight_decay` must not be negative, but is -1.0."),
    (OptimConfig, {"clip_norm": -1.0}, "`optim.clip_norm` must not be negative, but is -1.0."),
    (ScheduleConfig, {"warmup_steps": -1}, "`schedule.warmup_steps` must not be negative, but is -1."),
    (ScheduleConfig, {"decay_share": 1.5}, "`schedule.decay_share` must lie in [0, 1], but is 1.5."),
    (ScheduleConfig, {"final_ratio": -0.5}, "`schedule.final_ratio` must lie in [0, 1], but is -0.5."),
    (
        TrainConfig,
        {},
        "`train.steps` must be given, or `train.epochs`, `train.minutes` or `train.patience`, but is null.",
    ),
    *(
        (TrainConfig, {"minutes": 1, name: 0}, f"`train.{name}` must be positive or null, but is 0.")
        for name in ("steps", "minutes", "threads", "patience", "save_minutes")
    ),
    *(
        (TrainConfig, {"minutes": 1, name: 0}, f"`train.{name}` must be positive, but is 0.")
        for name in ("log_every", "validate_pairs", "average", "keep")
    ),
    *(
        (
            TrainConfig,
            {"minutes": 1, "validate_every": value},
            f"`train.validate_every` must be a positive whole number or auto, but is {shown}.",
        )
        for value, shown in ((0, 0), (-1, -1), ("often", "often"), ("", "''"))
    ),
    (InitConfig, {"path": ""}, "`init` must name a run or a model folder, but is empty."),
    (TrainConfig, {"minutes": 1, "timeout_minutes": 0.0}, "`train.timeout_minutes` must be positive, but is 0.0."),
    (TrainConfig, {"minutes": 1, "average": 4}, "`train.average` must be at most `train.keep` (3), but is 4."),
    (
        TrainConfig,
        {"minutes": 1, "precision": "int8"},
        "`train.precision` must be one of auto, fp32, bf16, fp16, but is int8.",
    ),
    (TrainConfig, {"minutes": 1, "seed": -1}, "`train.seed` must lie in [0, 2**63), but is -1."),
    (TrainConfig, {"minutes": 1, "seed": 2**63}, f"`train.seed` must lie in [0, 2**63), but is {2**63}."),
    (TrainConfig, {"minutes": 1, "threads": 1025}, "`train.threads` must be at most 1024, but is 1025."),
    (TrainConfig, {"minutes": 1, "ema": 1.0}, "`train.ema` must lie in [0, 1), but is 1.0."),
    (DecodeConfig, {"beam": 0}, "`decode.beam` must be positive, but is 0."),
    (DecodeConfig, {"max_ratio": 0.0}, "`decode.max_ratio` must be positive, but is 0.0."),
    (DecodeConfig, {"max_extra": -1}, "`decode.max_extra` must not be negative, but is -1."),
    (DecodeConfig, {"groups": 0}, "`decode.groups` must be positive, but is 0."),
    (
        DecodeConfig,
        {"beam": 4, "groups": 3},
        "`decode.groups` must be positive and divide `decode.beam` (4), but is 3. hint: take a beam that is "
        "a multiple of 3, or 1 group.",
    ),
    (DecodeConfig, {"diversity": -1.0}, "`decode.diversity` must not be negative, but is -1.0."),
    (DecodeConfig, {"length_penalty": 50.5}, "`decode.length_penalty` must be at most 50, but is 50.5."),
    (DecodeConfig, {"length_penalty": -1.0}, "`decode.length_penalty` must not be negative, but is -1.0."),
    (DecodeConfig, {"min_ratio": -1.0}, "`decode.min_ratio` must not be negative, but is -1.0."),
    (DecodeConfig, {"min_length": -1}, "`decode.min_length` must not be negative, but is -1."),
    (DecodeConfig, {"no_repeat_ngram": -1}, "`decode.no_repeat_ngram` must not be negative, but is -1."),
    (DecodeConfig, {"max_length": 0}, "`decode.max_length` must be positive or null, but is 0."),
    (DecodeConfig, {"patience": 0.0}, "`decode.patience` must be positive or null, but is 0.0."),
    (DecodeConfig, {"batch_tokens": 0}, "`decode.batch_tokens` must be positive, but is 0."),
]


@pytest.mark.parametrize(("section", "values", "says"), WRONG)
def test_a_section_refuses_values_that_cannot_be(section, values, says):
    with pytest.raises(ConfigError, match=f"^{re.escape(says)}$"):
        section(**values)


def test_endless_patience_is_the_exact_rule_in_a_way_that_json_can_say():
    assert DecodeConfig(patience=math.inf) == DecodeConfig(patience=None)


def test_the_defaults_can_be():
    Config()


def test_the_tree_becomes_plain_json():
    plain = Config().to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert type(plain["model"]["norm"]) is str


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": ["image:features"]}, "`data.train` must name tables beside `data.inputs`, but is []"),
        (
            {"inputs": ["image:features"], "train": ["a.tsv"]},
            "`data.dev` must name tables beside `data.inputs`, but is ",
        ),
        ({"inputs": ["image"]}, "`data.inputs` must be columns with their kinds, as in [image:features,caption:text]"),
        ({"inputs": [":text"]}, "`data.inputs` must be columns with their kinds, as in [image:features,caption:text]"),
        ({"inputs": ["a:text", "a:features"]}, "`data.inputs` must name each column once, but is a:features."),
    ],
)
def test_inputs_that_cannot_be_read_are_refused(settings, message):
    with pytest.raises(ConfigError) as refused:
        DataConfig(**settings)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("section", "name", "key"),
    [
        *((DataConfig, name, f"data.{name}") for name in ("train", "dev", "test", "inputs")),
        (TokenizerConfig, "tags", "tokenizer.tags"), (AlignmentConfig, "links", "alignment.links"),
    ],
)  # fmt: skip
def test_a_string_is_no_list_of_its_characters(section, name, key):
    with pytest.raises(ConfigError, match=rf'^`{key}` must be a list of strings, but is x\. hint: write `\["x"\]`\.$'):
        section(**{name: "x"})
    beside = {"train": ["x"]} if name in ("dev", "test") else {}
    assert name == "inputs" or getattr(section(**{**beside, name: ["x"]}), name) == ["x"]
