"""The model that a run goes on from: its settings, its ancestry, and what is refused."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_config, tiny_model

from mt.build import prepare_data
from mt.checkpoint import Checkpoints
from mt.checkpoint.folder import write_folder
from mt.checkpoint.model_folder import WEIGHTS, Description, read_model
from mt.cli.run_name import model_name
from mt.config import (
    BatchConfig,
    Config,
    DataConfig,
    DecodeConfig,
    InitConfig,
    Positions,
    Precision,
    SourceKind,
    TokenizerConfig,
    TokenizerKind,
    TrainConfig,
)
from mt.errors import CheckpointError, ConfigError, DataError
from mt.nn.encoders import frame_model
from mt.text.sentences import Usual
from mt.text.tokenizer_training import train_tokenizer
from mt.train.ancestry import OLDEST, Ancestor, ancestors, ancestry_of, lineage, plain_ancestry
from mt.train.before import Before
from mt.train.evaluation_set import test_of_run as own_test_of_run
from mt.train.origin import check_shape, read_origin, starting_settings, tokenizer_settings
from mt.train.run_folder import RunFolder
from mt.train.validate import with_numbers


def description(**changed) -> Description:
    size = number_tokenizer().tgt_size
    plain = {
        "src": "en", "tgt": "de", "src_size": size, "tgt_size": size, "max_length": 32, "precision": Precision.fp32,
        "model": tiny_config(), "decode": DecodeConfig(beam=3), "usual_length": 9, "usual_sentences": 2,
    }  # fmt: skip
    return Description(**{**plain, **changed})


def write_model(folder, *, seed=0, meta=None, told=None, model=None):
    weights = {name: p.detach() for name, p in (model or tiny_model(seed)).named_parameters()}
    files = {**(told or description()).files(number_tokenizer()), WEIGHTS: weights}
    write_folder(folder, files, meta=meta or {"step": 3}, replace=True)
    return str(folder)


def config_of(path: str, **sections) -> Config:
    start = starting_settings(path)["tokenizer"]
    section = replace(Config().tokenizer, **{name: start[name] for name in ("vocab_size", "joint", "tags")})
    made = {"tokenizer": section, "model": tiny_config(), "train": TrainConfig(steps=1), "init": InitConfig(path=path)}
    return Config(**{**made, **sections})


# ---- settings


def test_the_model_gives_its_settings_and_a_cautious_training(tmp_path):
    found = starting_settings(write_model(tmp_path / "m"))
    told = description()
    assert found["model"] == asdict(told.model)
    assert found["decode"]["beam"] == 3
    assert found["tokenizer"]["vocab_size"] == told.tgt_size
    assert (found["tokenizer"]["kind"], found["tokenizer"]["joint"]) == ("unigram", True)
    assert found["batch"] == {"max_length": 32, "tokens": 2048}
    assert found["optim"] == {"name": "adamw", "lr": 0.004}  # 0.06 / 16, rounded to one digit
    assert found["schedule"] == {"warmup_steps": 20}
    assert found["train"] == {"epochs": "auto", "validate_every": "auto", "patience": 3, "watch": "loss"}


def test_a_long_context_raises_the_batch(tmp_path):
    told = description(max_length=5000, model=tiny_config(positions=Positions.rotary))
    model = tiny_model(positions=Positions.rotary)
    found = starting_settings(write_model(tmp_path / "m", told=told, model=model))
    assert found["batch"] == {"max_length": 5000, "tokens": 5000}


def test_the_kind_of_a_tokenizer_is_read_from_its_scores(tmp_path):
    pairs = number_pairs(100)
    sides = [p.src for p in pairs], [p.tgt for p in pairs]
    for kind in TokenizerKind:
        section = TokenizerConfig(kind=kind, vocab_size=60, byte_fallback=False)
        assert train_tokenizer(*sides, section, tmp_path).kind is kind


@pytest.mark.parametrize("name", ["dropout", "word_dropout", "activation_dropout", "attention_dropout", "matching"])
def test_what_no_shape_depends_on_is_free(name):
    check_shape("m", tiny_config(**{name: 0.4}), tiny_config())


def test_the_positions_of_a_learned_table_are_a_shape_and_those_of_a_computed_one_are_not():
    check_shape("m", tiny_config(max_length=99), tiny_config())
    learned = {"positions": Positions.learned}
    with pytest.raises(ConfigError, match=r"^`model\.max_length` is 99, but `init=m` keeps the shape of its model, in"):
        check_shape("m", tiny_config(max_length=99, **learned), tiny_config(**learned))


def test_a_model_of_text_has_no_inputs(tmp_path):
    path = write_model(tmp_path / "m")
    origin = read_origin(config_of(path))
    assert origin is not None and origin.inputs(DataConfig()) == []
    with pytest.raises(
        ConfigError,
        match=r"^`data\.inputs` says a:text, but the model of `init=.*m` reads text alone\. hint: leave out",
    ):
        origin.fitted(config_of(path, data=DataConfig(inputs=["a:text"], target="b", train=["t.tsv"], dev=["d.tsv"])))


def test_a_setting_that_is_null_is_written_so():
    with pytest.raises(ConfigError, match=r"^`model\.kv_heads` is 1, but .* in which it is null\. hint: leave"):
        check_shape("m", tiny_config(kv_heads=1), tiny_config())


def test_validations_are_an_epoch_apart_within_bounds(tmp_path):
    files, dev = ([str(tmp_path / f"{name}.{side}") for side in ("en", "de")] for name in ("a", "d"))
    for number, file in enumerate((*files, *dev)):
        Path(file).write_text("one two\n" * 300 if number < 2 else "two one\n", "utf-8")
    origin = read_origin(config_of(write_model(tmp_path / "m")))
    assert origin is not None
    data = DataConfig(train=files, dev=dev, cache=str(tmp_path / "cache"))
    prepared = prepare_data(config_of(origin.path, data=data), origin)
    assert prepared.tokenizer.fingerprint == number_tokenizer().fingerprint
    assert prepared.usual == Usual(9, 2, 1.0, marked=False)  # its own lines are shorter
    section, rows = TrainConfig(steps=1, validate_every="auto"), prepared.train.num_source_rows
    for updates, expected in ((2, 5), (rows // 40, rows // 40)):
        batch = BatchConfig(tokens=rows // updates, max_length=2)
        assert with_numbers(section, batch, prepared.train).interval == expected
    assert with_numbers(section, BatchConfig(tokens=2, max_length=2, accumulate=1), prepared.train).interval == min(
        800, rows // 2
    )
    assert with_numbers(TrainConfig(steps=1, validate_every=7), BatchConfig(), prepared.train).interval == 7
    for epochs, updates, expected in (
        ("auto", 0.1, 200),
        ("auto", 4, 50),
        ("auto", 40, 20),
        (3, 0.1, 3),
        (None, 1, 0),
    ):
        batch = BatchConfig(tokens=round(rows / updates), max_length=2, accumulate=1)
        found = with_numbers(TrainConfig(steps=1, epochs=epochs), batch, prepared.train).most_epochs
        assert (found or 0) == pytest.approx(expected, abs=1)


# ---- what is refused


def test_a_model_of_frames_is_refused(tmp_path):
    told = description(source=SourceKind.frames, src_size=4, model=tiny_config(tying="decoder"))
    torch.manual_seed(0)
    path = write_model(tmp_path / "m", told=told, model=frame_model(told.model, frame_size=4, tgt_size=told.tgt_size))
    with pytest.raises(ConfigError, match=r"m` is a model of frames that a program gave it, but training .* only\.$"):
        read_origin(config_of(path))


def test_a_begun_run_without_ancestry_is_damaged_or_another(tmp_path):
    run, path = RunFolder(tmp_path / "run"), write_model(tmp_path / "m")
    weights = {name: p.detach() for name, p in tiny_model().named_parameters()}
    files = description().files(number_tokenizer())
    Checkpoints(run.checkpoints, 1, files).save(0, model=weights, optimizer={}, state={})
    run.manifest.write_text('{"ancestry": []}', "utf-8")
    with pytest.raises(
        CheckpointError, match=r"manifest\.json` must have the `ancestry` of the model, but does not\.$"
    ):
        read_origin(config_of(path), run)
    run.manifest.write_text("{}", "utf-8")
    told = r"^the run `\S+/run` was started without `init`, and cannot begin anew from \S+/m\. hint: begin"
    with pytest.raises(ConfigError, match=told):
        read_origin(config_of(path), run)


def test_a_model_that_was_trained_again_meanwhile_is_not_the_origin_any_more(tmp_path):
    origin = read_origin(config_of(write_model(tmp_path / "m")))
    assert origin is not None
    origin.load(tiny_model(1))
    write_model(tmp_path / "m", seed=5)
    with pytest.raises(CheckpointError, match=r"m has other weights now than when this run went on from it\.$"):
        origin.read()


def test_the_weights_are_those_of_the_folder(tmp_path):
    origin = read_origin(config_of(write_model(tmp_path / "m", seed=4)))
    assert origin is not None
    model = tiny_model(1)
    origin.load(model)
    for one, other in zip(model.parameters(), tiny_model(4).parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_init_no_origin():
    assert read_origin(Config()) is None


# ---- ancestry


def test_a_folder_tells_its_ancestry(tmp_path):
    older = Ancestor(name="older", src="en", tgt="de", weights="ab" * 32)
    facts = {"name": "x", "data": {"name": "news", "licence": "CC0", "train": 7, "fingerprint": "f"}}
    meta = {"step": 3, **lineage({**facts, "ancestry": plain_ancestry([older])})}
    write_model(tmp_path / "m", meta=meta)
    origin = read_origin(config_of(str(tmp_path / "m")))
    assert origin is not None
    first, second = origin.ancestry
    assert (first.name, first.data, first.pairs, first.licence, first.step) == ("x", "news", 7, "CC0", 3)
    assert second == older
    assert str(second) == "older (en to de; text not known; weights abababababab)"


def test_a_folder_without_a_history_has_its_own_name(tmp_path):
    origin = read_origin(config_of(write_model(tmp_path / "m")))
    assert origin is not None
    [only] = origin.ancestry
    assert (only.name, only.data, only.pairs) == ("m", None, None)


@pytest.mark.parametrize("meta", [{"name": 5}, {"name": "a\nb"}, {"data": {"train": "7"}}, {"data": {"name": ["x"]}}])
def test_a_folder_with_a_wrong_history_has_its_own_name(meta, tmp_path):
    write_model(tmp_path / "m", meta={"step": 3, **meta})
    [only] = ancestry_of(read_model(tmp_path / "m"))
    assert (only.name, only.data, only.pairs) == ("m", None, None)


GOOD = {"name": "a", "src": "en", "tgt": "de", "weights": "00", "step": 1, "data": "d", "pairs": 2, "licence": None}


@pytest.mark.parametrize(
    "wrong",
    [
        7, {}, {**GOOD, "name": None}, {**GOOD, "pairs": "2"}, {**GOOD, "pairs": True}, {**GOOD, "weights": 5},
        {**GOOD, "name": "a\x1b[2J"}, {**GOOD, "src": ["en"]},
    ],
)  # fmt: skip
def test_an_ancestry_ends_before_what_is_none(wrong):
    assert [one.name for one in ancestors([GOOD, {**GOOD, "newer": 1}, wrong, GOOD])] == ["a", "a"]
    assert ancestors("x") == []
    assert ancestors(json.loads(json.dumps(plain_ancestry(ancestors([GOOD]))))) == ancestors([GOOD])


def test_an_ancestry_does_not_grow_without_end(tmp_path):
    write_model(tmp_path / "m", meta={"step": 3, "ancestry": [GOOD] * 200})
    assert len(ancestry_of(read_model(tmp_path / "m"))) == OLDEST


# ---- test sets


def test_the_test_set_of_a_run_is_read_without_its_other_text(tmp_path):
    (tmp_path / "t.en").write_text("one\n\n", "utf-8")
    (tmp_path / "t.de").write_text("eins\nzwei\n", "utf-8")
    test = [str(tmp_path / f"t.{side}") for side in ("en", "de")]

    def saved(**data):
        (tmp_path / "config.yaml").write_text(json.dumps({"data": asdict(DataConfig(**data))}), "utf-8")

    saved(train=["gone.en", "gone.de"], test=test)
    assert [(pair.src, pair.tgt) for pair in own_test_of_run(tmp_path)] == [("one", "eins")]
    saved(train=["gone.en", "gone.de"])
    assert own_test_of_run(tmp_path) == []
    saved(train=["gone.en", "gone.de"], test=["gone.en", "gone.de"])
    with pytest.raises(DataError, match=r"gone\.en"):
        own_test_of_run(tmp_path)
    saved(corpus="multi30k_hub")
    said = r"^the test set of multi30k_hub is on the Hugging Face Hub, .* here\. hint: `mt evaluate` downloads it\.$"
    with pytest.raises(DataError, match=said):
        own_test_of_run(tmp_path)
    saved(corpus="tatoeba_en_es", root=str(tmp_path / "nothing"))
    with pytest.raises(DataError, match=r"must contain test\.tsv"):
        own_test_of_run(tmp_path)


def test_an_unreadable_old_test_set_is_told(tmp_path, caplog):
    (tmp_path / "manifest.json").write_text("{}", "utf-8")
    data = asdict(DataConfig(train=["gone.en", "gone.de"], test=["gone.en", "gone.de"]))
    values = {"data": data, "tokenizer": asdict(Config().tokenizer)}
    (tmp_path / "config.yaml").write_text(json.dumps(values), "utf-8")
    path = write_model(tmp_path / "model")
    config = config_of(path, tokenizer=tokenizer_settings(read_model(Path(path))))
    origin = read_origin(config)
    assert origin is not None
    assert Before(origin, DecodeConfig(), Precision.fp32)._own_test([]) == []
    assert "cannot be read, so what was lost is not measured: " in caplog.text


@pytest.mark.parametrize(
    "path", ["runs/x", "runs/x/model", "runs/x/checkpoints/step-00000012", "runs/x/checkpoints/best"]
)
def test_a_run_is_named_after_the_run_it_goes_on_from(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_name(Path(path)) == "x"


def test_sampling_is_free(tmp_path):
    path = write_model(tmp_path / "m")
    plain = config_of(path)
    origin = read_origin(replace(plain, tokenizer=replace(plain.tokenizer, sampling=0.1)))
    assert origin is not None
    assert origin.tokenizer.sampling == 0.1
    files = {"train": ["a.en", "a.de"]}
    fitted = origin.fitted(replace(plain, data=DataConfig(**files)))
    assert (fitted.data.src, fitted.data.tgt) == ("en", "de")
