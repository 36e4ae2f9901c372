"""`mt rank`: a line for each query, and how often the right candidate is found."""

import json
import os
from pathlib import Path

import pytest
from toy import number_pairs, number_tokenizer, trained_numbers

from mt.cli.rank import run
from mt.config import DecodeConfig
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError, DataError

PAIRS = number_pairs(12, seed=5)
assert len({pair.tgt for pair in PAIRS}) == len(PAIRS)


@pytest.fixture
def rank(monkeypatch, tmp_path, capsys):
    """Runs the command with a model of number words; `turned.de` has the lines of `a.de` backwards."""
    monkeypatch.chdir(tmp_path)
    model = trained_numbers().float()
    translator = Translator(CachedStepper(model), number_tokenizer(), DecodeConfig(), max_length=64)
    monkeypatch.setattr("mt.decode.load.load", lambda path, **settings: translator)
    monkeypatch.setattr("mt.checkpoint.model_folder.table_columns", lambda path: ([], "de"))
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("en", "de"))
    monkeypatch.setattr("mt.compute.device.set_up_cpu", lambda threads: None)
    Path("a.en").write_text("".join(f"{pair.src}\n" for pair in PAIRS))
    Path("a.de").write_text("".join(f"{pair.tgt}\n" for pair in PAIRS))
    Path("turned.de").write_text("".join(f"{pair.tgt}\n" for pair in reversed(PAIRS)))
    Path("right.txt").write_text("".join(f"{number}\n" for number in range(len(PAIRS), 0, -1)))
    Path("empty").write_text("")

    def call(*argv):
        assert run(["model", *argv]) == 0
        return capsys.readouterr().out.split("\n")[:-1]

    return call


def best(lines):
    return [int(line.split(":")[0]) for line in lines]


@pytest.mark.parametrize("by", ["mean", "sum", "sources"])
def test_each_query_finds_its_translation(rank, by):
    backwards = list(range(len(PAIRS), 0, -1))
    assert best(rank("--queries", "a.en", "--candidates", "turned.de", "--by", by)) == backwards
    turned = rank("--candidates-are", "sources", "--queries", "turned.de", "--candidates", "a.en", "--by", by)
    assert best(turned) == backwards


@pytest.mark.parametrize(
    ("argv", "hint"),
    [(["--queries", "a.de", "--candidates", "a.en"], "add `--candidates-are sources`, or give the other file."),
     (["--queries", "a.en", "--candidates", "other.en"], "add"),
     (["--queries", "a.en", "--candidates", "a.de", "--candidates-are", "sources"], "leave out `--cand")],
)  # fmt: skip
def test_files_of_the_other_side_are_refused(rank, argv, hint):
    with pytest.raises(DataError, match=rf"^the name of .* says that it is in .*, but the .* hint: {hint}"):
        rank(*argv)


def test_several_candidates_with_their_texts(rank):
    lines = rank("--queries", "a.en", "--candidates", "a.de", "--top", "3", "--jsonl")
    plain = rank("--queries", "a.en", "--candidates", "a.de", "--top", "3")
    for pair, line, numbers in zip(PAIRS, lines, plain, strict=True):
        record = json.loads(line)
        assert record["query"] == pair.src
        assert record["candidates"][0]["text"] == pair.tgt
        assert numbers == " ".join(f"{one['number']}:{one['score']:.6f}" for one in record["candidates"])
        scores = [one["score"] for one in record["candidates"]]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_recall(rank):
    told = "R@1 100.0  R@5 100.0  R@10 100.0  median rank 1  (12 queries, 12 candidates)"
    assert rank("--queries", "a.en", "--candidates", "a.de", "--recall") == [told]
    assert rank("--queries", "a.en", "--candidates", "turned.de", "--recall", "right.txt") == [told]
    assert rank("--queries", "a.en", "--candidates", "turned.de", "--recall") != [told]


def test_recall_in_both_directions_by_the_same_scores(rank):
    """Two candidates belong to each of the first queries, and the last candidate to none."""
    targets = [pair.tgt for pair in PAIRS]
    Path("six.en").write_text("".join(f"{pair.src}\n" for pair in PAIRS[:6]))
    Path("twice.de").write_text("".join(f"{text}\n" for text in [*targets[:6], *targets[:6], targets[11]]))
    Path("twice.txt").write_text("".join(f"{number} {number + 6}\n" for number in range(1, 7)))
    given = ["--queries", "six.en", "--candidates", "twice.de", "--recall", "twice.txt"]
    there, back = rank(*given, "--both-ways")
    assert there == "R@1 100.0  R@5 100.0  R@10 100.0  median rank 1  (6 queries, 13 candidates)"
    assert back == "the other way: R@1 100.0  R@5 100.0  R@10 100.0  median rank 1  (12 queries, 6 candidates)"
    assert rank(*given) == [there]
    turned = rank("--candidates-are", "sources", "--queries", "a.de", "--candidates", "a.en", "--recall", "--both-ways")
    assert [line.split("  ")[-2] for line in turned] == ["median rank 1"] * 2


def test_an_empty_source_is_a_prior(rank):
    assert len(rank("--queries", "a.en", "--candidates", "a.de", "--by", "empty")) == len(PAIRS)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("missing a.de", DataError, "`missing` does not exist"),
        ("empty a.de", DataError, "`empty` has no lines with text, but --queries needs at least one"),
        ("a.en a.de --recall --jsonl", ConfigError, "leave out --jsonl"),
        ("a.en a.de --recall --top 3", ConfigError, "leave out --top"),
        ("a.en a.de --both-ways", ConfigError, "--both-ways is about --recall; give --recall too"),
        ("one.en a.de --recall", ConfigError, "there are 12 and 1. hint: give --recall a file"),
        ("a.en a.de --recall one.en", DataError, "one.en must have a line for each of the 12 queries, but has 1"),
        ("a.en a.de --recall bad.txt", DataError, "bad.txt:3: the line must have numbers from 1 to 12"),
        ("a.en a.de --recall huge.txt", DataError, "huge.txt:1: the line must have numbers from 1 to 12"),
        ("one.en a.de --by sources", ConfigError, "there is only one. hint: use --by mean"),
        ("a.en a.de --by matching", ConfigError, "this model has no matching head. hint: train one with"),
    ],
)
def test_refusals(rank, line, error, message):
    Path("one.en").write_text("one\n")
    Path("bad.txt").write_text("1\n2 3\n13\n" + "1\n" * 9)
    Path("huge.txt").write_text("9" * 5000 + "\n" * 12)
    queries, candidates, *more = line.split()
    with pytest.raises(error, match=message):
        rank("--queries", queries, "--candidates", candidates, *more)


def test_lines_without_text_are_left_out_and_others_keep_their_numbers(rank, caplog):
    Path("gaps.en").write_text("".join(f"\n{pair.src}\n" for pair in PAIRS))
    Path("gaps.de").write_text("".join(f"{pair.tgt}\n \n" for pair in PAIRS[:-1]) + f"{PAIRS[-1].tgt}\n")
    both = ["--queries", "gaps.en", "--candidates", "gaps.de"]
    plain = rank("--queries", "a.en", "--candidates", "a.de", "--top", "2", "--by", "sources")
    lines = rank(*both, "--top", "2", "--by", "sources")
    assert caplog.messages[-2:] == [
        "12 lines of `gaps.en` have no text and are left out of the ranking.",
        "11 lines of `gaps.de` have no text and are left out of the ranking.",
    ]
    moved = [[(2 * int(n) - 1, score) for n, score in (one.split(":") for one in line.split())] for line in plain]
    found = [[(int(n), score) for n, score in (one.split(":") for one in line.split())] for line in lines]
    assert found == [places for one in moved for places in ([], one)]
    records = [json.loads(line) for line in rank(*both, "--jsonl")]
    assert records[0] == {"query": "", "candidates": []} and records[1]["candidates"][0]["text"] == PAIRS[0].tgt
    Path("gaps.txt").write_text("".join(f"1\n{number}\n" for number in range(1, 2 * len(PAIRS), 2)))
    told = "R@1 100.0  R@5 100.0  R@10 100.0  median rank 1  (12 queries, 12 candidates)"
    assert rank(*both, "--recall", "gaps.txt", "--both-ways") == [told, f"the other way: {told}"]
    Path("one.txt").write_text("\n" * 11 + "x\n")
    rank("--queries", "one.txt", "--candidates", "a.de")
    Path("last.de").write_text("eins\n" + "\n" * 11)
    with pytest.raises(DataError, match=r"^--recall needs a query with text whose right candidate has text, but"):
        rank("--queries", "one.txt", "--candidates", "last.de", "--recall")


def test_more_pairs_than_memory_holds(rank, monkeypatch):
    monkeypatch.setattr("mt.cli.rank.MOST", 143)
    with pytest.raises(ConfigError, match=r"12 queries times 12 candidates are more than 143 pairs.* hint: give parts"):
        rank("--queries", "a.en", "--candidates", "a.de")


def test_queries_and_candidates_from_one_pipe(rank):
    os.mkfifo("pipe")
    with pytest.raises(DataError, match=r"`pipe` and `\./pipe` are one pipe, whose lines can be read only once"):
        rank("--queries", "pipe", "--candidates", "./pipe")
