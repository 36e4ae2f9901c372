"""Translate a set, score it, write it down."""

import json
from pathlib import Path
from unicodedata import normalize

import pytest

from mt.errors import CheckpointError, DataError
from mt.evaluate import Report, evaluate, judge, one_line


def test_what_is_translated_is_what_is_scored_and_kept(tmp_path):
    sources, references = ["a b", "c d"], ["A B C D", "E F G H"]
    found = evaluate("test", lambda texts: references, sources, references, tgt="de", bootstrap=0)
    assert (found.sources, found.references, found.hypotheses) == (sources, references, references)
    assert [score.value for score in found.scores] == [pytest.approx(100), pytest.approx(100), 0]
    assert found.seconds is not None and found.seconds >= 0
    path = found.write(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["name"], told["sentences"], told["seconds"]) == ("test", 2, found.seconds)
    assert [score["name"] for score in told["scores"]] == ["BLEU", "chrF++", "TER"]
    assert (tmp_path / "eval/test.hyp.txt").read_text() == "A B C D\nE F G H\n"


def test_a_translation_with_line_ends_is_one_line_in_the_file_and_in_the_score(tmp_path):
    found = evaluate("x", lambda texts: ["a\nb", "c\r\nd\u2028e"], ["1", "2"], ["a b", "c d"], tgt=None, bootstrap=0)
    assert found.hypotheses == ["a b", "c  d\u2028e"]
    found.write(tmp_path)
    assert (tmp_path / "x.hyp.txt").read_bytes().count(b"\n") == 2
    assert one_line("a\rb\n") == "a b "


def test_samples_are_safe_to_print():
    texts = ["\x1b[2Jcat\x07", "photo.png\tA cat."]
    said = Report("x", texts, ["Katze"] * 2, texts, [], None).samples(2)
    assert said.split("\n")[:3] == [
        r"  source       \x1b[2Jcat\x07", r"  translation  \x1b[2Jcat\x07", "  reference    Katze"
    ]  # fmt: skip
    assert said.split("\n")[4].split() == ["source", "photo.png", "A", "cat."]


def test_letters_in_another_unicode_form_are_told(caplog):
    composed = ["Việt Nam đẹp lắm"] * 3
    apart = [normalize("NFD", line) for line in composed]
    for said, references, told in (
        (composed, apart, "3 of 3 references are not in the Unicode form NFC, in which each translation is: the same"),
        (apart, composed, "3 of 3 translations are not in the Unicode form NFC, in which each reference is: the same"),
        (apart, apart, ""), (composed, composed, ""),
    ):  # fmt: skip
        caplog.clear()
        score = judge("x", composed, said, references, tgt="vi", bootstrap=0).scores[0].value
        assert caplog.text.count("NFC") == bool(told) and told in caplog.text and (score < 50) == bool(told)


@pytest.mark.parametrize(
    ("said", "references", "told"),
    [
        (["the dog", "a cat"], ["एक कुत्ता", "बिल्ली"], "in Latin script, but the references are in Devanagari: they"),
        (["der Hund", "犬"], ["犬が寝る", "ネコ"], ""),  # half of them may be right
        (["犬が寝る"], ["Ein Hund"], "in Han or Hiragana or Katakana script, but the references are in Latin:"),
        (["ネコ"], ["猫"], ""),
        (["", "12"], ["एक कुत्ता", "बिल्ली"], ""),
    ],
)
def test_translations_in_another_script_than_the_references_are_told(said, references, told, caplog):
    judge("x", [""] * len(said), said, references, tgt="hi", bootstrap=0)
    assert caplog.text.count("script") == bool(told) and told in caplog.text


def test_the_language_decides_how_words_are_split():
    signatures = [
        judge("x", [""], ["我们"], ["我们"], tgt=tgt, bootstrap=0).scores[0].signature for tgt in ("zh", "de", None)
    ]
    assert ["tok:zh" in signatures[0], "tok:13a" in signatures[1], "tok:13a" in signatures[2]] == [True] * 3


def test_given_translations_have_no_time_and_must_match():
    assert judge("x", ["s"], ["h"], ["r"], tgt=None, bootstrap=0).seconds is None
    with pytest.raises(DataError, match="1 hypotheses and 2 references"):
        judge("x", ["s", "s"], ["h"], ["r", "r"], tgt=None)


def test_the_table_has_a_line_for_each_score_with_its_interval():
    texts = [f"the number {n} is a number" for n in range(12)]
    table = judge("x", texts, texts, texts, tgt="en", bootstrap=50).table().split("\n")
    assert [line.split(" = ")[0] for line in table] == ["BLEU", "chrF++", "TER"]
    assert all("±" in line and "nrefs:1" in line for line in table)


@pytest.mark.parametrize(("size", "number", "shown"), [(10, 2, ["2", "7"]), (3, 5, ["0", "1", "2"]), (1, 5, ["0"])])
def test_samples_are_spread_over_the_set(size, number, shown):
    texts = [str(n) for n in range(size)]
    samples = Report("x", texts, texts, texts, [], None).samples(number).split("\n\n")
    assert [sample.split("\n")[0].split()[-1] for sample in samples] == shown
    assert all(len(sample.split("\n")) == 3 for sample in samples)


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "eval").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"eval/x.hyp.txt` cannot be written: "):
        Report("x", [], [], [], [], None).write(tmp_path / "eval")


def test_scores_that_are_there_stay_whole_when_the_disk_takes_no_new_ones(tmp_path, monkeypatch):
    path = Report("x", [], [], [], [], 1.0).write(tmp_path)
    before, real = path.read_bytes(), Path.open

    def full(file, *args, **kwargs):
        return real(Path("/dev/full") if "json" in file.name and "w" in str(args) else file, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CheckpointError, match=r"x.json` cannot be written: No space left on device"):
        Report("x", [], [], [], [], 2.0).write(tmp_path)
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_numerals_are_counted_where_source_and_reference_have_them():
    sources, references = ["Room 12 on 3 May", "5 dogs", "none"], ["Zimmer 12 am 3. Mai", "fünf Hunde", "keine"]
    report = judge("x", sources, ["Zimmer 12 am 4. Mai", "5 Hunde", "7"], references, tgt="de", bootstrap=0)
    assert report.to_dict()["numerals"] == {"kept": 1, "total": 2, "share": 0.5}
    assert str(report.numerals()) == "numerals kept = 50.0 % (1 of 2)"


def test_a_set_without_numerals_has_no_share_of_them():
    report = judge("x", ["", "five dogs"], ["1", "2"], ["1", "2"], tgt=None, bootstrap=0)
    assert report.numerals() is None and report.to_dict()["numerals"] is None
