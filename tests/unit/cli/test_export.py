"""`mt export`: what it asks for, and what it writes."""

import ast
import json
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_model, trained_numbers

from mt.checkpoint import write_folder
from mt.checkpoint.model_folder import WEIGHTS, Description
from mt.cli.export import export_ct2, parse, run
from mt.cli.export_sample import choose_sample
from mt.cli.main import main
from mt.config import Activation, DataConfig, DecodeConfig, NormPlacement, Precision
from mt.decode.load import load
from mt.errors import CheckpointError, ConfigError, DataError
from mt.files import read_json
from mt.interchange.ct2 import python_example


@pytest.fixture
def model(tmp_path):
    """A model folder of trained number words."""
    t, made = number_tokenizer(), trained_numbers()
    description = Description(
        src="en", tgt="de", src_size=t.src_size, tgt_size=t.tgt_size, max_length=64, precision=Precision.fp32,
        model=made.config, decode=DecodeConfig(),
    )  # fmt: skip
    write_folder(tmp_path / "model", {**description.files(t), WEIGHTS: dict(made.named_parameters())})
    return tmp_path / "model"


def write_pairs(folder, number, name="test"):
    for side, suffix in (("src", "en"), ("tgt", "de")):
        lines = "".join(f"{getattr(pair, side)}\n" for pair in number_pairs(number, seed=5))
        (folder / f"{name}.{suffix}").write_text(lines, encoding="utf-8")
    return [str(folder / f"{name}.{suffix}") for suffix in ("en", "de")]


def make_run(model, data):
    """The run folder of a model, with these settings of its data."""
    folder = model.parent / "run"
    folder.mkdir()
    model.rename(folder / "model")
    (folder / "manifest.json").write_text("{}")
    (folder / "config.yaml").write_text(json.dumps({"data": {**asdict(DataConfig()), "subset": "spread", **data}}))
    return folder


def test_the_format_must_be_known():
    with pytest.raises(ConfigError, match=r"^the word behind `mt export` must be one of ct2, hf, argos, but is onnx\."):
        parse(["onnx", "model", "out"])


def test_a_folder_that_is_there_is_not_written_over(tmp_path):
    with pytest.raises(ConfigError, match=r"already exists\. hint: name a new folder"):
        run(["ct2", "model", str(tmp_path)])


def test_a_folder_within_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/a/b` cannot be created, because `.*/file` is a file\.$"):
        run(["ct2", "model", str(tmp_path / "file" / "a" / "b")])


def test_without_the_package_no_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.setattr("mt.decode.load.load", None)
    with pytest.raises(ConfigError) as refused:
        run(["ct2", "model", str(tmp_path / "out")])
    assert str(refused.value) == (
        "export to CTranslate2 needs the package `ctranslate2`. hint: install it with `pip install ctranslate2`."
    )


@pytest.mark.parametrize("given, quantization", [([], "float32"), (["--quantization", "int8"], "int8")])
def test_the_command_writes_the_folder_and_says_so(given, quantization, model, tmp_path, capsys, caplog):
    pytest.importorskip("ctranslate2")
    out = tmp_path / "out"
    files = write_pairs(tmp_path, 30)
    with caplog.at_level("INFO", "mt"):
        assert run(["ct2", str(model), str(out), *given, "--sample", *files]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"The model for CTranslate2 is in {out} ({quantization}). To translate with it in Python, ")
    assert said.endswith("\n\n" + python_example(number_tokenizer(), DecodeConfig(), out, max_length=64))
    assert (out / "model.bin").is_file()
    assert "verified on 30 sentences of test.en: 30 of 30 greedy translations equal" in caplog.text
    assert "; BLEU 100.0 and 100.0; chrF++ 100.0 and 100.0" in caplog.text
    with pytest.raises(ConfigError, match="already exists"):
        export_ct2(model, out)


@pytest.mark.parametrize("name", ["a b ä", "it's", 'a "b"', "$HOME`a`", "a\\b!c"])
def test_the_line_that_installs_a_package_can_be_typed_whatever_its_name(name, monkeypatch, capsys, tmp_path):
    pytest.importorskip("ctranslate2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mt.cli.export.export_argos", lambda *_, **__: None)
    assert run(["argos", "model", f"{name}.argosmodel", "--no-verify"]) == 0
    line = capsys.readouterr().out.rstrip("\n").rpartition("\n")[2]
    typed = subprocess.run(["sh", "-c", line.replace("python -c", "printf %s", 1)], capture_output=True, check=True)
    call, _, argument = typed.stdout.decode().partition("install_from_path(")
    assert call == "import argostranslate.package as p; p."
    assert ast.literal_eval(argument.removesuffix(")")) == f"{name}.argosmodel"


def test_lines_without_pieces_are_not_compared(model, tmp_path, caplog):
    """CTranslate2 answers an empty source with nothing, and mt never searches one."""
    pytest.importorskip("ctranslate2")
    sources, _ = write_pairs(tmp_path, 3)
    lines = Path(sources).read_text(encoding="utf-8")
    Path(sources).write_text(f"\n \n{lines}\n", encoding="utf-8")
    assert run(["ct2", str(model), str(tmp_path / "out"), "--sample", sources]) == 0
    assert "verified on 6 sentences of test.en: 3 of 3 greedy translations equal" in caplog.text
    Path(sources).write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^nothing can be verified on 2 sentences of test\.en\. hint: name a f"):
        run(["ct2", str(model), str(tmp_path / "none"), "--sample", sources])


def test_an_export_in_the_place_of_a_model_leads_to_the_model_that_it_was_made_of(model, tmp_path, capsys):
    pytest.importorskip("ctranslate2")
    text = write_pairs(tmp_path, 3)[0]
    export_ct2(model, tmp_path / "ct2")
    assert main(["translate", str(tmp_path / "ct2"), "-i", text]) == 1
    said = capsys.readouterr().err
    assert f"`{tmp_path / 'ct2'}` is a folder for CTranslate2, not a model folder." in said
    typed = re.findall("`([^`]+)`", said)[-1]
    assert typed == "--engine ct2"
    assert main(["translate", str(model), *typed.split(), "-i", text, "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_text().count("\n") == 3


def test_without_a_name_the_folder_is_named_after_the_model(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse(["ct2", "runs/my-run"]).out == Path("my-run-ct2")


def test_an_export_of_another_model_is_refused_and_leaves_nothing(model, tmp_path, monkeypatch):
    pytest.importorskip("ctranslate2")
    import mt.interchange.ct2 as written

    monkeypatch.setattr(written, "epsilon", lambda model: 1e4)
    with pytest.raises(CheckpointError) as refused:
        run(["ct2", str(model), str(tmp_path / "out"), "--sample", *write_pairs(tmp_path, 20)])
    for part in (
        r"^the export does not translate as the model does, on 20 sentences of test\.en: \d+ of 20 trans\w+ differ;",
        r"; a log-probability differs by \d\S*, more than 0\.001; BLEU falls from 100\.0 to ",
        r"; the first other translation is '[^']+' for '[^']+', of '[^']+'\.$",
    ):
        assert re.search(part, str(refused.value))
    assert not (tmp_path / "out").exists()
    assert refused.value.exit_code == 1
    assert run(["ct2", str(model), str(tmp_path / "out"), "--no-verify"]) == 0


def test_eight_bits_that_lose_the_probabilities_are_refused(model, tmp_path, monkeypatch):
    pytest.importorskip("ctranslate2")
    import mt.interchange.verify as verify

    monkeypatch.setattr(verify, "MEAN_ROUNDED", 0.0)
    with pytest.raises(CheckpointError, match=r"log-probabilities differ by \S+ on average, more than 0[;.]"):
        run(["ct2", str(model), str(tmp_path / "out"), "--quantization", "int8"])


@pytest.fixture
def post(model, tmp_path):
    """A model folder that MarianMT can hold; not trained, but with opinions."""
    made = tiny_model(norm=NormPlacement.post, activation=Activation.silu)
    with torch.no_grad():
        made.out_weight.mul_(3)
    description = replace(Description.from_values(read_json(model / "config.json"), "it"), model=made.config)
    write_folder(tmp_path / "post", {**description.files(number_tokenizer()), WEIGHTS: dict(made.named_parameters())})
    return tmp_path / "post"


def test_a_folder_for_transformers_is_verified(model, post, tmp_path, capsys, caplog):
    pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match=r"cannot be exported to MarianMT: `model\.norm` must be post, but is"):
        run(["hf", str(model), str(tmp_path / "out")])
    files = write_pairs(tmp_path, 50)
    with caplog.at_level("INFO", "mt"):
        assert run(["hf", str(post), str(tmp_path / "out"), "--sample", *files]) == 0
    said = f"The model for transformers (MarianMTModel, MarianTokenizer) is in {tmp_path / 'out'}.\n"
    assert capsys.readouterr().out == said
    assert "verified on 50 sentences of test.en: 50 of 50 greedy translations equal" in caplog.text
    assert read_json(tmp_path / "out" / "tokenizer_config.json")["target_lang"] == "de"
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_without_transformers_the_export_is_not_verified_and_this_is_said(post, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("mt.cli.export.find_spec", lambda name: None)
    assert run(["hf", str(post), str(tmp_path / "out")]) == 0
    assert "the export was not verified, because the package `transformers` is not installed." in caplog.text
    caplog.clear()
    assert run(["hf", str(post), str(tmp_path / "other"), "--no-verify"]) == 0
    assert not caplog.text


def test_a_folder_for_transformers_of_another_model_is_refused(post, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    import mt.interchange.hf as written

    monkeypatch.setitem(written.ACTIVATIONS, Activation.silu, "relu")
    with pytest.raises(CheckpointError, match="the export does not translate as the model does, on 40 sentences of"):
        run(["hf", str(post), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["ct2", "hf"])
def test_a_full_disk_is_told_with_the_folder(form, model, post, tmp_path, small_files):
    export = [form, str(model if form == "ct2" else post), str(tmp_path / "out"), "--no-verify"]
    small_files(8000)
    with pytest.raises(CheckpointError, match=r"^`.*/out` cannot be written: File too large\.$"):
        run(export)
    assert not (tmp_path / "out").exists()


def test_options_of_another_format_are_refused():
    with pytest.raises(ConfigError, match="--quantization belongs to ct2 and argos; leave it out for hf"):
        parse(["hf", "m", "out", "--quantization", "int8"])


def test_the_options_of_the_sample():
    with pytest.raises(ConfigError, match="--sample takes one file of sentences, or two"):
        parse(["ct2", "m", "out", "--sample", "a", "b", "c"])
    with pytest.raises(ConfigError, match="--sample has no effect with --no-verify"):
        parse(["ct2", "m", "out", "--sample", "a", "--no-verify"])


def test_the_sample_comes_from_files_the_run_or_the_vocabulary(model, tmp_path):
    translator = load(model, device="cpu", precision="fp32")
    made = choose_sample(translator, model, [], "en", "de")
    assert made.origin == "40 sentences of random pieces" and not made.references
    assert len(set(made.sources)) > 30 and made == choose_sample(translator, model, [], "en", "de")
    files = write_pairs(tmp_path, 450)
    one = choose_sample(translator, model, files[:1], "en", "de")
    assert (len(one.sources), one.references, one.origin) == (450, [], "200 sentences of test.en")
    two = choose_sample(translator, model, files, "en", "de").some()
    assert len(two.sources) == len(two.references) == 200
    assert {*zip(two.sources, two.references, strict=True)} < {(p.src, p.tgt) for p in number_pairs(450, seed=5)}
    with pytest.raises(DataError, match="nothing"):
        choose_sample(translator, model, [str(tmp_path / "nothing")], "en", "de")
    with pytest.raises(DataError, match="the file names say en to de, but the model translates de to en"):
        choose_sample(translator, model, files, "de", "en")
    with pytest.raises(DataError, match="says that it is in en, but the source of this model is in deu"):
        choose_sample(translator, model, files[:1], "deu", "eng")


def test_the_sets_of_a_run_are_taken_in_their_order(model, tmp_path, caplog):
    translator = load(model, device="cpu", precision="fp32")
    train, dev, test = (write_pairs(tmp_path, n, name) for n, name in ((7, "train"), (6, "dev"), (5, "test")))

    def origin(folder):
        return choose_sample(translator, folder, [], "en", "de").origin

    folder = make_run(model, {"train": train, "dev": dev, "test": test, "src": "en", "tgt": "de"})
    assert origin(folder) == "6 sentences of dev.en"
    Path(dev[0]).unlink()
    assert origin(folder) == "5 sentences of test.en"
    Path(test[1]).unlink()
    assert origin(folder) == "7 sentences of train.en"
    Path(train[0]).write_bytes(b"\xff\n" * 7)
    with caplog.at_level("INFO", "mt"):
        assert origin(folder) == "40 sentences of random pieces"
    assert "the text of the run cannot be read: " in caplog.text


def test_a_corpus_of_the_catalogue_is_read_where_it_is_but_not_fetched(model, tmp_path):
    translator = load(model, device="cpu", precision="fp32")
    folder = make_run(model, {"corpus": "multi30k_en_de", "root": str(tmp_path / "data")})
    assert choose_sample(translator, folder, [], "en", "de").origin == "40 sentences of random pieces"
    (tmp_path / "data" / "multi30k").mkdir(parents=True)
    write_pairs(tmp_path / "data" / "multi30k", 4, "val")
    write_pairs(tmp_path / "data" / "multi30k", 4, "test_2016_flickr")
    assert choose_sample(translator, folder, [], "en", "de").origin == "4 sentences of val.en"


def test_an_export_given_as_a_model_is_named_and_the_hint_makes_a_model_of_it(model, post, tmp_path, capsys):
    pytest.importorskip("ctranslate2")
    folder = tmp_path / "other programs"  # a name that a shell would cut
    folder.mkdir()
    assert run(["hf", str(post), str(folder / "hf"), "--no-verify"]) == 0
    assert run(["argos", str(model), str(folder / "a.argosmodel"), "--no-verify"]) == 0
    assert run(["ct2", str(model), str(folder / "ct2"), "--no-verify"]) == 0
    for form, name, what in (
        ("hf", "hf", "a folder for MarianMT in transformers"),
        ("argos", "a.argosmodel", "a package for Argos Translate"),
    ):
        capsys.readouterr()
        assert main(["translate", str(folder / name), "--device", "cpu"]) == 1
        told = capsys.readouterr().err
        assert f"`{folder / name}` is {what}, not a model folder." in told
        (typed,) = re.findall(r"`mt (import .* NEW_FOLDER)` makes one of it\.", told)
        new = tmp_path / f"new-{form}"
        assert main([str(new) if word == "NEW_FOLDER" else word for word in shlex.split(typed)]) == 0
        assert load(new).translate("") == ""
    with pytest.raises(CheckpointError) as refused:
        load(folder / "ct2")
    assert str(refused.value) == (
        f"`{folder / 'ct2'}` is a folder for CTranslate2, not a model folder. "
        "hint: name the model that it was made of, and add `--engine ct2` to search with CTranslate2."
    )
