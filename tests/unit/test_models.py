"""Models that can be handed on: found by run, folder or checkpoint; refused when anything is not as it must be."""

import json
import os
from pathlib import Path

import pytest
import torch
from toy import number_tokenizer, tiny_config, tiny_model

from mt.checkpoint import Checkpoints, write_folder
from mt.config import DecodeConfig, Precision
from mt.errors import CheckpointError
from mt.models import Description, find_run, languages, newest_run, read_model


def description(**changes) -> Description:
    size = number_tokenizer().tgt_size
    values = {"src": "en", "tgt": "de", "src_size": size, "tgt_size": size, "max_length": 64,
              "precision": Precision.fp32, "model": tiny_config(), "decode": DecodeConfig(beam=2)}  # fmt: skip
    return Description(**{**values, **changes})


def weights(seed=0):
    return {name: p.detach() for name, p in tiny_model(seed).named_parameters()}


def write_model(folder: Path, **changes) -> Path:
    files = {**description(**changes).files(number_tokenizer()), "model.safetensors": weights()}
    write_folder(folder, files)
    return folder


def write_checkpoint(run: Path, step: int, score: float, ema=None) -> Path:
    return Checkpoints(run / "checkpoints", 1).save(
        step, model=weights(step), optimizer={}, state={}, score=score, ema=ema,
        files=description().files(number_tokenizer()),
    )  # fmt: skip


def spoil(folder: Path, change) -> Path:
    """A model whose `config.json` says something else, with a manifest that agrees."""
    values = json.loads((folder / "config.json").read_text())
    change(values)
    files = {name: (folder / name).read_bytes() for name in ("tokenizer.model", "model.safetensors")}
    write_folder(folder, {**files, "config.json": json.dumps(values).encode()}, replace=True)
    return folder


# ---------------------------------------------------------------- finding


def test_what_is_written_is_read(tmp_path):
    found = read_model(write_model(tmp_path / "model"))
    assert found.description == description() and found.path == tmp_path / "model"
    assert found.tokenizer.fingerprint == number_tokenizer().fingerprint
    assert all(torch.equal(found.weights()[name], tensor) for name, tensor in weights().items())


def test_a_run_gives_its_model_or_else_its_best_checkpoint(tmp_path):
    best = write_checkpoint(tmp_path / "run", 1, 5.0)
    last = write_checkpoint(tmp_path / "run", 2, 4.0)
    assert read_model(tmp_path / "run").path == best
    assert read_model(last).path == last
    write_model(tmp_path / "run" / "model")
    assert read_model(tmp_path / "run").path == tmp_path / "run" / "model"


def test_a_damaged_best_checkpoint_is_passed_over(tmp_path):
    best, other = write_checkpoint(tmp_path / "run", 1, 5.0), write_checkpoint(tmp_path / "run", 2, 4.0)
    (best / "model.safetensors").write_bytes(b"?")
    assert read_model(tmp_path / "run").path == other


def test_a_checkpoint_gives_the_running_mean_where_there_is_one(tmp_path):
    means = {name: torch.full_like(tensor, 7.0) for name, tensor in weights().items()}
    path = write_checkpoint(tmp_path / "run", 1, 5.0, ema=means)
    assert all(bool((tensor == 7).all()) for tensor in read_model(path).weights().values())


def test_without_a_path_it_is_the_run_written_to_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["new", "old"]):
        write_model(tmp_path / "runs" / name / "model")
        for path in (tmp_path / "runs" / name, tmp_path / "runs" / name / "model"):
            os.utime(path, (10**9 - age, 10**9 - age))
    (tmp_path / "runs" / "sweeps" / "2026-01-01_00-00-00").mkdir(parents=True)
    (tmp_path / "runs" / "begun" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "note.txt").write_text("no run")
    assert newest_run(Path("runs")) == Path("runs/new")
    assert read_model().path == Path("runs/new/model")
    write_checkpoint(tmp_path / "runs" / "old", 1, 0.0)
    assert newest_run(Path("runs")) == Path("runs/old")


@pytest.mark.parametrize("below", ["", "model", "checkpoints/step-00000001"])
def test_the_run_that_a_path_lies_in_is_found(tmp_path, below):
    run = tmp_path / "runs" / "x"
    (run / below).mkdir(parents=True)
    assert find_run(run / below) is None
    for name in ("manifest.json", "config.yaml"):
        (run / name).write_text("{}")
    assert find_run(run / below) == run


def test_languages_are_those_of_the_model(tmp_path):
    write_checkpoint(tmp_path / "run", 1, 0.0)
    assert languages(tmp_path / "run") == ("en", "de")
    write_model(tmp_path / "run" / "model", tgt="zh")
    assert languages(tmp_path / "run") == ("en", "zh")


# ---------------------------------------------------------------- refusals


def test_no_run_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = r"^there is no run in runs/; name a model folder, or train one with `mt train`\.$"
    with pytest.raises(CheckpointError, match=wanted):
        read_model()
    with pytest.raises(CheckpointError, match=wanted):
        find_run(None)


@pytest.mark.parametrize("find", [read_model, find_run, languages])
def test_no_such_place(tmp_path, find):
    (tmp_path / "my-run").mkdir()
    with pytest.raises(CheckpointError, match=r"/my-rnu does not exist; did you mean .*/my-run\?$"):
        find(tmp_path / "my-rnu")
    with pytest.raises(
        CheckpointError, match=r"/qq does not exist; name a model folder or a run, such as runs/my-run\.$"
    ):
        find(tmp_path / "qq")


def test_a_place_without_a_model(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match=r"holds no model: it has neither model.safetensors nor a checkpoint"):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.model"])
def test_a_file_that_is_missing_or_damaged_is_named(tmp_path, name):
    folder = write_model(tmp_path / "model")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"/model/{name}` must have SHA-256 .* content is damaged"):
        read_model(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"/model/{name}` is in the manifest of its folder, but missing"):
        read_model(folder)


HARDENING = {
    "unknown key": (lambda v: v.update(plugin="x"), "has no setting `plugin`"),
    "_target_": (lambda v: v["model"].update(_target_="os.system"), "config.json: `model` has no setting `_target_`"),
    "missing": (lambda v: v["model"].pop("dim"), "config.json: `model` lacks `dim`"),
    "interpolation": (lambda v: v["model"].update(dim="${oc.env:HOME}"),
                      r"`dim` must be int, but is '\$\{oc.env:HOME\}'"),
    "text": (lambda v: v["decode"].update(beam="5"), "config.json: `decode`: `beam` must be int, but is '5'"),
    "truth": (lambda v: v["model"].update(heads=True), "`heads` must be int, but is True"),
    "enum": (lambda v: v["model"].update(norm="sandwich"), "`norm` must be one of pre, post, but is 'sandwich'"),
    "range": (lambda v: v["model"].update(dim=-2), "config.json: `model.dim` must be"),
    "no table": (lambda v: v.update(model=[1]), r"config.json: `model` must be a table of settings, but is \[1\]"),
    "no section": (lambda v: v.pop("decode"), "`decode` must be a table of settings, but is None"),
    "schema": (lambda v: v.update(schema=9), "has schema 9, but this version of mt reads 1"),
    "length": (lambda v: v.update(max_length=1), "config.json: `max_length` must be at least 2, but is 1"),
    "size": (lambda v: v.update(src_size=0), "config.json: `src_size` must be at least 1, but is 0"),
    "vocabulary": (lambda v: v.update(src_size=10**6, tgt_size=10**6),
                   "tells of vocabularies of .* and 1,000,000 pieces, but the tokenizer"),
    "two vocabularies": (lambda v: v.update(src_size=v["tgt_size"] + 1),
                         r"`src_size` must equal `tgt_size` \(\d+\) where `model.tying` is all, but is"),
    "positions": (lambda v: v.update(max_length=5000),
                  r"`max_length` must be at most `model.max_length` \(\d+\), but is 5000"),
    "not finite": (lambda v: v["decode"].update(length_penalty=float("nan")),
                   "`decode.length_penalty` must not be negative, but is nan"),
}  # fmt: skip


@pytest.mark.parametrize("case", HARDENING)
def test_a_config_that_is_not_exactly_ours_is_refused_in_a_sentence(tmp_path, case):
    change, sentence = HARDENING[case]
    with pytest.raises(CheckpointError, match=sentence) as refused:
        read_model(spoil(write_model(tmp_path / "model"), change))
    assert str(refused.value).startswith(str(tmp_path)) and "\n" not in str(refused.value)


def test_weights_of_another_shape_do_not_load(tmp_path):
    from mt.build import load

    folder = spoil(write_model(tmp_path / "model"), lambda values: values["model"].update(ffn_dim=8))
    with pytest.raises(CheckpointError, match=r"does not fit the model: `.*` must be float32 \[.*\], but is"):
        load(folder, device="cpu")
