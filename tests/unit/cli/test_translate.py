"""`mt translate`: lines in, lines out, and what its options take."""

import gzip
import io
import json
import os
import shlex
from types import SimpleNamespace

import pytest

from mt.cli import translate as module
from mt.cli.search_options import check_prefixes
from mt.cli.translate import parse, run
from mt.decode.translation import Translation
from mt.errors import CheckpointError, ConfigError, DataError
from mt.text.lines import MAX_LINE


class Shouter:
    """Translates by shouting; the last of the n best is the loudest."""

    section = SimpleNamespace(beam=5, groups=1)
    reader = None

    def __init__(self) -> None:
        self.calls = []

    def options(self, first_text, on_progress, **given):
        assert first_text == sum(len(texts) for texts, _ in self.calls)
        return SimpleNamespace(**{name: value for name, value in given.items() if value is not None})

    def answer(self, texts, options):
        self.calls.append((list(texts), vars(options)))
        return [
            [Translation(text.upper() + "!" * n, -1.0 - n, -2.0, [text], [-2.0], True) for n in range(options.nbest)]
            if text.strip() else [Translation("", 0.0, 0.0, [], [], True)]
            for text in texts
        ]  # fmt: skip


@pytest.fixture
def shout(monkeypatch, tmp_path):
    """Runs the command with a fake model: `shout(stdin, *argv)` gives what stdout got."""
    monkeypatch.chdir(tmp_path)
    translator = Shouter()
    monkeypatch.setattr("mt.decode.load.load", lambda *args, **settings: translator)
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("en", "de"))
    monkeypatch.setattr("mt.compute.device.set_up_cpu", lambda threads: None)

    def call(stdin: bytes, *argv: str) -> bytes:
        out = io.BytesIO()
        monkeypatch.setattr(module.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: False))
        monkeypatch.setattr(module.sys, "stdout", SimpleNamespace(buffer=out, isatty=lambda: False))
        assert run(["model", *argv]) == 0
        return out.getvalue()

    call.translator = translator
    return call


@pytest.mark.parametrize(
    ("given", "out"),
    [
        (b"a\nb\n", b"A\nB\n"), (b"a\nb", b"A\nB"), (b"", b""), (b"\n", b"\n"), (b"\n\n", b"\n\n"),
        (b"a\n\nb\n", b"A\n\nB\n"),
        (b"a\r\nb\r\n", b"A\r\nB\r\n"), (b"a\r", b"A\r"), (b"\r\n", b"\r\n"), (b"  \n", b"\n"),
        ("a\u2028b\n".encode(), "A\u2028B\n".encode()), ("a\x85\x0bb\n".encode(), "A\x85\x0bB\n".encode()),
        (b"\xef\xbb\xbfa\n", b"A\n"),
    ],
)  # fmt: skip
def test_lines_end_as_they_came(shout, given, out):
    assert shout(given) == out


def test_a_translation_with_line_ends_is_still_one_line(shout, monkeypatch):
    broken = [[Translation("a\nb\rc", 0.0, 0.0, [], [], True)]]
    monkeypatch.setattr(shout.translator, "answer", lambda texts, options: broken)
    assert shout(b"x\n") == b"a b c\n"


def test_many_lines_are_translated_in_chunks_and_stay_in_order(shout, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    assert shout(b"".join(b"%d\n" % n for n in range(8))) == b"".join(b"%d\n" % n for n in range(8))
    assert [len(texts) for texts, _ in shout.translator.calls] == [3, 3, 2]


def test_text_in_the_place_of_the_model_is_told_where_to_go(shout, monkeypatch, tmp_path):
    def load(path, **settings):
        raise CheckpointError("there is no such thing.")

    monkeypatch.setattr("mt.decode.load.load", load)
    with pytest.raises(
        CheckpointError,
        match=r"^there is no such thing\. hint: Text to translate is read from stdin, or from a file with `-i",
    ):
        run(["Good morning."])
    (tmp_path / "model").mkdir()
    with pytest.raises(CheckpointError, match=r"^there is no such thing\.$"):
        run(["model"])


def test_a_person_gets_each_line_at_once(shout, monkeypatch, capsys):
    out = io.BytesIO()
    monkeypatch.setattr(module.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb\n"), isatty=lambda: True))
    monkeypatch.setattr(module.sys, "stdout", SimpleNamespace(buffer=out, isatty=lambda: False))
    run(["model"])
    assert [texts for texts, _ in shout.translator.calls] == [["a"], ["b"]]
    assert capsys.readouterr().err == "type a line to translate; press Ctrl-D to end\n"


def test_a_person_who_types_a_bad_line_is_told_so_and_goes_on(shout, monkeypatch, caplog):
    out, typed = io.BytesIO(), io.BytesIO(b"a\n\xe9\nb\n")
    monkeypatch.setattr(module.sys, "stdin", SimpleNamespace(buffer=typed, isatty=lambda: True))
    monkeypatch.setattr(module.sys, "stdout", SimpleNamespace(buffer=out, isatty=lambda: False))
    assert run(["model"]) == 0
    assert out.getvalue() == b"A\n\nB\n"
    said = "stdin:2: byte 1 (0xe9) is not UTF-8. The line is left empty; type the next one."
    assert caplog.messages == [said]


def test_several_translations_come_as_json(shout):
    rows = [json.loads(line) for line in shout("ä\r\n\n".encode(), "--nbest", "3").decode().split("\n")[:-1]]
    assert [row["source"] for row in rows] == ["ä", ""]
    assert [t["text"] for t in rows[0]["translations"]] == ["Ä", "Ä!", "Ä!!"]
    assert rows[0]["translations"][0] == {
        "text": "Ä", "score": -1.0, "log_prob": -2.0, "pieces": ["ä"], "piece_log_probs": [-2.0], "finished": True
    }  # fmt: skip
    assert len(rows[1]["translations"]) == 1
    shout.translator.calls.clear()
    assert json.loads(shout(b"a\n", "--jsonl"))["translations"][0]["text"] == "A"


def test_records_are_no_lines_for_a_model_of_text(shout, tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    with pytest.raises(
        ConfigError, match=r"a\.jsonl` holds both sides of pairs, not lines to translate\. hint: `mt cl"
    ):
        shout(b"", "-i", str(tmp_path / "a.jsonl"))


def test_options_reach_the_search(shout):
    options = []
    for argv in (["--beam", "2", "--length-penalty", "0"], ["--nbest", "7"], ["--groups", "3", "--nbest", "7"], []):
        shout.translator.calls.clear()
        shout(b"a\n", *argv)
        options.append(shout.translator.calls[0][1])
    assert options == [
        {"beam": 2, "nbest": 1, "length_penalty": 0.0},
        {"beam": 7, "nbest": 7},
        {"beam": 9, "groups": 3, "nbest": 7},
        {"beam": 5, "nbest": 1},
    ]


def test_every_option_of_the_search_reaches_it(shout):
    shout(
        b"a\n", "--beam", "6", "--groups", "3", "--diversity", "0.2", "--length-norm", "gnmt", "--min-length", "2",
        "--max-length", "9", "--min-ratio", "0.5", "--max-ratio", "1.5", "--no-repeat-ngram", "3", "--unknown", "ban",
        "--split", "always", "--patience", "1.5",
    )  # fmt: skip
    [(_, options)] = shout.translator.calls
    assert options == {
        "beam": 6, "nbest": 1, "groups": 3, "diversity": 0.2, "length_norm": "gnmt", "min_length": 2, "max_length": 9,
        "min_ratio": 0.5, "max_ratio": 1.5, "no_repeat_ngram": 3, "unknown": "ban", "split": "always",
        "patience": 1.5,
    }  # fmt: skip


def test_a_glossary_is_read_once(shout, tmp_path):
    (tmp_path / "g.tsv").write_text("house\tHaus\n")
    shout(b"a\n", "--glossary", "g.tsv")
    [(_, options)] = shout.translator.calls
    assert [entry.where for entry in options["glossary"].constraints("a house").required] == ["g.tsv:1"]
    (tmp_path / "g.tsv").write_text("house\n")
    with pytest.raises(DataError, match=r"^g\.tsv:1: an entry must be a source term, a tab and a target term"):
        shout(b"a\n", "--glossary", "g.tsv")
    with pytest.raises(DataError, match=r"`no\.tsv` does not exist"):
        shout(b"a\n", "--glossary", "no.tsv")


@pytest.mark.parametrize("way", [["--sample"], ["--mbr", "chrf"]])
def test_samples_take_a_glossary_only_to_ban(tmp_path, way):
    (tmp_path / "g.tsv").write_text("house\t!Bude\n*\t!okay\n")
    assert parse(["model", "--glossary", str(tmp_path / "g.tsv"), *way]).terms.always
    (tmp_path / "g.tsv").write_text("*\t!okay\nhouse\tHaus\n")
    with pytest.raises(ConfigError) as refused:
        parse(["model", "--glossary", str(tmp_path / "g.tsv"), *way])
    assert str(refused.value) == (
        "sampling cannot enforce the terms of --glossary; leave one of the two out. hint: `mt translate --help` lists "
        "the options."
    )


def test_a_prefix_is_for_all_lines_or_each_has_its_own(shout, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "CHUNK", 2)
    shout(b"a\nb\nc\n", "--prefix", "So ")
    assert [options["prefixes"] for _, options in shout.translator.calls] == [["So ", "So "], ["So "]]
    shout.translator.calls.clear()
    shout(b"a\n", "--prefix", "x" * 5000)  # as no file can be named
    shout.translator.calls.clear()
    (tmp_path / "p.txt").write_text("x\n\nz\n")
    shout(b"a\nb\nc\n", "--prefix", "@p.txt")
    assert [options["prefixes"] for _, options in shout.translator.calls] == [["x", ""], ["z"]]
    shout.translator.calls.clear()
    with pytest.raises(DataError, match=r"`no\.txt` does not exist"):
        shout(b"a\n", "--prefix", "@no.txt")


def test_a_prefix_that_is_also_the_name_of_a_file_is_told_of(shout, caplog, tmp_path):
    (tmp_path / "my p.txt").write_text("So")
    shout(b"a\n", "--prefix", "my p.txt")
    assert caplog.messages == [
        "every translation begins with the text 'my p.txt', which is also the name of a file; `--prefix '@my p.txt'` "
        "reads the prefixes from it"
    ]
    assert shout.translator.calls.pop()[1]["prefixes"] == ["my p.txt"]
    shout(b"a\n", *shlex.split(caplog.messages[0].split("`")[1]))
    assert shout.translator.calls.pop()[1]["prefixes"] == ["So"] and len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("text", "out", "sentence"),
    [
        (b"a\nb\nc\nd\n", b"A\nB\nC\n", "`p.txt` has 3 lines, but the text has more;"),
        (b"a\nb\nc\nd\ne\nf\n", b"A\nB\nC\n", "`p.txt` has 3 lines, but the text has more;"),
        (b"a\nb\n", b"A\nB\n", "`p.txt` has more lines than the text, which has 2 lines;"),
        (b"a", b"A", "`p.txt` has more lines than the text, which has 1 line;"),
        (b"", b"", "`p.txt` has more lines than the text, which has 0 lines;"),
    ],
)
@pytest.mark.parametrize("chunk", [2, 100])
def test_what_is_piped_is_translated_as_far_as_prefixes_go(shout, monkeypatch, tmp_path, chunk, text, out, sentence):
    monkeypatch.setattr(module, "CHUNK", chunk)
    (tmp_path / "p.txt").write_text("x\n\nz\n")
    with pytest.raises(DataError) as refused:
        shout(text, "--prefix", "@p.txt", "-o", "out.txt")
    assert str(refused.value) == f"{sentence} --prefix needs one line for each line of the text."
    assert (tmp_path / "out.txt").read_bytes() == out


@pytest.mark.parametrize("lines", [2, 4])
def test_a_file_that_does_not_fit_its_prefixes_is_refused_before_anything_is_translated(shout, tmp_path, lines):
    (tmp_path / "p.txt").write_text("x\n\nz\n")
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"a\n" * lines))
    (tmp_path / "out.txt").write_bytes(b"of yesterday")
    with pytest.raises(DataError) as refused:
        shout(b"", "--prefix", "@p.txt", "-i", "in.gz", "-o", "out.txt")
    assert str(refused.value) == (
        f"`p.txt` has 3 lines, but `in.gz` has {lines}; --prefix needs one line for each line of the text."
    )
    assert shout.translator.calls == []
    assert (tmp_path / "out.txt").read_bytes() == b"of yesterday"
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"a\n" * 3))
    assert shout(b"", "--prefix", "@p.txt", "-i", "in.gz") == b"A\nA\nA\n"


@pytest.mark.parametrize("text", ["pipe", "/dev/stdin", None])
def test_what_may_be_a_pipe_is_not_read_to_be_counted(tmp_path, text):
    (tmp_path / "p.txt").write_text("x\n")
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    check_prefixes(str(tmp_path / "p.txt"), str(tmp_path / text) if text == "pipe" else text)


def test_what_came_before_a_bad_line_is_translated(shout, tmp_path):
    with pytest.raises(DataError, match=r"^stdin:3: NUL"):
        shout(b"a\nb\n\0\nd\n", "-o", "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == b"A\nB\n"


def test_the_file_on_stdin_is_not_written_over(shout, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"a\n")
    before = os.dup(0)
    try:
        with (tmp_path / "in.txt").open("rb") as file:
            os.dup2(file.fileno(), 0)
        with pytest.raises(ConfigError, match=r"^`--output in\.txt` is also an input file. hint: name another file\.$"):
            shout(b"a\n", "-o", "in.txt")
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert (tmp_path / "in.txt").read_bytes() == b"a\n"


def test_files_in_and_out(shout, tmp_path):
    (tmp_path / "in.gz").write_bytes(gzip.compress(b"a\r\nb"))
    assert shout(b"", "-i", "in.gz", "-o", "out.txt") == b""
    assert (tmp_path / "out.txt").read_bytes() == b"A\r\nB"


@pytest.mark.parametrize("argv", [["-i", "-"], ["--input=-"], ["-o", "-"], ["--input", "-", "--output", "-"]])
def test_a_dash_is_stdin_and_stdout(shout, tmp_path, argv):
    assert shout(b"a\nb\n", *argv) == b"A\nB\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "kind", "sentence"),
    [
        (["-i", "no.txt"], DataError, "`no.txt` does not exist"),
        (["-i", "bad.gz"], DataError, r"`bad.gz` is damaged or cut short after line [1-9]"),
        (["-i", "bad.txt"], DataError, r"^bad.txt:2: byte 1 \(0xff\) is not UTF-8"),
        (
            ["-i", "in.txt", "-o", "in.txt"],
            ConfigError,
            "^`--output in.txt` is also an input file. hint: name another file",
        ),
        (["--glossary", "terms.tsv", "-o", "terms.tsv"], ConfigError, "^`--output terms.tsv` is also an input file"),
        (["--prefix", "@in.txt", "-o", "in.txt"], ConfigError, "^`--output in.txt` is also an input file"),
        (
            ["-i", "in.txt", "-o", "no/out.txt"],
            ConfigError,
            "^`--output no/out.txt` cannot be written: there is no f",
        ),
    ],
)
def test_files_that_do_not_do(shout, tmp_path, argv, kind, sentence):
    (tmp_path / "in.txt").write_bytes(b"a\n")
    (tmp_path / "terms.tsv").write_bytes(b"a\tb\n")
    (tmp_path / "bad.txt").write_bytes(b"a\n\xff\n")
    (tmp_path / "bad.gz").write_bytes(gzip.compress(b"".join(b"%d\n" % n for n in range(99999)))[:-12])
    with pytest.raises(kind, match=sentence):
        shout(b"", *argv)
    assert (tmp_path / "in.txt").read_bytes() == b"a\n"


def test_a_file_in_the_other_language_is_refused(shout, tmp_path):
    for name in ("news.de.gz", "news.en", "news.fr", "news.txt"):
        (tmp_path / name).write_bytes(gzip.compress(b"a\n") if name.endswith("gz") else b"a\n")
    says = r"^the name of news\.de\.gz says that it is in de, but the source of this model is in en. hint: give the"
    with pytest.raises(DataError, match=says):
        shout(b"", "-i", "news.de.gz")
    for name in ("news.en", "news.fr", "news.txt"):
        shout.translator.calls.clear()
        assert shout(b"", "-i", name) == b"A\n"


def test_an_old_output_stays_where_the_options_are_wrong(shout, tmp_path):
    (tmp_path / "out.txt").write_bytes(b"of yesterday")
    (tmp_path / "terms.tsv").write_bytes(b"no tab\n")
    with pytest.raises(DataError, match=r"terms\.tsv:1"):
        shout(b"a\n", "-o", "out.txt", "--glossary", "terms.tsv")
    assert (tmp_path / "out.txt").read_bytes() == b"of yesterday"


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (b"a\n\xff\n", r"^stdin:2: byte 1"),
        (b"a\0b\n", "^stdin:1: NUL"),
        (b"x" * (MAX_LINE + 5), "^stdin:1: the line is longer"),
    ],
)
def test_bytes_that_are_no_text_are_named(shout, stdin, sentence):
    with pytest.raises(DataError, match=sentence):
        shout(stdin)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--beam", "0"], "argument --beam: must be a whole number from 1 to 1,000, but is 0"),
        (["--beam", "two"], "but is two"), (["--nbest", "1.5"], "but is 1.5"), (["--nbest", "-1"], "argument --nbest"),
        (["--beam", "2", "--nbest", "3"], "--nbest 3 needs a beam at least as wide, but --beam is 2"),
        (["--length-penalty=-1"], "must be a number of at least 0 and at most 50, but is -1"),
        (["--patience", "0"], "must be a number above 0, or inf, but is 0"),
        (["--length-penalty", "nan"], "but is nan"), (["--length-penalty", "inf"], "but is inf"),
        (["--bean", "2"], "unrecognized arguments: --bean. hint: did you mean `--beam`?"),
        (["--precision", "fp8"], "fp16, int8, but is fp8"), (["--split", "yes"], "never, always, but is yes"),
        (["--min-length", "-1"], "argument --min-length"),
        (["--min-length=x"], "of at least 0 and at most 100,000, but is x"),
        (["--beam", "5", "--groups", "2"], "--groups 2 must divide the beam, but --beam is 5"),
        (["--groups", "1", "--diversity", "2"], "--diversity has no effect with --groups 1; give"),
        (["--beam", "1001"], "argument --beam: must be a whole number from 1 to 1,000, but is 1001."),
        (["--nbest", "5000"], "argument --nbest: must be a whole number from 1 to 1,000, but is 5000."),
        (["--sample", "--samples", "9999"], "argument --samples: must be a whole number from 1 to 1,000, but is 9999."),
        (["--prefix", "@"], "--prefix @ needs the name of a file after the @"),
        (["--groups", "5", "--glossary", "g"], "--glossary cannot be combined with --groups; leave one of the two out"),
    ],
)  # fmt: skip
def test_options_that_do_not_do(argv, sentence):
    with pytest.raises(ConfigError) as refused:
        parse(argv)
    assert sentence in str(refused.value)
    assert refused.value.hint in {"did you mean `--beam`?", "`mt translate --help` lists the options."}


def test_no_length_penalty_is_a_length_penalty():
    assert parse(["--length-penalty", "0"]).length_penalty == 0.0 and parse([]).length_penalty is None
