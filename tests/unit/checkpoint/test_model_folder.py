"""Models that can be handed on: found by run, folder or checkpoint; refused when anything is not as it must be."""

import json
import os
import pickle  # to make what must be refused unread
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from toy import number_tokenizer, tiny_config, tiny_model

from mt.checkpoint import Checkpoints, model_folder, verify_folder, write_folder
from mt.checkpoint.model_folder import (
    Description,
    find_model,
    find_run,
    languages,
    newest_run,
    read_model,
)
from mt.checkpoint.two_models import check_direction, check_same_inputs
from mt.config import DecodeConfig, Positions, Precision, Tying
from mt.config.inputs import parse_inputs
from mt.errors import CheckpointError, ConfigError
from mt.nn.encoders import text_model
from mt.text.sentences import Usual


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
    checkpoints = Checkpoints(run / "checkpoints", 1, description().files(number_tokenizer()))
    return checkpoints.save(step, model=weights(step), optimizer={}, state={}, score=score, ema=ema)


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
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in weights().items())


def test_what_the_model_is_used_to_is_read_and_need_not_be_told(tmp_path):
    usual = {"usual_length": 9, "usual_sentences": 3, "usual_ratio": 1.5, "usual_marked": False}
    assert read_model(write_model(tmp_path / "new", **usual)).description.usual == Usual(9, 3, 1.5, marked=False)
    old = spoil(write_model(tmp_path / "old"), lambda v: [v.pop(name) for name in usual])
    assert read_model(old).description.usual == Usual(64, 1)  # all that it can read, if it is one sentence
    assert description(usual_length=65).usual.pieces == 64


def test_a_run_gives_its_model_or_else_its_best_checkpoint(tmp_path):
    best = write_checkpoint(tmp_path / "run", 1, 5.0)
    last = write_checkpoint(tmp_path / "run", 2, 4.0)
    assert read_model(tmp_path / "run").path == best
    assert read_model(last).path == last
    for name, path in (("best", best), ("latest", last)):
        assert read_model(tmp_path / "run" / "checkpoints" / name).path == path
    write_model(tmp_path / "run" / "model")
    assert read_model(tmp_path / "run").path == tmp_path / "run" / "model"


def test_a_damaged_best_checkpoint_is_passed_over(tmp_path):
    best, other = write_checkpoint(tmp_path / "run", 1, 5.0), write_checkpoint(tmp_path / "run", 2, 4.0)
    (best / "model.safetensors").write_bytes(b"?")
    assert read_model(tmp_path / "run").path == other


def test_a_checkpoint_gives_the_running_mean_where_there_is_one(tmp_path):
    means = {name: torch.full_like(tensor, 7.0) for name, tensor in weights().items()}
    path = write_checkpoint(tmp_path / "run", 1, 5.0, ema=means)
    assert all(bool((tensor == 7).all()) for tensor in read_model(path).tensors.values())


def test_without_a_path_it_is_the_run_written_to_last(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="mt")
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
    write_checkpoint(tmp_path / "runs" / "begun", 1, 0.0)
    os.utime(tmp_path / "runs" / "begun", (10**10, 10**10))
    assert read_model().path == Path("runs/begun/checkpoints/step-00000001")
    assert caplog.messages == [
        "using the newest run, runs/new",
        "using the newest run, runs/begun, which is not finished, with its best checkpoint so far",
    ]


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.txt", "NOTICE", "notes.md", ".DS_Store"])
def test_a_licence_and_notes_may_stand_beside_a_model(tmp_path, name):
    folder = write_model(tmp_path / "model")
    (folder / name).touch()
    assert read_model(folder).path == folder


def test_of_two_runs_that_changed_in_one_moment_the_last_by_name_is_newest(tmp_path):
    for name in ("b", "c", "a"):
        write_model(tmp_path / name / "model")
        for path in (tmp_path / name, tmp_path / name / "model"):
            os.utime(path, (10**9, 10**9))
    assert newest_run(tmp_path) == tmp_path / "c"


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
    wanted = r"^there is no run in `runs`\. hint: name a model folder, or train one with `mt train`\.$"
    with pytest.raises(CheckpointError, match=wanted):
        read_model()
    with pytest.raises(CheckpointError, match=wanted):
        find_run(None)


@pytest.mark.parametrize("find", [read_model, find_run, languages])
def test_no_such_place(tmp_path, monkeypatch, find):
    monkeypatch.chdir(tmp_path)  # whatever runs there are where the tests are started
    (tmp_path / "my-run").mkdir()
    with pytest.raises(CheckpointError, match=r"/my-rnu` does not exist. hint: did you mean .*/my-run`\?$"):
        find(tmp_path / "my-rnu")
    with pytest.raises(
        CheckpointError, match=r"/qq` does not exist. hint: name a model folder, or train a model with `mt train`\.$"
    ):
        find(tmp_path / "qq")
    (tmp_path / "runs").mkdir()
    with pytest.raises(CheckpointError, match=r"/qq` does not exist. hint: `mt runs` lists the runs\.$"):
        find(tmp_path / "qq")
    (tmp_path / "best-run").symlink_to("moved/away")
    with pytest.raises(CheckpointError, match=r"/best-run` is a link to `moved/away`, which does not exist\.$"):
        find(tmp_path / "best-run")


def test_a_place_without_a_model(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match=r"contains no model: it has neither model.safetensors nor a checkpoint"):
        read_model(tmp_path)


def test_a_place_within_a_model_or_a_run_is_told_of_it(tmp_path):
    folder = write_model(tmp_path / "model")
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "step-00000001").mkdir(parents=True)
    for place in (folder / "model.safetensors", folder / "config.json", checkpoints):
        with pytest.raises(CheckpointError) as refused:
            read_model(place)
        assert refused.value.hint == f"did you mean `{place.parent}`?"


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
                      r"`dim` must be a whole number, but is '\$\{oc.env:HOME\}'"),
    "text": (lambda v: v["decode"].update(beam="5"),
             "config.json: `decode`: `beam` must be a whole number, but is '5'"),
    "truth": (lambda v: v["model"].update(heads=True), "`heads` must be a whole number, but is true"),
    "enum": (lambda v: v["model"].update(norm="sandwich"), "`norm` must be one of pre, post, but is 'sandwich'"),
    "range": (lambda v: v["model"].update(dim=-2), "config.json: `model.dim` must be"),
    "no table": (lambda v: v.update(model=[1]), r"config.json: `model` must be an object with settings, but is \[1\]"),
    "no section": (lambda v: v.pop("decode"), "`decode` must be an object with settings, but is null"),
    "schema": (lambda v: v.update(schema=9), "has schema 9, but this version of mt reads 1. hint: update mt"),
    "length": (lambda v: v.update(max_length=1), "config.json: `max_length` must be at least 2, but is 1"),
    "size": (lambda v: v.update(src_size=0), "config.json: `src_size` must be at least 1, but is 0"),
    "usual length": (lambda v: v.update(usual_length=0), "`usual_length` must be at least 1 or null, but is 0"),
    "usual sentences": (lambda v: v.update(usual_sentences=0), "`usual_sentences` must be at least 1, but is 0"),
    "usual ratio": (lambda v: v.update(usual_ratio=0.0), "`usual_ratio` must be positive and finite or null, but is 0"),
    "vocabulary": (lambda v: v.update(src_size=10**6, tgt_size=10**6),
                   "gives vocabularies of .* and 1,000,000 pieces, but the tokenizer"),
    "two vocabularies": (lambda v: v.update(src_size=v["tgt_size"] + 1),
                         r"`src_size` must equal `tgt_size` \(\d+\) where `model.tying` is all, but is"),
    "positions": (lambda v: v.update(max_length=5000),
                  r"`max_length` must be at most `model.max_length` \(\d+\), but is 5000"),
    "half a character": (lambda v: v.update(src="\ud800"), r"`src` must be text, but '\\ud800' contains half"),
    "a terminal's commands": (lambda v: v.update(tgt="\x1b[2J"), "`tgt` must be 1 to 80 printable characters, but"),
    "a long name": (lambda v: v.update(src="x" * 81), r"`src` must be 1 to 80 printable characters, but is '"),
    "an endless value": (lambda v: v["model"].update(dim="9" * 10**5),
                         r"`dim` must be a whole number, but is '9{78}…\.$"),
    "an endless key": (lambda v: v.update({"k" * 10**5: 1}), "has no setting `'k{78}…`; this version knows"),
    "wide": (lambda v: v["model"].update(dim=1 << 40, heads=1), "`model.dim` must be at most 16,384, but is 10995"),
    "wide inside": (lambda v: v["model"].update(ffn_dim=1 << 40), "`model.ffn_dim` must be at most 131,072, but is"),
    "deep": (lambda v: v["model"].update(encoder_layers=10**9), "`model.encoder_layers` must be at most 128, but is"),
    "deep the other side": (lambda v: v["model"].update(decoder_layers=129), "`model.decoder_layers` must be at most"),
    "many pieces": (lambda v: v.update(src_size=10**12, tgt_size=10**12), "`src_size` must be at most 1,000,000, but"),
    "long": (lambda v: v.update(max_length=10**9), "`max_length` must be at most 65,536, but is 1000000000"),
    "many positions": (lambda v: v["model"].update(max_length=10**9), "`model.max_length` must be at most 65,536,"),
    "a large table": (lambda v: v["model"].update(max_length=1 << 16, dim=1 << 10),
                      "`model.max_length` must be at most 16,777,216 / `model.dim`, but is 65536"),
    "a wide beam": (lambda v: v["decode"].update(beam=10**9), "`decode.beam` must be at most 1,000, but is"),
    "long outputs": (lambda v: v["decode"].update(max_ratio=1e9), "`decode.max_ratio` must be at most 100, but is"),
    "many at once": (lambda v: v["decode"].update(batch_tokens=10**12), "`decode.batch_tokens` must be at most 10,"),
    "not finite": (lambda v: v["decode"].update(length_penalty=float("nan")),
                   "`decode.length_penalty` must not be negative, but is nan"),
}  # fmt: skip


@pytest.mark.parametrize("case", HARDENING)
def test_a_config_that_is_not_exactly_ours_is_refused_in_a_sentence(tmp_path, case):
    change, sentence = HARDENING[case]
    with pytest.raises(CheckpointError, match=sentence) as refused:
        read_model(spoil(write_model(tmp_path / "model"), change))
    assert str(refused.value).startswith(str(tmp_path)) and "\n" not in str(refused.value)


def test_weights_of_another_shape_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "read_tensors", lambda path: pytest.fail("memory was taken"))
    wanted = r"model.safetensors` does not fit the model of its config.json: `.*` must be float32 \[.*\], but is"
    for change in (
        lambda values: values["model"].update(ffn_dim=8),
        lambda values: values["model"].update(ffn_dim=1 << 17, decoder_layers=1),
    ):
        with pytest.raises(CheckpointError, match=wanted):
            read_model(spoil(write_model(tmp_path / "model"), change))
        shutil.rmtree(tmp_path / "model")
    wanted = r"config.json: `encoder.1.*` is missing; .* and \d+ more\.$"
    with pytest.raises(CheckpointError, match=wanted):
        read_model(spoil(write_model(tmp_path / "model"), lambda values: values["model"].update(encoder_layers=2)))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
@pytest.mark.parametrize("tying", ["none", "decoder", "all"])
def test_what_a_model_will_hold_is_known_without_making_it(positions, tying):
    shape = tiny_config(positions=Positions(positions), tying=Tying(tying), max_length=64)
    told = dict(model_folder.empty_model(description(model=shape)).named_parameters())
    size = number_tokenizer().tgt_size
    real = dict(text_model(shape, src_size=size, tgt_size=size).named_parameters())
    assert {name: (p.shape, p.dtype) for name, p in told.items()} == {n: (p.shape, p.dtype) for n, p in real.items()}
    assert all(p.is_meta for p in told.values())


def test_looking_before_loading_does_not_import_the_compiler(tmp_path):
    folder = write_model(tmp_path / "model")
    code = "import sys; from pathlib import Path; from mt.checkpoint.model_folder import read_model; "
    code += f"read_model(Path({str(folder)!r})); "
    code += "sys.exit('torch._dynamo' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(model_folder.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_a_config_without_end_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    files = {name: (folder / name).read_bytes() for name in ("tokenizer.model", "model.safetensors")}
    write_folder(folder, {**files, "config.json": b" " * (1 << 20) + b"{}"}, replace=True)
    for read in (read_model, languages):
        with pytest.raises(CheckpointError, match=r"config.json` must have at most 1,048,576 bytes, but has more\."):
            read(folder)


def test_a_pickle_in_a_model_folder_is_refused_and_never_opened(tmp_path):
    """Neither beside the files of a model, nor listed in the manifest under the name of one."""
    canary = tmp_path / "canary"
    bomb = pickle.dumps(Bomb(str(canary)))
    folder = write_model(tmp_path / "model")
    (folder / "rng.pkl").write_bytes(bomb)
    with pytest.raises(
        CheckpointError, match=r"rng.pkl` is not in the manifest of its folder\. hint: move it elsewhere\."
    ):
        read_model(folder)
    good = {**description().files(number_tokenizer()), "model.safetensors": weights()}
    for name, sentence in {
        "model.safetensors": "must (be safetensors, but cannot be read as such|have a header of at most)",
        "config.json": "is not valid JSON in UTF-8; it may be damaged",
        "tokenizer.model": "tokenizer.model in .* is damaged: SentencePiece cannot read its",
    }.items():
        write_folder(folder, {**good, name: bomb}, replace=True)
        with pytest.raises(CheckpointError, match=sentence):
            read_model(folder)
    write_folder(folder, {**good, "model.pt": bomb}, replace=True)
    read_model(folder)  # listed, so not damage; a file that nothing opens
    assert not canary.exists()
    pickle.loads(bomb)
    assert canary.exists()  # it would have gone off


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


# ---------------------------------------------------------------- while a run writes


def test_a_reader_never_sees_half_a_checkpoint(tmp_path):
    """A process saves, prunes and replaces the model folder as fast as it can; every read gives a whole model."""
    run = tmp_path / "run"
    write_checkpoint(run, 1, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: fork in a process that has threads
        child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # a forked process has none of its parent's threads, and would wait for them
        try:
            for step in range(2, 40):
                path = write_checkpoint(run, step, float(step % 7))
                Checkpoints(run / "checkpoints", 1).prune()
                if step > 20:
                    files = {name: (path / name).read_bytes() for name in ("config.json", "tokenizer.model")}
                    write_folder(run / "model", {**files, "model.safetensors": weights(step)}, replace=True)
            os._exit(0)
        finally:
            os._exit(1)
    seen = set()
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        found = read_model(run)
        seen.add(found.path.name)
        assert not any(bool(tensor.isnan().any()) for tensor in found.tensors.values())
    assert ended[1] == 0
    assert len(seen) > 3 and "model" in seen


@pytest.mark.parametrize("read", [read_model, model_folder.languages, model_folder.table_columns])
def test_a_checkpoint_that_is_pruned_once_it_is_found_is_looked_for_again(tmp_path, monkeypatch, read):
    run = tmp_path / "run"
    write_checkpoint(run, 1, 1.0)
    gone = write_checkpoint(run, 2, 2.0)

    def found(path):
        chosen = find_model(path)
        if chosen == gone:  # another process removes it
            shutil.rmtree(gone)
        return chosen

    first = read(run / "checkpoints" / "step-00000001")
    monkeypatch.setattr(model_folder, "find_model", found)
    again = read(run)
    assert getattr(again, "path", again) == getattr(first, "path", first)
    assert not gone.exists()


def test_a_folder_that_stays_is_read_once(tmp_path, monkeypatch):
    (write_model(tmp_path / "model") / "config.json").unlink()
    looks = []
    monkeypatch.setattr(model_folder, "verify_folder", lambda folder: (looks.append(folder), verify_folder(folder)))
    with pytest.raises(CheckpointError, match="missing"):
        read_model(tmp_path / "model")
    assert len(looks) == 1


def reverse_of(monkeypatch, there, back):
    told = {"model": there, "other": back}
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: told[path.name])
    check_direction(Path("model"), Path("other"), "--rerank", opposite=True)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (("en", "de"), ("de", "en")),
        (("en", "zh-CN"), ("zh_Hans", "EN")),  # one language, whatever it is called
        (("src", "tgt"), ("src", "tgt")),  # nobody told
        (("en", "de"), ("src", "tgt")),
        (("en", "en"), ("en", "en")),  # summaries are their own reverse
    ],
)
def test_a_model_that_may_be_the_reverse_passes(monkeypatch, caplog, there, back):
    reverse_of(monkeypatch, there, back)
    assert not caplog.records


@pytest.mark.parametrize("back", [("fr", "en"), ("de", "fr"), ("fr", "de")])
def test_a_reverse_model_of_other_languages_gets_a_warning(monkeypatch, caplog, back):
    reverse_of(monkeypatch, ("en", "de"), back)
    (warned,) = caplog.messages
    assert warned == (f"--rerank other translates from {back[0]} to {back[1]}, not from de to en.")


def test_a_reverse_model_of_the_same_direction_is_refused(monkeypatch):
    with pytest.raises(
        ConfigError, match=r"^--rerank other translates from en to de, but a model from de to en is needed"
    ):
        reverse_of(monkeypatch, ("en", "de"), ("en", "de"))


def test_a_model_of_the_other_direction_is_refused_where_the_same_is_needed(monkeypatch, caplog):
    found = {"model": ("en", "de"), "other": ("de", "en"), "further": ("en", "fr"), "unknown": ("src", "tgt")}
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: found[path.name])
    with pytest.raises(ConfigError, match=r"^--compare other translates from de to en, but a model from en to de is"):
        check_direction(Path("model"), Path("other"), "--compare")
    check_direction(Path("model"), Path("model"), "--compare")
    check_direction(Path("model"), Path("unknown"), "--compare")
    assert not caplog.messages
    check_direction(Path("model"), Path("further"), "--compare")
    assert caplog.messages == ["--compare further translates from en to fr, not from en to de."]


def test_a_file_that_goes_away_during_a_read_is_read_again_if_the_folder_changed(tmp_path, monkeypatch):
    path, read, calls = write_model(tmp_path / "model"), model_folder._read, []

    def unlucky(folder):
        calls.append(folder)
        if len(calls) == 1:
            (folder / "new").touch()
            os.utime(folder, (1, 1))  # another folder now, by its last change
            raise FileNotFoundError("tokenizer.model")
        (folder / "new").unlink(missing_ok=True)
        return read(folder)

    monkeypatch.setattr(model_folder, "_read", unlucky)
    assert read_model(path).path == path and len(calls) == 2
    monkeypatch.setattr(model_folder, "_read", lambda folder: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(PermissionError):
        read_model(path)


def columns_of(monkeypatch, *models: list[str]):
    told = dict(zip(("model", "other"), models, strict=True))
    monkeypatch.setattr("mt.checkpoint.model_folder.table_columns", lambda path: (parse_inputs(told[path.name]), "de"))


@pytest.mark.parametrize(
    ("mine", "theirs"), [([], []), (["en:text"], []), (["a:image", "b:text"], ["c:image:64", "d:text"])]
)
def test_models_of_the_same_kinds_of_inputs_can_be_compared(monkeypatch, mine, theirs):
    columns_of(monkeypatch, mine, theirs)
    check_same_inputs(Path("model"), Path("other"), "--compare")


@pytest.mark.parametrize(
    ("mine", "theirs", "told"),
    [
        (["en:text", "a:image"], [], "reads text, but model reads rows of a table (en:text, a:image): a source"),
        ([], ["x:audio"], "reads rows of a table (x:audio), but model reads text: a source must be one for both."),
    ],
)
def test_models_of_other_inputs_are_not_compared(monkeypatch, mine, theirs, told):
    columns_of(monkeypatch, mine, theirs)
    with pytest.raises(ConfigError, match=f"^--compare other {re.escape(told)}"):
        check_same_inputs(Path("model"), Path("other"), "--compare")


def test_no_model_writes_the_pictures_of_another(monkeypatch):
    columns_of(monkeypatch, ["a:image"], ["a:image"])
    with pytest.raises(ConfigError, match=r"^--rerank needs a model that reads text, but model reads rows of a table"):
        check_same_inputs(Path("model"), Path("other"), "--rerank", opposite=True)


def test_an_export_for_another_engine_is_named(tmp_path):
    for name in ("config.json", "model.bin", "shared_vocabulary.json", "tokenizer.model"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError) as refused:
        find_model(tmp_path)
    assert refused.value.message == f"`{tmp_path}` is a folder for CTranslate2, not a model folder."
    assert refused.value.hint == (
        "name the model that it was made of, and add `--engine ct2` to search with CTranslate2."
    )
