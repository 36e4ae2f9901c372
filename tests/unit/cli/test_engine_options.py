"""`--engine`: which options are refused, and that commands give with CTranslate2 what they give with torch."""

import json
from pathlib import Path

import pytest
from toy import write_numbers

from mt.cli import serve, translate
from mt.cli.main import main
from mt.errors import ConfigError

TEXT = "one two\n\nthree <b>four</b> five\n" + "six seven eight nine ten " * 20 + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    pytest.importorskip("ctranslate2")
    monkeypatch.chdir(tmp_path)
    write_numbers(Path("model"))
    Path("text").write_text(TEXT)
    return tmp_path


def test_all_options_that_the_engine_cannot_honour_are_named_at_once():
    line = ["m", "--engine", "ct2", "--groups", "5", "--length-norm", "gnmt", "--coverage-penalty", "0.1", "--sample"]
    with pytest.raises(ConfigError) as refused:
        translate.parse([*line, "--ensemble", "n"])
    assert str(refused.value) == (
        "--engine ct2 cannot honour --length-norm, --groups, --coverage-penalty, --sample, --ensemble; leave out what "
        "it cannot honour. hint: `mt translate --help` lists the options."
    )
    with pytest.raises(ConfigError, match="--engine ct2 cannot honour --mbr from samples; leave out"):
        translate.parse(["m", "--engine", "ct2", "--mbr", "chrf"])
    defaults = ["--groups", "1", "--length-norm", "average", "--mbr", "chrf", "--mbr-from", "beam", "--rerank", "n"]
    assert translate.parse(["m", "--engine", "ct2", *defaults[:-2]]).against_ct2 == []
    assert translate.parse(["m", "--engine", "auto", "--sample"]).against_ct2 == ["--sample"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--quantization", "int8"], "--quantization is for --engine ct2 or auto; leave it out, or choose one of them"),
        (["--engine", "ct2", "--precision", "int8"], "--precision is for torch; --quantization chooses the numbers of"),
        (["--engine", "marian"], "--engine must be one of torch, ct2, auto, but is marian"),
    ],
)
@pytest.mark.parametrize("parse", [translate.parse, serve.parse])
def test_mistakes(parse, options, error):
    with pytest.raises(ConfigError, match=error):
        parse(["model", *options])


@pytest.mark.parametrize(
    "options", [[], ["--beam", "1", "--jsonl"], ["--markup", "--alignments"], ["--prefix", "zwei"], ["--flags"]]
)
def test_a_line_for_each_line_as_with_torch(folder, options, capsys, caplog):
    told = []
    for engine in (["--precision", "fp32"], ["--engine", "ct2"]):
        assert main(["translate", "model", "-i", "text", "--device", "cpu", *engine, *options]) == 0
        told.append(capsys.readouterr().out)
    if "--jsonl" in options:
        ours, theirs = ([json.loads(line)["translations"][0] for line in said.splitlines()] for said in told)
        for one, other in zip(ours, theirs, strict=True):
            assert other == {**one, "score": pytest.approx(one["score"], abs=1e-3),
                             "log_prob": pytest.approx(one["log_prob"], abs=1e-2),
                             "piece_log_probs": pytest.approx(one["piece_log_probs"], abs=1e-3)}  # fmt: skip
        return
    assert told[0] == told[1] and told[0].count("\n") == 4


@pytest.mark.parametrize("options", [["--sample"], ["--precision", "fp32"]])
def test_auto_says_why_torch_searches(folder, options, capsys, caplog):
    assert main(["translate", "model", "-i", "text", "--engine", "auto", *options, "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("\n") == 4
    assert f"torch searches, not CTranslate2: it cannot honour {options[0]}" in caplog.text
    assert not Path("model.ct2").exists()


def test_evaluate(folder, capsys):
    Path("a.src").write_text("one two\nthree four\n")
    Path("a.tgt").write_text("eins zwei\ndrei vier\n")
    line = ["evaluate", "model", "--test", "a.src", "a.tgt", "--bootstrap", "0", "--device", "cpu", "--json"]
    told = []
    for engine in (["--precision", "fp32"], ["--engine", "auto", "--quantization", "int8"]):
        assert main([*line, *engine]) == 0
        told.append(json.loads(capsys.readouterr().out)["scores"])
    assert told[0] == told[1] and [path.name[:5] for path in Path("model.ct2").iterdir()] == ["int8-"]
    with pytest.raises(ConfigError, match="--engine is not used when --hypotheses are given; leave it out"):
        from mt.cli.evaluate import parse

        parse(["--hypotheses", "a.src", "--references", "a.tgt", "--engine", "ct2"])
