"""`mt score`: one line for each pair, in order, whatever the pairs are like."""

import json
import sys
from types import SimpleNamespace

import pytest
from toy import number_tokenizer

from mt.cli import score as module
from mt.cli.score import parse, run
from mt.compute.matmul import has_int8
from mt.config import DecodeConfig, Precision
from mt.decode.rerank.scorer import PairScore, Scorer
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError, DataError


class Counter:
    """Scores by length in letters; more than nine are too long."""

    def __init__(self, name: str) -> None:
        self.name = name

    def score_all(self, sources, targets, names=None):
        sign = -2.0 if self.name == "back" else -1.0
        return [
            "has 10 and 10 tokens, but the model takes at most 9 a side" if max(len(s), len(t)) > 9
            else PairScore(sign * len(t), list(t), [sign] * len(t) + [0.0])
            for s, t in zip(sources, targets, strict=True)
        ]  # fmt: skip


@pytest.fixture
def score(monkeypatch, tmp_path, capsys):
    """Runs the command on files in the current folder, with fake models `model` (en to de) and `back`."""
    monkeypatch.chdir(tmp_path)
    told = {"back": ("de", "en")}
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: told.get(path.name, ("en", "de")))
    monkeypatch.setattr("mt.checkpoint.model_folder.table_columns", lambda path: ([], "de"))
    monkeypatch.setattr("mt.decode.load.load", lambda path, **settings: SimpleNamespace(name=path.name))
    monkeypatch.setattr("mt.decode.rerank.scorer.Scorer", lambda translator: Counter(translator.name))
    monkeypatch.setattr("mt.compute.device.set_up_cpu", lambda threads: None)
    (tmp_path / "a.en").write_text("one\ntwo\n\n")
    (tmp_path / "a.de").write_text("eins\nzwei\nx\n")
    (tmp_path / "long.tsv").write_text("one\teins\nfive\tzweiundfünfzig\nten\tzehn\n")

    def call(*argv):
        assert run(["model", *argv]) == 0
        return capsys.readouterr().out.split("\n")[:-1]

    return call


def test_without_a_stdout_no_model_is_loaded(score, monkeypatch):
    monkeypatch.setattr("mt.decode.load.load", lambda *args, **settings: pytest.fail("loaded in vain"))
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(ConfigError, match=r"^stdout is closed\. hint: give the results a file with `> FILE`\.$"):
        run(["model", "--source", "a.en", "--target", "a.de"])


def test_sums_and_means_in_columns(score):
    assert score("--source", "a.en", "--target", "a.de") == [
        "-4.000000\t-0.800000", "-4.000000\t-0.800000", "-1.000000\t-0.500000"
    ]  # fmt: skip


@pytest.mark.skipif(not has_int8(), reason="no int8 matrix products here")
def test_pairs_are_scored_in_int8_too(small_model):
    assert parse(["model", "--pairs", "a.tsv", "--precision", "int8"]).precision == "int8"
    pieces = number_tokenizer()
    model = small_model(src_size=pieces.src_size, tgt_size=pieces.tgt_size)

    def scored(precision):
        translator = Translator(CachedStepper(model, precision), pieces, DecodeConfig(), max_length=64)
        return Scorer(translator).score(["one two"], ["eins zwei"])[0].log_prob

    exact, int8 = scored(Precision.fp32), scored(Precision.int8)
    assert int8 != exact and int8 == pytest.approx(exact, rel=0.05)


def test_a_reverse_model_adds_two_columns(score):
    assert score("--source", "a.en", "--target", "a.de", "--reverse", "back") == [
        "-4.000000\t-0.800000\t-6.000000\t-1.500000", "-4.000000\t-0.800000\t-6.000000\t-1.500000",
        "-1.000000\t-0.500000\t-0.000000\t-0.000000",
    ]  # fmt: skip


def test_json_with_and_without_pieces(score):
    rows = [json.loads(line) for line in score("--source", "a.en", "--target", "a.de", "--jsonl", "--reverse", "back")]
    assert rows[0] == {"log_prob": -4.0, "mean": -0.8, "reverse": {"log_prob": -6.0, "mean": -1.5}}
    assert json.loads(score("--source", "a.en", "--target", "a.de", "--per-token")[2]) == {
        "log_prob": -1.0, "mean": -0.5, "pieces": ["x"], "piece_log_probs": [-1.0, 0.0]
    }  # fmt: skip


def test_many_pairs_are_scored_in_chunks_and_stay_in_order(score, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "CHUNK", 3)
    (tmp_path / "many.tsv").write_text("".join(f"x\t{'y' * (n % 7)}\n" for n in range(20)))
    assert [int(float(line.split("\t")[0])) for line in score("--pairs", "many.tsv")] == [-(n % 7) for n in range(20)]


def test_a_pair_too_long_is_named_by_file_and_line_or_left_empty(score, capsys):
    message = (
        r"^long\.tsv:2: the pair has 10 and 10 tokens, but the model takes at most 9 a side; shorten it, or "
        r"give --skip-too-long\.$"
    )
    with pytest.raises(DataError, match=message):
        score("--pairs", "long.tsv")
    assert capsys.readouterr().out == ""
    first, second, third = score("--pairs", "long.tsv", "--skip-too-long", "--reverse", "back")
    assert first and third and second == ""
    assert score("--pairs", "long.tsv", "--skip-too-long", "--jsonl")[1] == "null"


def test_bad_lines_are_left_empty_and_counted(score, tmp_path, caplog):
    (tmp_path / "bad.en").write_bytes(b"one\n\xff\n\nfour\n")
    (tmp_path / "bad.de").write_bytes(b"eins\nzwei\nx\nvi\0er\n")
    with pytest.raises(DataError, match=r"bad\.en:2: byte 1 \(0xff\) is not UTF-8"):
        score("--source", "bad.en", "--target", "bad.de")
    files = ["--source", "bad.en", "--target", "bad.de", "--skip-bad"]
    assert score(*files) == ["-4.000000\t-0.800000", "", "-1.000000\t-0.500000", ""]
    assert "2 lines skipped and left empty: bad.en:2: byte 1 (0xff) is not UTF-8; bad.de:4: NUL" in caplog.text
    assert [json.loads(line) is None for line in score(*files, "--jsonl")] == [False, True, False, True]


def test_bad_lines_are_not_skipped_for_a_model_of_tables(score, monkeypatch):
    monkeypatch.setattr("mt.checkpoint.model_folder.table_columns", lambda path: ([object()], "caption"))
    with pytest.raises(
        ConfigError,
        match=r"that reads text, but \S+ reads rows of a table\. hint: give the table",
    ):
        score("--source", "a.en", "--target", "a.de", "--skip-bad")


def test_bad_lines_of_a_table_are_not_skipped():
    with pytest.raises(ConfigError, match=r"^--skip-bad needs --source and --target: a bad line of a table may hide"):
        parse(["model", "--pairs", "a.tsv", "--skip-bad"])


def test_files_of_unequal_length_give_nothing(score, tmp_path, capsys):
    (tmp_path / "short.de").write_text("eins\n")
    with pytest.raises(DataError, match=r"^`a\.en` has 3 lines, but `short\.de` has 1: "):
        score("--source", "a.en", "--target", "short.de")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "argv",
    [[], ["--source", "a.en"], ["--target", "a.de"], ["--pairs", "long.tsv", "--source", "a.en", "--target", "a.de"]],
)
def test_what_to_score_must_be_clear(score, argv):
    with pytest.raises(ConfigError, match=r"^give either --source and --target, or --pairs. hint: `mt score --help`"):
        score(*argv)


def test_a_reverse_model_must_go_the_other_way(score):
    with pytest.raises(
        ConfigError, match="--reverse forth translates from en to de, but a model from de to en is needed here"
    ):
        score("--pairs", "long.tsv", "--reverse", "forth")


def test_pairs_are_of_one_file_that_holds_both_sides():
    sentence = r"^--pairs must name a \.tsv, \.jsonl or \.parquet file, plain or compressed, but names a\.en\.gz\."
    with pytest.raises(ConfigError, match=sentence):
        parse(["model", "--pairs", "a.en.gz"])
    assert parse(["model", "--pairs", "a.TSV.gz"]).pairs == "a.TSV.gz"
