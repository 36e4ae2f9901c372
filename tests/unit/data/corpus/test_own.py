"""A corpus from files of one's own."""

import os
import re

import pytest
from toy import number_pairs

from mt.config import DataConfig
from mt.data.corpus.names import corpus_name, name_of
from mt.data.corpus.own import check_files, read_own, warn_of_pipes
from mt.errors import ConfigError, DataError


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate({"train": 100, "dev": 5, "test": 6}.items()):
        pairs = number_pairs(count, seed)
        (tmp_path / f"{name}.en").write_text("".join(f"{p.src}\n" for p in pairs), encoding="utf-8")
        (tmp_path / f"{name}.de").write_text("".join(f"{p.tgt}\n" for p in pairs), encoding="utf-8")
        (tmp_path / f"{name}.tsv").write_text("".join(f"{p.src}\t{p.tgt}\n" for p in pairs), encoding="utf-8")
    return tmp_path


def both(name):
    return [f"{name}.en", f"{name}.de"]


def test_three_sets_are_read_as_they_are(files):
    corpus = read_own(DataConfig(train=both("train"), dev=both("dev"), test=["test.tsv"]))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (100, 5, 6)
    assert [p.src for p in corpus.dev] == [p.src for p in number_pairs(5, 1)]
    assert (corpus.src, corpus.tgt, corpus.name) == ("en", "de", "en-de")


def test_without_a_dev_set_a_tenth_is_held_out_that_training_never_sees(files):
    corpus = read_own(DataConfig(train=both("train")))
    assert len(corpus.dev) == 10 and corpus.test == []
    assert not {p.src for p in corpus.dev} & {p.src for p in corpus.train}
    assert not {p.tgt for p in corpus.dev} & {p.tgt for p in corpus.train}
    assert read_own(DataConfig(train=both("train"))).dev == corpus.dev


@pytest.mark.parametrize(
    ("train", "given", "expected"),
    [(both("train"), {}, ("en", "de")), (["train.tsv"], {}, ("src", "tgt")),
     (["train.tsv"], {"src": "sv", "tgt": "fi"}, ("sv", "fi")), (both("train"), {"tgt": "gsw"}, ("en", "gsw"))],
)  # fmt: skip
def test_languages_are_given_or_told_by_the_names(files, train, given, expected):
    corpus = read_own(DataConfig(train=train, dev=both("dev"), **given))
    assert (corpus.src, corpus.tgt) == expected


@pytest.mark.parametrize("lines", [["one\teins"], ["one\teins", "one\tein", "one\teine"]])
def test_too_little_to_hold_out(files, lines):
    (files / "few.tsv").write_text("\n".join(lines))
    pairs = "1 pair" if len(lines) == 1 else "3 pairs"
    sentence = rf"^few.tsv: no dev set can be held out, because too few of its {pairs} .* set with `data.dev`\.$"
    with pytest.raises(DataError, match=sentence):
        read_own(DataConfig(train=["few.tsv"]))


def test_faults_of_files_come_through(files):
    with pytest.raises(DataError, match=r"has 100 lines, but `dev.de` has 5"):
        read_own(DataConfig(train=["train.en", "dev.de"]))
    with pytest.raises(DataError, match=r"`dve.en` does not exist"):
        read_own(DataConfig(train=both("train"), dev=["dve.en", "dev.de"]))


def test_names_are_checked_before_anything_is_read(files):
    (files / "train.en").write_bytes(b"\xff")
    check_files(DataConfig(train=both("train"), dev=["dev.tsv"], test=["hub:owner/name"]))
    with pytest.raises(DataError, match=r"^`tset.de` does not exist. hint: did you mean `test.de`\?$"):
        read_own(DataConfig(train=both("train"), test=["test.en", "tset.de"]))
    with pytest.raises(DataError, match=r"^`dev.en` has no partner"):
        read_own(DataConfig(train=both("train"), dev=["dev.tsv", "dev.en"]))


def test_columns_are_chosen_only_where_a_file_has_some(files):
    with pytest.raises(
        DataError, match=r"^`data.columns` chooses the columns 2 and 4, but `train.en` is no table\. hint: leave it"
    ):
        read_own(DataConfig(train=both("train"), columns=["2", "4"]))
    check_files(DataConfig(train=both("train"), dev=["dev.tsv"], columns=["2", "4"]))


def test_names_that_say_the_opposite_and_one_file_for_both_sides_are_refused(files):
    with pytest.raises(
        DataError,
        match=r"^the file names say en to de, but `data.src` and `data.tgt` say de to en. hint: swap the source",
    ):
        read_own(DataConfig(train=both("train"), src="de", tgt="en"))
    with pytest.raises(
        DataError, match=r"^`train.en` is named as both source and target\. hint: name one file for each"
    ):
        read_own(DataConfig(train=["train.tsv", "train.en", "./train.en"]))
    with pytest.raises(DataError, match=r"^`dev.en` is named as both source and target"):
        read_own(DataConfig(train=both("train"), dev=["dev.en", "dev.en"]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"dev": ["dev.de", "dev.en"]},
            "the file names say de to en, but the training text goes from en to de. hint: swap",
        ),
        ({"test": ["test.de", "test.en"]}, "hint: swap the source and target files: `test.en` before `test.de`."),
        (
            {"dev": ["dev.tsv"], "test": ["dev.en", "dev.de", "test.de", "test.en"]},
            "the names `test.de` and `test.en` say de",
        ),
        ({"train": ["train.tsv"], "src": "eng", "tgt": "deu", "dev": ["dev.de", "dev.en"]}, "from eng to deu"),
        (
            {"train": [*both("train"), "dev.de", "dev.en"], "src": "en", "tgt": "de"},
            "the names `dev.de` and `dev.en` say de to en, but `data.src` and `data.tgt` say en to de. hint: swap the",
        ),
    ],
)
def test_each_corpus_of_each_set_goes_in_one_direction(files, given, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_own(DataConfig(**{"train": both("train"), **given}))


def test_directions_that_differ_by_script_alone_or_are_both_meant_are_read(files, caplog):
    for name in ("zh_Hans", "zh_Hant"):
        (files / f"dev.{name}").write_text("好\n")
    read_own(DataConfig(train=["train.tsv"], dev=["dev.zh_Hant", "dev.zh_Hans"], src="zh_Hans", tgt="zh_Hant"))
    two_ways = [*both("train"), "test.de", "test.en"]
    assert read_own(DataConfig(train=two_ways, dev=["dev.tsv"])).src == "src"
    assert "the file names say en to de and de to en; set `data.src`" in caplog.text
    assert read_own(DataConfig(train=two_ways, dev=["dev.tsv"], src="mul", tgt="mul")).tgt == "mul"


def test_languages_that_nobody_tells_are_asked_for(files, caplog):
    read_own(DataConfig(train=both("train"), dev=both("dev")))
    assert "languages" not in caplog.text
    read_own(DataConfig(train=["train.tsv"], dev=both("dev")))
    assert "the file names do not say which languages these are; set `data.src` and `data.tgt`" in caplog.text


def test_pairs_that_training_knows_are_counted(files, caplog):
    (files / "new.tsv").write_text("new\tneu\n")
    read_own(DataConfig(train=both("train"), dev=["new.tsv"]))
    assert "the training text holds" not in caplog.text
    rows = (files / "train.tsv").read_text().split("\n")
    (files / "known.tsv").write_text(f"{rows[3].upper()}\n{rows[7]}!\nnew\tneu\n")
    read_own(DataConfig(train=both("train"), dev=["new.tsv"], test=["known.tsv"]))
    assert "the training text also contains 2 test pairs; scores on them are too good" in caplog.text


def test_relatives_of_a_dev_set_that_is_held_out_are_counted(files, caplog):
    (files / "twice.tsv").write_text("".join(f"{n}\t{n}x\n{n}\t{n}y\n" for n in range(50)))
    with caplog.at_level("INFO", logger="mt"):
        corpus = read_own(DataConfig(train=["twice.tsv"], src="en", tgt="de"))
    assert (len(corpus.dev), len(corpus.train)) == (10, 80)
    assert "left out 10 training pairs with a sentence of the dev set" in caplog.text


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["some/news.en.gz", "some/news.de.gz"], "news"),
        (["news/train.en", "news/train.de"], "news"),
        (["/texts/swahili/data/train.tsv"], "swahili"),
        (["../train.en", "../train.de"], "en-de"),
        (["a.en", "a.de", "b.tsv"], "a+b"),
        (["a.en", "a.de", "b.tsv", "c.tsv", "x/a.tsv"], "a+2"),
        (["hub:Helsinki-NLP/opus-100/de-en@train", "news/train.tsv"], "opus-100+news"),
    ],
)
def test_a_corpus_is_called_after_what_tells_it_from_others(files, name):
    assert corpus_name(files, ("en", "de")) == name


def test_without_languages_a_common_name_stays():
    assert corpus_name(["train.tsv"]) == "train"


def test_a_corpus_of_the_hub_is_called_after_its_data_set():
    assert name_of("hub:Helsinki-NLP/opus-100/de-en@train") == "opus-100"
    assert name_of("some/news.en.gz") == "news"


def test_empty_sides_of_a_dev_set_are_counted_and_named(files, caplog):
    (files / "holes.tsv").write_text("one\teins\n\tzwei\nthree\t \n")
    corpus = read_own(DataConfig(train=both("train"), dev=["holes.tsv"]))
    assert [pair.src for pair in corpus.dev] == ["one"]
    assert (
        "2 dev pairs with an empty side left out; the first is holes.tsv:2, whose source is empty. If blank lines "
        "shifted one of the files, its scores mean nothing."
    ) in caplog.messages
    (files / "empty.tsv").write_text("one\t\n")
    with pytest.raises(
        DataError, match=r"^`data.test`: no pair has text on both sides; empty.tsv:1 has an empty target"
    ):
        read_own(DataConfig(train=both("train"), dev=["dev.tsv"], test=["empty.tsv"]))


def test_the_name_of_a_language_is_no_code(files):
    with pytest.raises(
        ConfigError, match=r"`data.tgt` must be a language code .* is 'Chinese'\. hint: the nearest is `zh`"
    ):
        read_own(DataConfig(train=both("train"), src="en", tgt="Chinese"))


def test_text_from_a_pipe_is_told_at_the_start(files, caplog):
    os.mkfifo("pipe.tsv")
    for names in (["train.en", "train.de"], ["hub:owner/name"], ["."]):
        warn_of_pipes(names)
    assert caplog.messages == []
    warn_of_pipes(["train.en", "pipe.tsv"])
    [said] = caplog.messages
    assert said.startswith("`pipe.tsv` is a pipe, which can be read once: a run that is stopped cannot go on.")
