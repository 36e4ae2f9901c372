"""`mt translate` with word links: what is printed, what is warned of, what is refused."""

import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy import number_pairs, number_tokenizer, tiny_config, trained_numbers

from mt.checkpoint import write_folder
from mt.checkpoint.model_folder import Description
from mt.cli import link_options
from mt.cli import translate as module
from mt.cli.align import run as align
from mt.cli.link_options import LinkUser
from mt.cli.translate import parse, run
from mt.config import DecodeConfig, Precision
from mt.decode.load import load
from mt.decode.translation import EMPTY
from mt.errors import CheckpointError, ConfigError

PAIRS = number_pairs(40, seed=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with a choice of heads, made by `mt align`."""
    home, tokenizer = tmp_path_factory.mktemp("models"), number_tokenizer()
    told = Description(
        src="en", tgt="de", src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size, max_length=64,
        precision=Precision.fp32, model=tiny_config(dim=32, ffn_dim=64), decode=DecodeConfig(beam=2),
    )  # fmt: skip
    weights = dict(trained_numbers().named_parameters())
    write_folder(home / "m", {**told.files(tokenizer), "model.safetensors": weights}, meta={})
    write_folder(home / "unchosen", {**told.files(tokenizer), "model.safetensors": weights}, meta={})
    for name, lines in (("en", [p.src for p in PAIRS]), ("de", [p.tgt for p in PAIRS])):
        (home / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    align([str(home / "m"), "--source", str(home / "en"), "--target", str(home / "de"), "-o", str(home / "links")])
    return home


@pytest.fixture
def translate(folder, monkeypatch):
    """`translate(lines, *argv)` gives the lines of stdout."""
    monkeypatch.setattr("mt.compute.device.set_up_cpu", lambda threads: None)

    def call(lines, *argv, model="m"):
        out, given = io.BytesIO(), io.BytesIO("".join(f"{line}\n" for line in lines).encode())
        monkeypatch.setattr(module.sys, "stdin", SimpleNamespace(buffer=given, isatty=lambda: False))
        monkeypatch.setattr(module.sys, "stdout", SimpleNamespace(buffer=out, isatty=lambda: False))
        assert run([str(folder / model), "--device", "cpu", *argv]) == 0
        return out.getvalue().decode().split("\n")[:-1]

    return call


def test_alignments_stand_after_the_text(translate):
    lines = ["one two three", "", "four"]
    plain, linked = translate(lines), translate(lines, "--alignments")
    assert [line.split(" ||| ")[0] for line in linked] == plain
    assert linked[0].split(" ||| ")[1].split() == ["0-0", "1-1", "2-2"]
    assert linked[1] == " ||| "
    rows = [json.loads(line) for line in translate(lines, "--alignments", "--nbest", "2")]
    assert [len(row["translations"]) for row in rows] == [2, 1, 2]
    assert rows[0]["translations"][0]["alignment"] == [[0, 0], [1, 1], [2, 2]]
    assert rows[1]["translations"][0]["alignment"] == []
    assert "alignment" not in json.loads(translate(lines, "--jsonl")[0])["translations"][0]


def test_markup_comes_back(translate, caplog):
    lines = ["one <b>two</b> three", "<b>{x}</b>", "one &amp; two", "three four"]
    said = translate(lines, "--markup")
    assert said == ["eins <b>zwei</b> drei", "<b>{x}</b>", said[2], "vier".join(["drei ", ""])]
    assert "&amp;" in said[2] or "&" not in said[2]
    both = translate(lines[:1], "--markup", "--alignments")
    assert both == ["eins <b>zwei</b> drei ||| 0-0 1-1 2-2"]
    [row] = [json.loads(line) for line in translate(lines[:1], "--markup", "--nbest", "2")]
    assert row["source"] == lines[0] and all(t["text"].count("<b>") == 1 for t in row["translations"])
    assert not caplog.messages
    assert "AB-1" in translate(["one AB-1 two"], "--protect", "[A-Z]+-[0-9]")[0]
    assert all(
        "was cut at its maximum length" in message for message in caplog.messages
    )  # this small model repeats itself


def test_lines_and_fragments_without_text_are_copied(translate, caplog):
    lines = ["---", "...", "\U0001f600", "{x}", "one two three. {x}", "one. two. --- https://a.example/x?y=1.", "1-1"]
    for option in (["--markup"], ["--protect", "[0-9]-[0-9]|[{]x[}]|https:.*=1"], ["--markup", "--jsonl"]):
        said = translate(lines, *option)
        if "--jsonl" in option:
            said = [json.loads(row)["translations"][0]["text"] for row in said]
        assert said[:4] == lines[:4]
        assert said[4].endswith(" {x}") and said[4].count("{x}") == 1
        assert said[5].endswith(" --- https://a.example/x?y=1.")


def test_a_line_is_sent_with_other_stand_ins_until_they_come_through(folder, monkeypatch):
    args = parse([str(folder / "m"), "--markup"])
    user = LinkUser(load(folder / "m", device="cpu"), args)
    sent = []

    def translate(texts, stand_ins):
        sent.append((texts, stand_ins))
        return [[replace(EMPTY, text=text.replace("Peter", "?").replace("12", "Max"))] for text in texts]

    requests, found = user._translate(["one {x}", "two", "{x} two {y}"], translate)
    assert [texts for texts, _ in sent] == [
        ["one Peter", "two", "Peter two Berlin"], ["one 12", "", "12 two 15"], ["one Max", "", "Max two X"]
    ]  # fmt: skip
    assert [words for _, words in sent] == [
        [["Peter"], [], ["Peter", "Berlin"]], [["12"], [], ["12", "15"]], [["Max"], [], ["Max", "X"]]
    ]  # fmt: skip
    assert [some[0].text for some in found] == ["one Max", "two", "Max two X"]
    assert [request.text for request in requests] == ["one Max", "two", "Max two X"]


def test_flags_are_warnings_and_fields(translate, caplog):
    [row] = [json.loads(line) for line in translate(["one two three"], "--flags", "--jsonl")]
    [found] = row["translations"]
    assert found["contribution"] > 2 and found["coverage"] == 1.0 and found["flags"] == []
    assert (found["repeated"], found["lost"], found["length"]) == (None, [], None)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert caplog.messages == ["0 of 1 line flagged"]
    caplog.clear()
    translate(["one", "two one", " ".join(["nine"] * 12)], "--flags", "--max-length", "3")
    assert "input 3: words may be missing (under-translation): " in caplog.text
    assert "1 of 3 lines flagged: under-translation 1" in caplog.text
    [row] = [json.loads(line) for line in translate(["one one one one 1234"], "--flags", "--jsonl")]
    assert row["translations"][0]["lost"] == ["1234"] and "lost-number" in row["translations"][0]["flags"]
    [row] = [json.loads(line) for line in translate([""], "--flags", "--jsonl")]
    assert row["translations"][0]["contribution"] is None and row["translations"][0]["flags"] == []


def test_numbers_in_warnings_go_on_from_chunk_to_chunk(translate, caplog, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    translate(["one", "two", "three", "one " * 20], "--flags", "--max-length", "3")
    assert "input 4: words may be missing" in caplog.text


def test_a_model_without_a_choice_says_how_to_get_one(translate, caplog):
    said = translate(["one two", "three"], "--alignments", model="unchosen")
    assert all(" ||| " in line for line in said)
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "unchosen has no attention heads chosen for word links; they are guessed from the first trans" in warning
    assert warning.endswith("--source FILE --target FILE` chooses them on a few hundred pairs and saves the choice.")


def test_the_command_in_the_advice_works_for_any_name(monkeypatch):
    caught = []
    monkeypatch.setattr("mt.checkpoint.model_folder.find_model", lambda path: path)
    monkeypatch.setattr("mt.postprocess.word_alignments.Linker.of", lambda *args: SimpleNamespace(heads=None))
    monkeypatch.setattr(link_options.logger, "warning", caught.append)
    link_options.linker_of(Path("my runs/it's"), SimpleNamespace())
    command = caught[0].split("`")[1]
    assert shlex.split(command)[:3] == ["mt", "align", "my runs/it's"]


def test_nothing_is_computed_where_nobody_asks(translate, monkeypatch, caplog):
    monkeypatch.setattr("mt.postprocess.word_alignments.Linker.link", lambda *args: pytest.fail("nobody asked"))
    assert translate(["one two"], model="unchosen") == ["eins zwei"]
    assert caplog.text == ""


def test_lines_without_marks_are_not_linked(translate, monkeypatch):
    asked = []
    linked = "mt.postprocess.word_alignments.Linker.link"
    monkeypatch.setattr(linked, lambda self, texts, found: asked.extend(texts) or [])
    assert translate(["one two", "two three"], "--markup", "--replace-unknown") == ["eins zwei", "zwei drei"]
    assert asked == []


def test_a_choice_that_does_not_fit_is_refused(folder, tmp_path):
    files = {path.name: path.read_bytes() for path in (folder / "m").iterdir() if path.name != "MANIFEST.json"}
    write_folder(tmp_path / "m", {**files, "alignment.json": b'{"schema": 9}'})
    with pytest.raises(
        CheckpointError, match=r"alignment\.json must have schema 1, but has 9\. hint: remove the file\.$"
    ):
        run([str(tmp_path / "m"), "--alignments", "--device", "cpu", "-i", str(folder / "en")])


def test_a_pattern_must_be_one():
    with pytest.raises(ConfigError, match=r"--protect: must be a regular expression, but '\(' is not: missing"):
        parse(["m", "--protect", "("])
