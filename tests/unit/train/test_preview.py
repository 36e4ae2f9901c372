"""The dry run's page."""

import pytest
from toy import number_corpus, number_pairs, number_tokenizer, tiny_model

from mt.config import BatchConfig, Input, InputKind, OptimConfig, TokenizerConfig, TrainConfig
from mt.data.batching import TokenizedCorpus
from mt.data.corpus.pair import Origin, Pair
from mt.errors import counted
from mt.inputs.reader import InputReader
from mt.text.tokenizer_training import train_tokenizer
from mt.train.preview import examples, histogram, preview, unknown_rate


def test_bars_are_as_long_as_their_share_of_the_most():
    assert histogram([3, 5, 4, 4, 6, 300]) == (
        f"  <=     5          4  {'#' * 40}\n  <=    10          1  {'#' * 10}\n  <=   300          1  {'#' * 10}"
    )


def test_every_length_is_in_one_bar():
    lines = histogram([1, 5, 6, 10, 11, 256, 257, 1000]).split("\n")
    assert [(int(line.split()[1].replace(",", "")), int(line.split()[2])) for line in lines] == [
        (5, 2), (10, 2), (15, 1), (256, 1), (1000, 2)
    ]  # fmt: skip


def test_examples_are_spread_and_shown_in_pieces():
    corpus = number_corpus(30)
    shown = examples(corpus).split("\n\n")
    assert len(shown) == 3
    for block, i in zip(shown, (5, 15, 25), strict=True):
        source, target = block.split("\n")
        tokenizer = number_tokenizer()
        assert source.split() == tokenizer.pieces_source(corpus.source[i])
        assert target.split() == tokenizer.pieces_target(corpus.target[i])
    assert len(examples(number_corpus(2)).split("\n\n")) == 2


def test_unknown_pieces_are_counted_over_both_sides():
    pairs = [Pair("one", "eins", Origin("x", 1)), Pair("→", "zwei", Origin("x", 2))]
    corpus = TokenizedCorpus(pairs, number_tokenizer())
    pieces = [piece for sentence in (*corpus.source, *corpus.target) for piece in sentence]
    assert 0 < unknown_rate(corpus, number_tokenizer()) == pieces.count(number_tokenizer().unk) / len(pieces)
    assert unknown_rate(number_corpus(30), number_tokenizer()) == 0


def test_the_pieces_of_each_side_are_shown(tmp_path):
    pairs = number_pairs(40, seed=1)
    section = TokenizerConfig(vocab_size=60, joint=False, byte_fallback=False)
    tokenizer = train_tokenizer([pair.src for pair in pairs], [pair.tgt for pair in pairs], section, tmp_path)
    corpus = TokenizedCorpus(pairs, tokenizer)
    page = preview(corpus, {}, tiny_model(), BatchConfig(), TrainConfig(device="cpu", steps=1), OptimConfig(), "so")
    assert tokenizer.src_size != tokenizer.tgt_size
    assert f"vocabulary       {tokenizer.src_size} and {tokenizer.tgt_size} pieces\n" in page


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"steps": 1}, "to the limit of steps"), ({"epochs": 0.001, "steps": 10**9}, "to the limit of epochs"),
        ({"minutes": 3.0}, "about 3m00s to the limit of minutes"), ({"patience": 2}, "no limit but patience"),
    ],
)  # fmt: skip
def test_the_report_counts_and_estimates_the_end(limits, words):
    corpus = number_corpus(40)
    refusals = {"read": 1050, "kept": 1040, "empty": 7, "ratio": 3}
    section = BatchConfig(tokens=64, max_length=32, accumulate=2)
    page = preview(corpus, refusals, tiny_model(), section, TrainConfig(device="cpu", **limits), OptimConfig(), "so")
    steps = max(corpus.num_source_rows, corpus.num_target_rows) / 128
    wanted = ["40 used; read 1,050, removed 7 empty, 3 too different in length",
              f"{corpus.num_source_rows:,} source and", words,
              "0.0000%", f"about {counted(round(steps), 'step')} an epoch", "cpu, ", "0 pairs of more than 32 pieces",
              "examples:"]  # fmt: skip
    assert [line for line in wanted if line not in page] == []


def test_the_report_counts_sources_of_tables_in_rows():
    pairs = [Pair(pair.src, pair.tgt, pair.origin) for pair in number_corpus(5).pairs]
    reader = InputReader([Input(column="a", kind=InputKind.text)], number_tokenizer().encode_source)
    corpus = TokenizedCorpus(pairs, number_tokenizer(), reader=reader)
    batch, train = BatchConfig(tokens=64, max_length=32), TrainConfig(steps=1, device="cpu")
    page = preview(corpus, {"read": 5, "kept": 5}, tiny_model(), batch, train, OptimConfig(), "so")
    assert "0 pairs of more than 32 rows on a side" in page and "lengths in rows, the longer side of a pair:" in page


def test_the_report_says_that_nothing_was_refused():
    batch, train = BatchConfig(tokens=64, max_length=32), TrainConfig(steps=1, device="cpu")
    page = preview(
        number_corpus(5), {"read": 5, "kept": 5, "empty": 0}, tiny_model(), batch, train, OptimConfig(), "so"
    )
    assert "removed none" in page
