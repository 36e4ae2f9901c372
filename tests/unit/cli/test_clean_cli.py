"""`mt clean`: every pair is written once, kept or removed, and what is kept trains."""

import json
from pathlib import Path
from unicodedata import normalize

import pytest

from mt.cli.clean import RULES, parse, run
from mt.cli.main import main, run_verb
from mt.data.clean.rules import REASONS
from mt.data.corpus.readers import read_pairs
from mt.errors import CheckpointError, ConfigError, DataError

EN = "She has been waiting for the bus since this morning."
DE = "Sie wartet seit heute Morgen auf den Bus und friert."
ROWS = [
    ("A good one.", "Ein guter Satz."),
    (DE, EN),
    ("A good one.", "Ein guter Satz."),
    ("Taxi!", "taxi"),
    ("No translation.", ""),
    (EN, "Она с самого утра стоит на остановке и ждёт автобус."),
    ("It was in 1998.", "Das war 1989."),
    ("A <b>bold</b> word.", "Ein fettes Wort."),
    ("Known!", "Bekannt."),
    ("Short.", "Kurz" * 40),
    ("A last one.", "Ein\u2028letzter."),
]
BY_LINE = {
    2: "swapped",
    3: "duplicate",
    4: "copy",
    5: "empty",
    6: "language",
    7: "numbers",
    8: "markup",
    9: "held",
    10: "ratio",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in {"a": ROWS, "held": [("known", "something else")]}.items():
        Path(f"{name}.en").write_text("".join(f"{src}\n" for src, _ in rows))
        Path(f"{name}.de").write_text("".join(f"{tgt}\n" for _, tgt in rows))


def removed(folder="out"):
    return [json.loads(line) for line in Path(folder, "removed.jsonl").read_text().split("\n")[:-1]]


def kept(folder="out"):
    return [(pair.src, pair.tgt) for pair in read_pairs([f"{folder}/train.en", f"{folder}/train.de"], "en", "de")]


def test_every_pair_is_kept_or_removed_with_its_reason_and_place(capsys):
    assert run(["a.en", "a.de", "--drop", *RULES, "--held", "held.en", "held.de", "--out", "out"]) == 0
    assert kept() == [ROWS[0], ROWS[-1]]
    assert {record["line"]: record["reason"] for record in removed()} == BY_LINE
    assert {*BY_LINE.values()} == {*REASONS} - {"too_long"}
    assert [(record["src"], record["tgt"]) for record in removed()] == ROWS[1:-1]
    assert {record["file"] for record in removed()} == {"a.en"}
    out = capsys.readouterr().out
    assert out.startswith("11 pairs read, 2 kept\n        1 empty\n        1 too different in length\n")
    assert "        1 with a sentence of the held-out text\n" in out
    assert out.endswith("written: out/train.en, out/train.de, out/removed.jsonl\n")


def test_what_is_not_asked_for_stays(capsys):
    assert run(["a.en", "a.de", "--drop", "--out", "out"]) == 0
    assert [record["reason"] for record in removed()] == ["empty", "ratio"]
    assert run(["a.en", "a.de", "--drop", "--max-ratio", "1000", "--max-chars", "200", "--out", "b"]) == 0
    assert [record["reason"] for record in removed("b")] == ["empty"]


def test_without_a_folder_nothing_is_written(capsys):
    before = sorted(Path().iterdir())
    assert run(["a.en", "a.de"]) == 0
    assert sorted(Path().iterdir()) == before
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "11 pairs read, 5 kept"
    assert out[-1] == "nothing is written; --out FOLDER writes the pairs that are kept"


def test_languages_that_cannot_be_told_are_not_judged(capsys, caplog):
    assert run(["a.en", "a.de", "--src", "en", "--tgt", "bm", "--out", "out"]) == 0
    assert [record["reason"] for record in removed()] == ["duplicate", "copy", "empty", "ratio"]
    assert "languages are not judged: bm cannot be told from others" in caplog.text


def test_columns_of_plain_files_are_refused():
    Path("a.en").write_text("one\n")
    Path("a.de").write_text("eins\n")
    with pytest.raises(DataError, match=r"^--columns chooses the columns 2 and 4, but `a\.en` is no table\. hint:"):
        run(["a.en", "a.de", "--columns", "2", "4"])


def test_a_table_is_read_by_its_columns():
    Path("t.tsv").write_text("id\ta\tb\n1\tOne.\tEins.\n2\tTwo.\tZwei.\n")
    assert run(["t.tsv", "--src", "en", "--tgt", "de", "--columns", "a", "b", "--out", "out"]) == 0
    assert kept() == [("One.", "Eins."), ("Two.", "Zwei.")]


def test_both_sides_may_be_in_one_language(capsys):
    Path("t.tsv").write_text("source\ttarget\nA long text.\tA text.\n")
    assert run(["t.tsv", "--src", "en", "--tgt", "en", "--out", "out"]) == 0
    assert Path("out/train.src").read_text() == "A long text.\n"
    assert Path("out/train.tgt").read_text() == "A text.\n"
    assert capsys.readouterr().out.endswith("written: out/train.src, out/train.tgt, out/removed.jsonl\n")


@pytest.mark.parametrize(
    ("argv", "error", "message"),
    [
        (["x", "y"], DataError, "`x` does not exist"),
        (["a.en"], DataError, "`a.en` has no partner"),
        (["a.en", "a.de", "--src", "de", "--tgt", "en"], DataError, "say en to de, but --src and --tgt say de to en"),
        (["a.en", "a.de", "--held", "held.de", "held.en"], DataError, "but the pairs to clean go from en to de"),
        (["a.en", "a.de", "--src", "Englisch"], ConfigError, "--src must be a language code"),
        (["a.en", "a.de", "--drop", "bad"], ConfigError, "numbers, markup, but is bad"),
        (["a.en", "a.de", "--max-ratio", "0.5"], ConfigError, "must be a number of at least 1, but is 0.5"),
        (["a.en", "a.de", "--out", "."], ConfigError, "`.` already exists. hint: name a new folder"),
        (["a.en", "a.de", "--out", "a.en/b"], ConfigError, "`a.en/b` cannot be created, because `a.en` is a file"),
        (["same.txt", "other.txt"], ConfigError, "do not say which languages these are. hint: give --src and --tgt"),
    ],
)  # fmt: skip
def test_refusals(argv, error, message):
    Path("same.txt").write_text("a\n")
    Path("other.txt").write_text("b\n")
    with pytest.raises(error, match=message.replace("(", r"\(")):
        run(argv)


def test_a_corpus_of_which_nothing_is_left_leaves_no_folder():
    Path("e.en").write_text("a\n")
    Path("e.de").write_text("\n")
    with pytest.raises(DataError, match="no pair is left of 1 pair; nothing is written"):
        run(["e.en", "e.de", "--out", "out"])
    assert not Path("out").exists()


def test_a_full_disk_is_one_sentence(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mt.cli.clean.write", full)
    with pytest.raises(CheckpointError, match="`out` cannot be written: No space left on device"):
        run(["a.en", "a.de", "--out", "out"])
    assert not Path("out").exists()


def test_every_rule_has_its_line_of_help():
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert all(f"\n  {rule} " in parse.__globals__["EPILOG"] for rule in RULES)


UNIT = '<tu><tuv xml:lang="{}"><seg>a</seg></tuv></tu>'
MEMORY = f"<tmx>{UNIT.format('fr')}{UNIT.format('es')}{UNIT.format('it')}</tmx>"
SIMPLER = "put source and target alone, in this order, in a file of two columns."


def test_hints_name_options_of_this_verb(capsys):
    Path("h.tsv").write_text("source text\ttarget text\none\teins\n")
    Path("r.tsv").write_text("target text\tsource text\neins\tone\n")
    Path("m.tmx").write_text(MEMORY)
    Path("one.tmx").write_text('<tmx><tu><tuv xml:lang="fr"><seg>un</seg></tuv></tu></tmx>')
    Path("fr.po").write_text('msgid ""\nmsgstr "Language: fr\\n"\n\nmsgid "one"\nmsgstr "un"\n')
    Path("c.tsv").write_text("1\ta\tb\tc\n2\td\te\tf\n")
    Path("opus").mkdir()
    for argv, hint in {
        ("clean", "r.tsv"): "if the header is right, write `--columns 'source text' 'target text'`.",
        ("clean", "m.tmx"): "name two of them with `--src` and `--tgt`.",
        ("clean", "one.tmx"): "give a file with text in both languages.",
        ("clean", "fr.po"): "write `--tgt fr`.",
        ("clean", "c.tsv"): "name them, as in `--columns 2 4`.",
        ("clean", "opus"): "name its two files in place of it, source first.",
        ("evaluate", "--hypotheses", "a.de", "--test", "c.tsv"): SIMPLER,
        ("evaluate", "--hypotheses", "a.de", "--test", "m.tmx", "--tgt", "de"): SIMPLER,
    }.items():
        languages = ["--src", "en", "--tgt", "de"] if argv[0] == "clean" else []
        assert main([*argv, *languages]) == DataError.exit_code
        assert capsys.readouterr().err.endswith(f"hint: {hint}\n")
    assert run(["h.tsv", "--src", "en", "--tgt", "de", "--columns", "source text", "target text"]) == 0
    assert run(["fr.po", "--src", "en", "--tgt", "fr"]) == 0


def test_settings_stay_in_the_hints_of_training():
    Path("m.tmx").write_text(MEMORY)
    argv = ["data.train=[m.tmx]", "data.src=en", "data.tgt=de", "run.dry_run=true"]
    with pytest.raises(DataError, match=r"name two of them with `data\.src` and `data\.tgt`") as told:
        run_verb("train", argv)
    assert told.value.__cause__ is not told.value


def test_letters_that_are_spelt_in_two_ways_are_named_and_stay(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    letters = "àâèéêîô"
    Path("a.de").write_text("Das ist ein Satz.\nUnd noch ein Satz.\n")
    Path("a.fr").write_text(f"phrase {letters}\nune phrase {normalize('NFD', letters)}\n")
    assert run(["a.de", "a.fr", "--out", "out"]) == 0
    assert len(caplog.messages) == 6 and caplog.messages[-1] == "and 2 other spellings of letters of the target side"
    assert "1 target line with e\u0301 (U+0065 U+0301), elsewhere é (U+00E9); the first is a.de:2" in caplog.messages
    assert Path("out/train.fr").read_text() == Path("a.fr").read_text()
