"""`mt translate` on documents: which options name one, and what comes back."""

import gzip
import json
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from mt.cli.translate import parse, run
from mt.decode.translation import Translation
from mt.documents.names import UNPACK
from mt.errors import ConfigError, DataError


class Shouter:
    section = SimpleNamespace(beam=5, groups=1)

    def __init__(self):
        self.calls = []

    def require_text(self, what):
        pass  # it does

    def options(self, **given):
        return SimpleNamespace(**{name: value for name, value in given.items() if value is not None})

    def answer(self, texts, options):
        self.calls.append((list(texts), vars(options)))
        return [[Translation(text.upper(), -1.0, -2.0, [text], [-2.0], True)] for text in texts]


@pytest.fixture
def shouter(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = Shouter()
    monkeypatch.setattr("mt.decode.load.load", lambda *args, **settings: found)
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("en", "de"))
    monkeypatch.setattr("mt.compute.device.set_up_cpu", lambda threads: None)
    return found


def names(*argv):
    args = parse(list(argv))
    return args.model and str(args.model), args.document and str(args.document), args.to and str(args.to)


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["m", "a.html", "--to", "b.html"], ("m", "a.html", "b.html")),
        (["a.html", "--to", "b.htm"], (None, "a.html", "b.htm")),
        (["m", "-i", "a.po", "-o", "b.po"], ("m", "a.po", "b.po")),
        (["-i", "a.po", "-o", "b.po"], (None, "a.po", "b.po")),
        (["m", "-i", "a.pot", "--to", "b.po"], ("m", "a.pot", "b.po")),
        (["m", "-i", "a.txt", "--to", "b.txt"], ("m", "a.txt", "b.txt")),
        (["m", "a.md", "-o", "b.md"], ("m", "a.md", "b.md")),
        (["m", "-i", "a.txt", "-o", "b.txt"], ("m", None, None)),  # line by line
        (["m", "-i", "a.en", "-o", "b.de"], ("m", None, None)),
        (["m", "-i", "a.txt.gz", "-o", "b.txt"], ("m", None, None)),
        (["m", "-i", "a.srt.en.gz"], ("m", None, None)),
        (["m"], ("m", None, None)),
    ],
)
def test_what_is_a_document(argv, found):
    assert names(*argv) == found


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["m", "a.html"], r"where is the translation of `a\.html` written\? .*, for example --to a\.translated"),
        (["m", "-i", "a.docx"], r"where is the translation of `a\.docx` written\? .*, for example --to a\.translated"),
        (["m", "-i", "a.xlf"], r"where is the translation of `a\.xlf` written\? .*, for example --to a\.translated"),
        (["m", "-i", "a.srt", "-o", "a.txt"], r"--output a\.txt must end in \.srt, as `a\.srt` does"),
        (["m", "-i", "a.html", "-o", "b.txt"], r"--output b\.txt must end .* same; lines of text are read from stdin"),
        (["m", "-i", "a.html"], r"where is the translation of `a\.html` written\? .*, for example --to a\.translated"),
        (["m", "-i", "a.md"], r"where is the translation of `a\.md` written\? .*, for example --to a\.translated\.md"),
        (["m", "-i", "a.tmx"], r"`a\.tmx` holds both sides of pairs, not lines to translate\. hint: `mt clean a\.tmx "),
        (["m", "a.pdf", "--to", "b.pdf"], r"`a\.pdf` is no document that can be .*; its name must .* or \.epub\. hint"),
        (["m", "-i", "a.tmx.gz"], r"`a\.tmx\.gz` holds both sides of pairs, not lines to translate\. hint: `mt"),
        (["m", "-i", "a.Parquet"], r"`a\.Parquet` holds both sides of pairs, not lines to translate\. hint: `mt"),
        (["m", "some text"], "`some text` is no document .*; text is read from stdin, or from a file with -i FILE"),
        (["--to", "b.html"], r"--to needs a document: mt translate MODEL report\.docx --to report\.es\.docx"),
        (["m", "a.html", "--to", "b.md"], r"--to b\.md must end in \.html, as `a\.html` does"),
        (["m", "a.html", "-i", "c", "--to", "b.html"], "translated to --to FILE; leave --input and --output out"),
        (["m", "a.html", "-o", "c", "--to", "b.html"], "translated to --to FILE; leave --input and --output out"),
        (["m", "a.html", "-i", "-", "--to", "b.html"], "translated to --to FILE; leave --input and --output out"),
        (["m", "-i", "-", "--to", "b.html"], r"`-` is no document that can be translated; its name must end in"),
        (["m", "-i", "a.html", "-o", "-"], r"--output - must end in \.html, as `a\.html` does"),
        (["m", "a.html", "--to", "b.html", "--jsonl"], "--jsonl has no effect on documents"),
        (["m", "a.html", "--to", "b.html", "--prefix", "x"], "--prefix has no effect on documents"),
        (["m", "a.html", "--to", "b.html", "--nbest", "2"], "a document has one translation"),
        (["m", "a.html", "--to", "b.html", "--sample", "--samples", "2"], "a document has one translation"),
        (["m", "a.html", "--to", "b.html", "--keys", "x"], r"--keys has .* \.json documents only, but `a\.html`"),
        (["m", "a.html", "b.html", "--to", "c.html"], r"b\.html\. hint: a command translates one document; a loop"),
        (["m", "a.html", "-x"], r"arguments: -x\. hint: `mt translate --help`"),
        (["m", "--keys", "x"], r"--keys has an effect on \.json documents only; leave it out"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(argv, message):
    with pytest.raises(ConfigError, match=message):
        parse(argv)


@pytest.mark.parametrize("argv", [["m", "{}"], ["m", "{}", "--to", "b.html"], ["m", "-i", "{}", "--to", "b.html"]])
def test_a_folder_is_no_document(tmp_path, argv):
    folder = tmp_path / "pages"
    folder.mkdir()
    told = r"pages` is a folder; a command translates one document\. hint: a loop"
    with pytest.raises(ConfigError, match=told):
        parse([word.format(folder) for word in argv])


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
@pytest.mark.parametrize(
    "argv",
    [["m", "-i", "{}"], ["m", "-i", "{}", "-o", "b.srt"], ["m", "{}", "--to", "b.srt"], ["{}", "--to", "b.srt.gz"]],
)
def test_a_compressed_document_is_refused(tmp_path, monkeypatch, suffix, argv):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"`a b\.srt\.\w+` is a compressed document, and documents are read un"
    ) as error:
        parse([word.format(f"a b.srt{suffix}") for word in argv])
    if shutil.which(program := UNPACK[suffix]):  # what the hint says to type
        (tmp_path / "a b.srt").write_bytes(b"1")
        subprocess.run([program, "a b.srt", *(["--rm"] if program == "zstd" else [])], check=True)
        subprocess.run(["bash", "-c", error.value.hint.split("`")[1]], check=True)
        assert (tmp_path / "a b.srt").read_bytes() == b"1" and (tmp_path / f"a b.srt{suffix}").exists()


def test_a_compressed_text_is_no_document(tmp_path):
    with pytest.raises(ConfigError, match=r"`a\.txt\.gz` is a compressed document"):
        parse(["m", "a.txt.gz", "--to", "b.txt"])


def test_a_document_that_is_compressed_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.srt").write_bytes(gzip.compress(b"1"))
    with pytest.raises(DataError, match=r"`a\.srt`: the document is compressed\. hint: unpack it first") as error:
        run(["no-model", "a.srt", "--to", "b.srt"])
    line = error.value.hint.split("`")[1].replace("OLD", "a.srt").replace("NEW", "c.srt")
    subprocess.run(["bash", "-c", line], check=True)
    assert (tmp_path / "c.srt").read_bytes() == b"1"


def test_a_document_is_translated_in_chunks(shouter, tmp_path, monkeypatch):
    monkeypatch.setattr("mt.cli.translate.CHUNK", 2)
    (tmp_path / "a.md").write_text("# one\n\ntwo\n\nthree\n\n`code`\n")
    assert run(["model", "a.md", "--to", "b.md", "--beam", "7"]) == 0
    assert (tmp_path / "b.md").read_text() == "# ONE\n\nTWO\n\nTHREE\n\n`code`\n"
    assert [texts for texts, _ in shouter.calls] == [["one", "two"], ["three"]]
    assert [given["beam"] for _, given in shouter.calls] == [7, 7]
    assert [given["first_text"] for _, given in shouter.calls] == [0, 2]


def test_what_is_left_out_is_counted_and_told(shouter, tmp_path, capsys):
    entries = ['msgid "a"\nmsgstr ""', '#, fuzzy\nmsgid "b"\nmsgstr "c"', '#, fuzzy, c-format\nmsgid "d"\nmsgstr ""']
    for count, told in (
        (1, ""),
        (2, "`a.po`: 1 fuzzy entry was left as found.\n"),
        (3, "`a.po`: 2 fuzzy entries were "),
    ):
        (tmp_path / "a.po").write_text("\n\n".join([*entries[:count], '#~ msgid "old"\n#~ msgstr "o"\n']))
        assert run(["model", "a.po", "--to", "b.po"]) == 0
        err = capsys.readouterr().err
        assert told in err and ("fuzzy" in err) == (count > 1)
        assert 'msgstr "A"' in (tmp_path / "b.po").read_text()


def test_chosen_keys(shouter, tmp_path):
    (tmp_path / "a.json").write_text('{"id": "x", "title": "y", "body": "z"}')
    assert run(["model", "a.json", "--to", "b.json", "--keys", "title,body"]) == 0
    assert json.loads((tmp_path / "b.json").read_text()) == {"id": "x", "title": "Y", "body": "Z"}


def test_a_document_without_text_needs_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.html").write_text("<p>12</p>")
    assert run(["no-model", "a.html", "--to", "b.html"]) == 0
    assert (tmp_path / "b.html").read_text() == "<p>12</p>"


def test_a_document_in_the_place_of_the_model_is_told_what_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.html").write_text("<p>12</p>")
    with pytest.raises(ConfigError, match=r"^where is the translation of `a\.html` written\? Name a file") as refused:
        run(["a.html"])
    typed = refused.value.message.rstrip(".").partition("for example ")[2]
    assert typed == "--to a.translated.html"
    assert run(["a.html", *typed.split()]) == 0
    assert (tmp_path / "a.translated.html").read_text() == "<p>12</p>"


def test_the_input_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.html").write_text("<p>one</p>")
    for argv in (["a.html", "--to", "a.html"], ["-i", "a.html", "-o", "./a.html"]):
        with pytest.raises(ConfigError, match=r"`--to a\.html` is also an input file"):
            run(["model", *argv])
    with pytest.raises(ConfigError, match="there is no folder `no/such`"):
        run(["model", "a.html", "--to", "no/such/b.html"])
    assert (tmp_path / "a.html").read_text() == "<p>one</p>"


def test_a_link_in_the_place_of_the_output_stays(shouter, tmp_path):
    (tmp_path / "a.md").write_text("One\n")
    for name, to in (("b.md", tmp_path / "real.md"), ("c.md", tmp_path / "c.md")):  # the second leads to itself
        (tmp_path / name).symlink_to(to)
        assert run(["model", "a.md", "--to", name]) == 0
        assert (tmp_path / name).read_text() == "ONE\n"
    assert (tmp_path / "b.md").is_symlink() and (tmp_path / "real.md").read_text() == "ONE\n"


def test_a_file_that_is_replaced_keeps_its_permissions(shouter, tmp_path):
    (tmp_path / "a.md").write_text("One\n")
    (tmp_path / "b.md").touch()
    (tmp_path / "b.md").chmod(0o640)
    assert run(["model", "a.md", "--to", "b.md"]) == 0
    assert (tmp_path / "b.md").read_text() == "ONE\n"
    assert (tmp_path / "b.md").stat().st_mode & 0o777 == 0o640


def test_faults_name_the_file_before_a_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"`a\.json` does not exist"):
        run(["no-model", "a.json", "--to", "b.json"])
    (tmp_path / "a.json").write_text('{"a": }')
    with pytest.raises(DataError, match=r"`a\.json`: line 1, column 7: this is not JSON"):
        run(["no-model", "a.json", "--to", "b.json"])
    (tmp_path / "c.md").mkdir()
    with pytest.raises(DataError, match=r"`c\.md` cannot be read"):
        run(["no-model", "c.md", "--to", "d.md"])


def test_a_name_in_the_other_language(shouter, tmp_path):
    (tmp_path / "a.de.md").write_text("eins")
    with pytest.raises(
        DataError, match=r"^the name of a\.de\.md says that it is in de, but the .* model is in en"
    ) as no:
        run(["model", "a.de.md", "--to", "b.md"])
    assert no.value.hint == "give the other file, or a model of the other direction, or rename it if it is in en."
    assert not (tmp_path / "b.md").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("de.po", 'msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "one"\nmsgstr ""\n'),
        ("app.de.pot", 'msgid "one"\nmsgstr ""\n'),
        ("messages.de.xlf", '<xliff version="1.2"><trans-unit id="1"><source>one</source></trans-unit></xliff>'),
        ("de.html", '<html lang="en">one</html>'),  # the page knows better
    ],
)
def test_a_name_with_the_language_of_the_translations(shouter, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert run(["model", name, "--to", f"new.{name}"]) == 0
    assert "ONE" in (tmp_path / f"new.{name}").read_text()


XLIFF = '<xliff version="1.2"><file {}><trans-unit id="1"><source>one</source></trans-unit></file></xliff>'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.xlf", XLIFF.format('source-language="en-GB" target-language="de-AT"'), []),
        ("a.xlf", XLIFF.format(""), []),
        (
            "a.xlf",
            XLIFF.format('source-language="fr"'),
            ["`a.xlf` says that its text is in fr, but this model translates from en."],
        ),
        (
            "a.po",
            'msgid ""\nmsgstr "Language: fr\\n"\n\nmsgid "one"\nmsgstr ""\n',
            ["`a.po` names fr as the language of its translations, but this model translates into de; "],
        ),
        ("a.html", '<html lang="en-GB"><p>one</p></html>', []),
        ("a.html", "<p lang=fr>one</p>", []),
        ("a.html", "<html lang=fr>one</html>", ["`a.html` says that its text is in fr, but this model translates "]),
        ("a.xhtml", '<html xml:lang="fr">one</html>', ["`a.xhtml` says that its text is in fr, but this model "]),
    ],
)
def test_other_languages_than_a_document_names(shouter, tmp_path, caplog, name, text, told):
    (tmp_path / name).write_text(text)
    assert run(["model", name, "--to", f"b.{name}"]) == 0
    assert "ONE" in (tmp_path / f"b.{name}").read_text()
    assert len(caplog.messages) == len(told) and all(map(str.startswith, caplog.messages, told))


def test_a_page_names_the_language_of_its_translation(shouter, tmp_path, monkeypatch):
    page = '<html lang="en-US"><p lang="en">one</p></html>'
    (tmp_path / "a.html").write_text(page)
    assert run(["model", "a.html", "--to", "b.html"]) == 0
    assert (tmp_path / "b.html").read_text() == '<html lang="de"><p lang="en">ONE</p></html>'
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("src", "tgt"))  # not known
    assert run(["model", "a.html", "--to", "b.html"]) == 0
    assert (tmp_path / "b.html").read_text() == page.replace("one", "ONE")
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("de", "en"))
    with pytest.raises(DataError, match=r"^`a\.html` says that its text is in en-US, but .* this model is in de\."):
        run(["model", "a.html", "--to", "b.html"])
    (tmp_path / "a.html").write_text(page.replace('"en-US"', '"de"'))  # as the hint says
    assert run(["model", "a.html", "--to", "b.html"]) == 0


def test_a_document_of_the_other_direction(shouter, tmp_path, monkeypatch):
    (tmp_path / "a.xlf").write_text(XLIFF.format('source-language="de-DE" target-language="en"'))
    with pytest.raises(
        DataError, match=r"^`a\.xlf` says that its text is in de-DE, but the source of this model is in en\."
    ) as no:
        run(["model", "a.xlf", "--to", "b.xlf"])
    assert no.value.hint == "give a model of the other direction, or correct the language in the file."
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("de", "en"))
    assert run(["model", "a.xlf", "--to", "b.xlf"]) == 0
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("src", "tgt"))  # not known
    assert run(["model", "a.xlf", "--to", "b.xlf"]) == 0
