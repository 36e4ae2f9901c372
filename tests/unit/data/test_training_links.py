"""Links of the training text: they stay with their pairs, and every fault of a file is named."""

from pathlib import Path

import pytest
from toy import number_tokenizer

from mt.data.batching import TokenizedCorpus
from mt.data.corpus.names import corpora
from mt.data.corpus.readers import read_pairs
from mt.data.training_links import by_corpus, read_links
from mt.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Two corpora, of two files and of one; line 2 of the first has an empty side."""
    monkeypatch.chdir(tmp_path)
    Path("a.en").write_text("one two\n\nthree\nfour five six\n")
    Path("a.de").write_text("eins zwei\nnull\ndrei\nvier fünf sechs\n")
    Path("b.tsv").write_text("seven\tsieben\neight nine\tacht neun\n")
    Path("a.links").write_text("0-0 1-1\n\n0-0\n2-0 0-2\n")
    Path("b.links").write_text("\n1-0 0-1\n")


TRAIN, LINKS = ["a.en", "a.de", "b.tsv"], ["a.links", "b.links"]


def corpus_of(pairs) -> TokenizedCorpus:
    return TokenizedCorpus(pairs, number_tokenizer())


def kept():
    return [pair for pair in read_pairs(TRAIN, "en", "de") if pair.src]


def test_the_files_of_a_run_corpus_by_corpus():
    assert corpora(TRAIN) == [["a.en", "a.de"], ["b.tsv"]]
    assert corpora(["x.jsonl", "a.en.gz", "a.de.gz", "hub:o/n"]) == [["x.jsonl"], ["a.en.gz", "a.de.gz"], ["hub:o/n"]]
    assert by_corpus(LINKS, TRAIN) == {"a.en": "a.links", "b.tsv": "b.links"}


def test_links_stay_with_their_pairs_whichever_are_left_out_and_in_any_order():
    expected = {"one two": {(0, 0), (1, 1)}, "three": {(0, 0)}, "four five six": {(2, 0), (0, 2)}, "seven": set(),
                "eight nine": {(1, 0), (0, 1)}}  # fmt: skip
    for pairs in (kept(), kept()[::-1], kept()[2:]):
        found = read_links(LINKS, TRAIN, corpus_of(pairs), src="en", tgt="de")
        assert [found[i] for i in range(len(found))] == [expected[pair.src] for pair in pairs]


def test_the_fingerprint_is_that_of_the_links():
    first = read_links(LINKS, TRAIN, corpus_of(kept()), src="en", tgt="de")
    assert first.fingerprint() == read_links(LINKS, TRAIN, corpus_of(kept()), src="en", tgt="de").fingerprint()
    Path("b.links").write_text("\n1-0\n")
    assert first.fingerprint() != read_links(LINKS, TRAIN, corpus_of(kept()), src="en", tgt="de").fingerprint()


def test_possible_links_teach_nothing():
    Path("b.links").write_text("0p0\n1-0 0?1\n")
    found = read_links(LINKS, TRAIN, corpus_of(kept()), src="en", tgt="de")
    assert (found[3], found[4]) == (set(), {(1, 0)})


def test_links_of_a_table_whose_columns_are_named():
    Path("c.tsv").write_text("one two\tx y\teins zwei\nthree\tz\tdrei\n")
    Path("c.links").write_text("1-0\n0-0\n")
    corpus = corpus_of(list(read_pairs(["c.tsv"], "en", "de", ["1", "3"])))
    found = read_links(["c.links"], ["c.tsv"], corpus, src="en", tgt="de", columns=["1", "3"])
    assert [found[i] for i in range(len(found))] == [{(1, 0)}, {(0, 0)}]


def test_links_of_the_two_files_in_a_folder():
    Path("c").mkdir()
    Path("c/c.en-de.en").write_text("one two\nthree\n")
    Path("c/c.en-de.de").write_text("eins zwei\ndrei\n")
    Path("c.links").write_text("1-0\n0-0\n")
    train, links = ["c", *TRAIN], ["c.links", *LINKS]
    corpus = corpus_of([*read_pairs(["c"], "en", "de"), *kept()])
    found = read_links(links, train, corpus, src="en", tgt="de")
    assert [found[i] for i in range(3)] == [{(1, 0)}, {(0, 0)}, {(0, 0), (1, 1)}]
    Path("c.links").write_text("1-0\n")
    with pytest.raises(DataError, match=r"^`c\.links` has 1 line, but `c/c\.en-de\.en` has 2: both must have the same"):
        read_links(links, train, corpus, src="en", tgt="de")


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("links", "train", "sentence"),
    [
        (["a.links"], [], "`alignment.links` needs your own text. hint: name its files with `data.train`."),
        (["a.links"], TRAIN,
         "`alignment.links` must name one file for each corpus of `data.train`, in the same order, but names 1 file "
         "for 2."),
        (LINKS, ["a.en", "a.de", "a.en", "b.tsv"],
         "`data.train` names `a.en` twice, with links from a.links and from b.links, but a pair is identified by "
         "its file and line. hint: give the second corpus a copy under another name."),
    ],
)  # fmt: skip
def test_files_that_do_not_go_together_are_refused(links, train, sentence):
    with pytest.raises(ConfigError) as refused:
        by_corpus(links, train)
    assert str(refused.value) == sentence


def test_a_corpus_that_is_there_twice_with_the_same_links_is_fine():
    assert by_corpus(["b.links", "b.links"], ["b.tsv", "b.tsv"]) == {"b.tsv": "b.links"}


def test_a_file_that_is_not_there_is_named_with_the_nearest_one():
    with pytest.raises(DataError, match=r"`b.link` does not exist. hint: did you mean `b.links`\?"):
        by_corpus(["a.links", "b.link"], TRAIN)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0-0 1-1\n\n0-0\n",
         "`a.links` has 3 lines, but `a.en` has 4: both must have the same number of lines, because "
         "line N of one belongs to line N of the other."),
        ("0-0\n\n\n\n\n",
         "`a.links` has 5 lines, but `a.en` has 4: both must have the same number of lines, because "
         "line N of one belongs to line N of the other."),
        ("0-0\n\n0-x\n\n",
         "a.links:3: a link must read `1-2`, or `1p2` where it is only possible, but reads `0-x`."),
        ("0-0\n\n0-0\n0-0 3-1\n",
         "a.links:4 (a.en:4): the link 3-1 is past the words of its pair, 3 and 3 between spaces, which links count "
         "from 0."),
        ("0-0 1-2\n\n\n\n",
         "a.links:1 (a.en:1): the link 1-2 is past the words of its pair, 2 and 2 between spaces, which links count "
         "from 0."),
        ("0-99999999999\n\n\n\n", "a.links:1: the number of a word is too large."),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_its_line(text, sentence):
    Path("a.links").write_text(text)
    with pytest.raises(DataError) as refused:
        read_links(LINKS, TRAIN, corpus_of(kept()), src="en", tgt="de")
    assert str(refused.value) == sentence
