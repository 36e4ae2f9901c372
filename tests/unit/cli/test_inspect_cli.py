"""`mt inspect attention`: a page or a picture, of given translations or of the model's own."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from toy import number_tokenizer, tiny_config, trained_numbers

from mt.checkpoint import write_folder
from mt.checkpoint.model_folder import Description, read_model
from mt.cli.inspect import parse, run
from mt.cli.inspect_tables import write_page
from mt.config import DecodeConfig, Precision
from mt.errors import CheckpointError, ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, tokenizer = tmp_path_factory.mktemp("run") / "model", number_tokenizer()
    told = Description(
        src="en", tgt="de", src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size, max_length=64,
        precision=Precision.fp32, model=tiny_config(dim=32, ffn_dim=64), decode=DecodeConfig(beam=1),
    )  # fmt: skip
    write_folder(path, {**told.files(tokenizer), "model.safetensors": dict(trained_numbers().named_parameters())})
    return path


def test_the_models_own_translation_is_shown(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["attention", str(folder), "--text", "one two"]) == 0
    html = (tmp_path / "attention.html").read_text(encoding="utf-8")
    assert '"t":"zwei"' in html
    assert "Guessed from these sentences alone" in html
    assert capsys.readouterr().out == ""


def test_files_gold_and_a_second_model(folder, tmp_path):
    (tmp_path / "en").write_text("one two\nthree\nfour\n")
    (tmp_path / "de").write_text("eins zwei\ndrei\nvier\n")
    (tmp_path / "gold").write_text("0-0 1-1\n0-0\n0-0\n")
    out = tmp_path / "page.html"
    given = ["--input", str(tmp_path / "en"), "--references", str(tmp_path / "de"), "--lines", "2"]
    more = ["--gold", str(tmp_path / "gold"), "--gold-base", "0", "--compare", str(folder), "-o", str(out)]
    assert run(["attention", str(folder), *given, *more]) == 0
    html = out.read_text(encoding="utf-8")
    assert html.count('"heads_seen"') == 2
    assert html.count('"aer":[') == 4
    assert '"four"' not in html


def test_pictures(folder, tmp_path):
    for name, begin in (("a.png", b"\x89PNG"), ("a.svg", b"<svg")):
        assert run(["attention", str(folder), "--text", "one $x$ two", f"--{name[2:]}", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert not (tmp_path / "attention.html").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--gold", "g"], "--gold and --gold-base must be given together"),
        (["--gold", "g", "--gold-base", "1"], "--gold needs the translations that it links"),
    ],
)
def test_options_that_do_not_go_together(more, message):
    with pytest.raises(ConfigError, match=message):
        parse(["attention", "m", "--text", "one", *more])


def test_what_cannot_be_shown_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="there is no text to show"):
        run(["attention", str(folder), "--text", " "])
    with pytest.raises(
        DataError, match=r"^1 sentence cannot have 2 translations: give one translation for each sentence\.$"
    ):
        run(["attention", str(folder), "--text", "one", "--reference", "eins", "zwei"])
    (tmp_path / "gold").write_text("0-0\n0-0\n")
    gold = ["--gold", str(tmp_path / "gold"), "--gold-base", "0"]
    with pytest.raises(DataError, match=r"gold must have a line for each of 1 pair, but has 2\.$"):
        run(["attention", str(folder), "--text", "one", "--reference", "eins", *gold])
    (tmp_path / "gold").write_text("0-1\n")
    with pytest.raises(DataError, match=r"gold:1: the link 0-1 is past the words of its pair, 1 and 1 between spaces"):
        run(["attention", str(folder), "--text", "one", "--reference", "eins", *gold])


@pytest.mark.parametrize(("option", "name"), [("--png", "a.xyz"), ("--png", "a"), ("--svg", "a.png")])
def test_a_picture_is_called_what_it_is(option, name):
    with pytest.raises(
        ConfigError, match=rf"^{option} must name a file that ends in \.{option[2:]}, but names {name}\."
    ):
        parse(["attention", "m", "--text", "one", option, name])


@pytest.mark.parametrize("kind", [".png", ".svg"])
def test_a_page_is_called_a_page_and_a_picture_drawn_by_its_own_option(folder, tmp_path, kind):
    asked, name = ["attention", str(folder), "--text", "one"], str(tmp_path / f"a{kind}")
    with pytest.raises(
        ConfigError, match=r"^--output must name a page, which ends in \.html, but names \S+\."
    ) as refused:
        run([*asked, "-o", name])
    assert not list(tmp_path.iterdir())
    assert run([*asked, *refused.value.hint.split("`")[1].split()]) == 0 and [*map(str, tmp_path.iterdir())] == [name]
    with pytest.raises(ConfigError, match=r"names \S+pdf\. hint: name it `\.html`\.$"):
        run([*asked, "-o", str(tmp_path / "a.pdf")])


def test_the_text_is_not_written_over(folder, tmp_path):
    (tmp_path / "en").write_text("one\n")
    with pytest.raises(ConfigError, match=r"en` is also an input file\. hint: name another file"):
        run(["attention", str(folder), "--input", str(tmp_path / "en"), "-o", str(tmp_path / "en")])
    assert (tmp_path / "en").read_text() == "one\n"


def test_the_first_sentences_of_a_file_are_shown_and_others_on_request(folder, tmp_path, capsys):
    source = tmp_path / "en"
    source.write_text("".join(f"{word}\n" for word in ("one", "two", "three", "four", "five")))
    (tmp_path / "de").write_text("eins\nzwei\ndrei\nvier\nfünf\n", encoding="utf-8")
    (tmp_path / "gold").write_text("0-0\n" * 5)
    out = tmp_path / "page.html"

    def shown(lines, *more):
        assert run(["attention", str(folder), "--input", str(source), "--lines", lines, "-o", str(out), *more]) == 0
        text = out.read_text(encoding="utf-8")
        return [w for w in ("one", "two", "three", "four", "five") if f'"t":"{w}"' in text], capsys.readouterr().err

    words, said = shown("2")
    assert words == ["one", "two"]
    assert f"it shows sentences 1 to 2 of {source}; for the next ones give --lines 3-4" in said
    gold = ["--references", str(tmp_path / "de"), "--gold", str(tmp_path / "gold"), "--gold-base", "0"]
    words, said = shown("3-4", *gold)
    assert words == ["three", "four"] and "--lines 5-6" in said
    words, said = shown("5-6")
    assert words == ["five"] and "--lines" not in said
    with pytest.raises(DataError, match=r"en has fewer than 6 sentences, where --lines begins\.$"):
        run(["attention", str(folder), "--input", str(source), "--lines", "6-9"])
    run(["attention", str(folder), "--text", "one", "two", "--lines", "2-2", "-o", str(out)])
    assert '"t":"two"' in out.read_text() and '"t":"one"' not in out.read_text()


@pytest.mark.parametrize("lines", ["0", "x", "3-2", "0-4", "2-", "-3"])
def test_a_range_of_lines_must_be_one(lines):
    with pytest.raises(ConfigError, match="--lines: must be a number of sentences, such as 20, or a range, such as 21"):
        parse(["attention", "m", "--text", "one", f"--lines={lines}"])


def test_a_second_model_and_files_have_the_direction_of_the_first(folder, tmp_path):
    told, tokenizer = read_model(folder).description, number_tokenizer()
    turned = replace(told, src=told.tgt, tgt=told.src)
    weights = dict(trained_numbers().named_parameters())
    write_folder(tmp_path / "turned", {**turned.files(tokenizer), "model.safetensors": weights})
    show = ["attention", str(folder), "-o", str(tmp_path / "page.html")]
    with pytest.raises(ConfigError, match=r"^--compare \S+turned translates from de to en, but a model from en to de"):
        run([*show, "--text", "one", "--compare", str(tmp_path / "turned")])
    for name in ("a.en", "a.de"):
        (tmp_path / name).write_text("one\n")
    with pytest.raises(
        DataError, match=r"^the name of \S+a\.de says that it is in de, but the source of this model is in"
    ):
        run([*show, "--input", str(tmp_path / "a.de")])
    with pytest.raises(
        DataError, match=r"^the name of \S+a\.en says that it is in en, but the target of this model is in"
    ):
        run([*show, "--input", str(tmp_path / "a.en"), "--references", str(tmp_path / "a.en")])


@pytest.mark.parametrize("given", [["--text", "one \udcff two"], ["--text", "one", "--reference", "eins\udcff"]])
def test_words_of_the_command_line_that_are_not_utf8(folder, tmp_path, given):
    assert (
        run(["attention", str(folder), *given, "-o", str(tmp_path / "a.html"), "--svg", str(tmp_path / "a.svg")]) == 0
    )
    assert '"t":"?"' in (tmp_path / "a.html").read_text(encoding="utf-8").replace("eins?", "?")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows")
def test_the_input_is_read_once(folder, tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    Thread(target=(tmp_path / "pipe").write_text, args=["one\ntwo\nthree\n"], daemon=True).start()
    given = ["--input", str(tmp_path / "pipe"), "--lines", "2", "-o", str(tmp_path / "a.html")]
    done = Thread(target=run, args=[["attention", str(folder), *given]], daemon=True)
    done.start()
    done.join(60)
    assert not done.is_alive() and "for the next ones give --lines 3-4" in caplog.text


def test_a_page_that_cannot_be_written_whole_leaves_the_one_that_was_there(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "page.html").write_bytes(b"old")
    monkeypatch.setattr("mt.files.os.replace", full)
    with pytest.raises(CheckpointError, match=r"page\.html` cannot be written: No space left"):
        write_page(tmp_path / "page.html", "new")
    assert (tmp_path / "page.html").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs names of open files")
def test_only_a_page_that_is_a_file_is_opened_in_a_browser(tmp_path, caplog):
    caplog.set_level("INFO", "mt")
    reading, writing = os.pipe()
    write_page(Path(f"/dev/fd/{writing}"), "page")
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "page" and not caplog.records
    write_page(tmp_path / "page.html", "page")
    assert caplog.messages == [f"open {tmp_path / 'page.html'} in a browser"]
