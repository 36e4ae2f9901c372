"""`mt export`: what it asks for, and what it writes."""

import sys

import pytest
from toy import number_tokenizer, tiny_model

from mt.cli.export import export_ct2, parse, run
from mt.config import DecodeConfig
from mt.decode.search.transformer_stepper import CachedStepper
from mt.errors import ConfigError
from mt.interchange.ct2 import python_example


class Loaded:
    tokenizer = number_tokenizer()
    stepper = CachedStepper(tiny_model())
    section = DecodeConfig()
    max_length = 64


def test_the_format_must_be_known():
    with pytest.raises(ConfigError, match="invalid choice: 'onnx'"):
        parse(["onnx", "model", "out"])


def test_a_folder_that_is_there_is_not_written_over(tmp_path):
    with pytest.raises(ConfigError, match="already exists; name a new folder"):
        run(["ct2", "model", str(tmp_path)])


def test_a_folder_within_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/a/b` cannot be created, because `.*/file` is not a folder\.$"):
        run(["ct2", "model", str(tmp_path / "file" / "a" / "b")])


def test_without_the_package_no_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.setattr("mt.decode.load.load", None)
    with pytest.raises(ConfigError) as refused:
        run(["ct2", "model", str(tmp_path / "out")])
    assert str(refused.value) == (
        "export to CTranslate2 needs the package `ctranslate2`; install it with `pip install ctranslate2`."
    )


@pytest.mark.parametrize("given, quantization", [([], "float32"), (["--quantization", "int8"], "int8")])
def test_the_command_writes_the_folder_and_says_so(given, quantization, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ctranslate2")
    monkeypatch.setattr("mt.decode.load.load", lambda *_, **__: Loaded)
    out = tmp_path / "out"
    assert run(["ct2", "model", str(out), *given]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"The model for CTranslate2 is in {out} ({quantization}). To translate with it in Python, ")
    assert said.endswith("\n\n" + python_example(Loaded.tokenizer, Loaded.section, out, max_length=64))
    assert (out / "model.bin").is_file()
    with pytest.raises(ConfigError, match="already exists"):
        export_ct2(tmp_path, out)
