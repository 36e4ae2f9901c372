"""The text of a run: tokenised once, and then read from the cache."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from toy import number_pairs

from mt.config import BatchConfig, CleanConfig, DataConfig, Subset, TokenizerConfig
from mt.data import prepare as material
from mt.data.batching import TokenizedCorpus
from mt.data.corpus.pair import Origin, Pair
from mt.data.prepare import prepare
from mt.errors import DataError
from mt.text.tokenizer import Tokenizer


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate({"train": 60, "dev": 5, "test": 6}.items()):
        lines = [f"{pair.src}\t{pair.tgt}\n" for pair in number_pairs(count, seed)]
        Path(f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return DataConfig(train=["train.tsv"], dev=["dev.tsv"], test=["test.tsv"])


def prepared(data):
    pieces = TokenizerConfig(vocab_size=60, byte_fallback=False)
    return prepare(data=data, clean=CleanConfig(), tokenizer=pieces, batch=BatchConfig(), longest=None)


def test_a_second_start_tokenises_the_dev_set_only(data, monkeypatch):
    first, asked = prepared(data), []
    (table,) = Path(data.cache).glob("corpora/*/pairs.arrow")
    encode = Tokenizer.encode_source
    monkeypatch.setattr(Tokenizer, "encode_source", lambda self, texts: asked.append(len(texts)) or encode(self, texts))
    second = prepared(data)
    assert asked == [5]
    assert list(second.train.source) == list(first.train.source) and list(second.train.pairs) == list(first.train.pairs)
    assert second.train.fingerprint() == first.train.fingerprint()
    assert [str(pair.origin) for pair in second.train.pairs[:2]] == ["train.tsv:1", "train.tsv:2"]
    assert list(Path(data.cache).glob("corpora/*/pairs.arrow")) == [table]


def test_the_wait_for_the_tokenizer_names_its_sentences(data, monkeypatch):
    told = []
    monkeypatch.setattr(material, "elapsing", lambda what, **_: told.append(what) or nullcontext())
    first = prepared(data)
    pieces = TokenizerConfig(vocab_size=60, byte_fallback=False, max_sentences=80)
    more = {"data": data, "clean": CleanConfig(), "batch": BatchConfig(), "longest": None}
    prepare(tokenizer=pieces, **more)
    Path("table.tsv").write_text("a\tb\tc\n" + "one\ttwo\tdrei\n" * 20)
    table = DataConfig(train=["table.tsv"], dev=["table.tsv"], inputs=["a:text", "b:text"], target="c", tgt="de")
    prepare(tokenizer=TokenizerConfig(vocab_size=30, byte_fallback=False), **more | {"data": table})
    prepare(tokenizer=pieces, given=first.tokenizer, **more)
    assert told == [f"training SentencePiece on {count} sentences" for count in (120, 80, 60)]  # two texts to a target


def test_long_sources_of_a_table_are_counted_in_rows(data, caplog):
    lines = ["a\tb", *["one\teins"] * 20, f"{'one ' * 40}\teins"]
    Path("table.tsv").write_text("\n".join(lines) + "\n")
    table = DataConfig(train=["table.tsv"], dev=["table.tsv"], inputs=["a:text"], target="b", tgt="de")
    pieces, batch = TokenizerConfig(vocab_size=30, byte_fallback=False), BatchConfig(max_length=20)
    with caplog.at_level("INFO", logger="mt"):
        prepare(data=table, clean=CleanConfig(), tokenizer=pieces, batch=batch, longest=30)
    told = [message for message in caplog.messages if message.startswith("left out")]
    assert told == [
        "left out 1 training pair with more than 20 rows (`batch.max_length`) on a side",
        "left out 1 dev pair with more than 30 rows (`model.max_length`) on a side",
    ]


def test_many_long_pairs_are_no_detail(data, caplog):
    """A recording has a hundred rows a second: the default leaves out what is longer than 2.56 seconds."""
    lines = ["a\tb", *["one\teins"] * 9, f"{'one ' * 40}\teins"]
    Path("table.tsv").write_text("\n".join(lines) + "\n")
    table = DataConfig(train=["table.tsv"], dev=["table.tsv"], inputs=["a:text"], target="b", tgt="de")
    pieces = TokenizerConfig(vocab_size=30, byte_fallback=False)
    more = {"data": table, "clean": CleanConfig(), "tokenizer": pieces}
    found = prepare(batch=BatchConfig(max_length=20), longest=None, **more)
    longest = int(prepare(batch=BatchConfig(max_length=200), longest=None, **more).train.source.lengths().max())
    assert found.train.num_too_long == 1
    [told] = [record for record in caplog.records if record.message.startswith("left out")]
    assert (told.levelname, told.message) == (
        "WARNING",
        "left out 1 training pair with more than 20 rows (`batch.max_length`) on a side; the longest has "
        f"{longest}: raise `batch.max_length`, and `model.max_length` with it, to keep them",
    )
    Path("table.tsv").write_text("a\tb\n" + f"{lines[-1]}\n" * 10)
    with pytest.raises(DataError) as refused:
        prepare(batch=BatchConfig(max_length=2), longest=None, **more)
    assert str(refused.value) == (
        f"none of the 10 training pairs has at most 2 rows (`batch.max_length`) on each side; the longest has "
        f"{longest}. hint: raise `batch.max_length` and `model.max_length`, or shorten the sources."
    )


def test_the_pairs_are_not_kept_twice(data):
    found = prepared(data)
    assert (found.corpus.train, len(found.train), len(found.corpus.dev), len(found.corpus.test)) == ([], 60, 5, 6)


def test_a_dev_set_of_sentences_too_long_for_the_model_is_refused_by_its_own_setting(data):
    pieces = TokenizerConfig(vocab_size=60, byte_fallback=False)
    with pytest.raises(DataError) as refused:
        prepare(data=data, clean=CleanConfig(), tokenizer=pieces, batch=BatchConfig(), longest=2)
    assert str(refused.value) == (
        "none of the 5 dev pairs has at most 2 pieces (`model.max_length`) on each side; the longest has 6. hint: "
        "raise `model.max_length`, or split the text into sentences."
    )


def test_what_lines_usually_hold_leaves_out_the_few_longest(data, monkeypatch):
    """Of 2,000 lines one of a thousand may be longer than usual, and one of twenty may have more sentences."""
    found = prepared(data)

    def usual(texts):
        pairs = [Pair(text, "one", Origin("x", line)) for line, text in enumerate(texts, 1)]
        train = TokenizedCorpus(pairs, found.tokenizer)
        return replace(found, train=train).usual

    size = len(found.tokenizer.encode_source(["one one"])[0])
    longer, two = "one one one one", "One. Two."
    assert usual([longer] * 2 + ["one one"] * 1998).pieces == size
    assert usual([longer] * 3 + ["one one"] * 1997).pieces == len(found.tokenizer.encode_source([longer])[0])
    assert usual([two] * 95 + ["one one"] * 1905).sentences == 1
    assert usual([two] * 110 + ["one one"] * 1890).sentences == 2
    one = len(found.tokenizer.encode_target(["one"])[0]) + 1  # the end mark
    single = len(found.tokenizer.encode_source(["one"])[0])
    assert usual(["one one"] * 3 + ["one"]).ratio == round(4 * one / (3 * size + single), 4)
    monkeypatch.setattr(material, "SAMPLED", 3)  # the first, the third, the fifth
    assert usual(["one", two, "one", two, "one"]).sentences == 1
    assert usual([two, "one", two, "one", two]).sentences == 2


@pytest.mark.parametrize(("subset", "lines"), [(Subset.spread, [8, 23, 38, 53]), (Subset.first, [1, 2, 3, 4])])
def test_a_limit_takes_pairs_of_the_whole_corpus(data, subset, lines):
    found = prepared(replace(data, limit=4, subset=subset))
    assert [pair.origin.line for pair in found.train.pairs] == lines
