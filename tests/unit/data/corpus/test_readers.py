"""Files to pairs, in every format, and what is said of files that cannot be used."""

import json
import os
import re
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.data.corpus import records
from mt.data.corpus.pair import Origin, Pair
from mt.data.corpus.readers import infer_languages, read_pairs
from mt.errors import DataError

PLAIN = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]))


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_bytes(text.encode())
        return str(tmp_path / name)

    return write


def texts(files, src="en", tgt="de"):
    return [(pair.src, pair.tgt) for pair in read_pairs(files, src, tgt)]


def test_plain_files_come_two_by_two(write):
    files = [
        write("a.en", "one\ntwo\n"),
        write("a.de", "eins\nzwei"),
        write("b.en", "three\n"),
        write("b.de", "drei\n"),
    ]
    assert list(read_pairs(files, None, None)) == [
        Pair("one", "eins", Origin(files[0], 1)),
        Pair("two", "zwei", Origin(files[0], 2)),
        Pair("three", "drei", Origin(files[2], 1)),
    ]


def test_an_origin_reads_as_file_and_line():
    assert str(Origin("a.en", 7)) == "a.en:7"


def test_formats_mix_from_left_to_right(write):
    tsv = write("b.tsv", "two\tzwei\n")
    jsonl = write("c.jsonl", '{"src": "three", "tgt": "drei"}\n')
    files = [tsv, write("a.en", "one\n"), write("a.de", "eins\n"), jsonl]
    assert texts(files) == [("two", "zwei"), ("one", "eins"), ("three", "drei")]


@pytest.mark.parametrize(("left", "right"), [(2, 5), (5, 2), (0, 1)])
def test_unequal_line_counts(write, left, right):
    files = [write("a.en", "x\n" * left), write("a.de", "x\n" * right)]
    sentence = rf"a\.en` has {left} lines, but `.*a\.de` has {right}: both must have the same number of lines, because"
    with pytest.raises(DataError, match=sentence):
        list(read_pairs(files, "en", "de"))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs names for open files")
def test_both_sides_from_one_pipe():
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as file:
        file.write(b"one\neins\n")
        file.close()
        pipe = f"/dev/fd/{reading}"
        with pytest.raises(DataError, match=r"are one pipe, whose lines can be read only once\. hint: write them"):
            list(read_pairs([pipe, pipe], "en", "de"))


def test_plain_file_without_partner_fails_at_once(write):
    tsv = write("b.tsv", "two\tzwei\n")
    for files in ([write("a.en", "x\n")], [tsv, write("a.en", "x\n")], [write("a.en", "x\n"), tsv]):
        with pytest.raises(DataError, match=r"a\.en` has no partner. hint: name plain files in pairs"):
            read_pairs(files, "en", "de")


def test_missing_file_fails_at_once(write, tmp_path):
    write("a.de", "x\n")
    with pytest.raises(DataError, match=r"a\.ed` does not exist. hint: did you mean `.*/a\.de`"):
        read_pairs([write("a.en", "x\n"), str(tmp_path / "a.ed")], "en", "de")


def test_the_partner_of_a_missing_file_is_not_meant_by_it(write, tmp_path):
    with pytest.raises(DataError, match=r"a\.de` does not exist. hint: restore it, or name another file\.$"):
        read_pairs([write("a.en", "x\n"), str(tmp_path / "a.de")], "en", "de")


def test_no_files():
    with pytest.raises(DataError, match=r"^no file is named"):
        read_pairs([], "en", "de")


def test_no_pairs(write):
    with pytest.raises(DataError, match=r"^there are no pairs in `.*a\.en`, `.*a\.de`; at least one is needed\."):
        list(read_pairs([write("a.en", ""), write("a.de", "")], "en", "de"))


@given(rows=st.lists(st.tuples(PLAIN, PLAIN), min_size=1))
def test_pairs_are_the_lines_of_both_files(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("pairs")
    rows = [(f"s{src}", f"t{tgt}") for src, tgt in rows]  # a letter first, so that no byte order mark is
    (folder / "a.en").write_bytes("".join(f"{src}\n" for src, _ in rows).encode())
    (folder / "a.de").write_bytes("".join(f"{tgt}\n" for _, tgt in rows).encode())
    assert texts([str(folder / "a.en"), str(folder / "a.de")]) == rows


def test_tsv_takes_two_columns_and_leaves_quotes_alone(write):
    assert texts([write("a.tsv", '"one"\teins\tCC BY\n\t\n')]) == [('"one"', "eins"), ("", "")]


def test_tsv_with_one_column(write):
    with pytest.raises(DataError, match=r"a\.tsv:2: the line must be source, tab, target, but has no tab\."):
        list(read_pairs([write("a.tsv", "one\teins\ntwo\n")], "en", "de"))


@pytest.mark.parametrize(
    "record",
    [
        {"src": "one", "tgt": "eins"},
        {"en": "one", "de": "eins", "fr": None},
        {"id": 7, "translation": {"de": "eins", "en": "one"}},
        {"en": "one", "de": "eins", "src": "no", "tgt": "nein"},
    ],
)
def test_jsonl_finds_the_texts(write, record):
    assert texts([write("a.jsonl", json.dumps(record))]) == [("one", "eins")]


def test_line_ends_inside_a_field_become_spaces(write):
    record = {"src": "one\r\ntwo\nthree\n", "tgt": "eins\u2028zwei"}
    assert texts([write("a.jsonl", json.dumps(record))]) == [("one two three", "eins\u2028zwei")]


def test_sources_that_are_all_named_before_their_targets_are_refused(write):
    files = {name: write(name, "one\ntwo\n") for name in ("a.en", "b.en.gz", "a.de", "b.de", "c.en", "d.en")}
    with pytest.raises(DataError) as refused:
        texts([files[name] for name in ("a.en", "b.en.gz", "a.de", "b.de")])
    assert str(refused.value) == (
        f"`{files['a.en']}` is followed by `{files['b.en.gz']}`, in the same language, but its translation is "
        f"`{files['a.de']}`. hint: name each source and then its target, as in `a.en a.de b.en b.de`; if they are "
        "meant so, say that both sides are in that language, in training with `data.src` and `data.tgt`."
    )
    # noise and the text without it, in two languages
    assert len(list(read_pairs([files[name] for name in ("a.en", "b.en.gz", "a.de", "b.de")], "en", "en"))) == 4
    # a text and its summary are in one language
    assert texts([files[name] for name in ("c.en", "d.en", "a.en", "a.de")]) == [("one", "one"), ("two", "two")] * 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a\.jsonl:1: the line is not a JSON object \(Expecting property name"),
        ("[" * 100_000, r"a\.jsonl:1: the line is not a JSON object \("),
        ('"one"', r"a\.jsonl:1: the line must be a JSON object, but is a string\."),
        (
            '{"en": "one", "translation": {"fr": "un"}}',
            r"a\.jsonl:1: there must be fields `en` and `de`, but there are en, translation, "
            r"translation\.fr\. hint: name the right ones, as in `data\.columns=\[source,target\]`\.",
        ),
        ("{}", r"but there are none\. hint: name the right ones"),
        ('{"translation": 5}', r"but there are translation\. hint: name the right ones"),
        ('{"src": 1, "tgt": ""}', r"a\.jsonl:1: field `src` must be a string, but is a number\."),
        ('{"src": "", "tgt": null}', r"a\.jsonl:1: field `tgt` must be a string, but is null\."),
        ('{"src": "\\ud800", "tgt": ""}', r"a\.jsonl:1: field `src` contains half of a surrogate pair"),
        ('{"src": "a\\u0000", "tgt": ""}', r"a\.jsonl:1: field `src`: NUL character at byte 2"),
    ],
)
def test_jsonl_that_cannot_be_used(write, line, message):
    with pytest.raises(DataError, match=message):
        list(read_pairs([write("a.jsonl", line)], "en", "de"))


def test_without_languages_only_src_and_tgt_are_looked_for(write):
    with pytest.raises(DataError, match=r"there must be fields `src` and `tgt`, but there are en, de"):
        list(read_pairs([write("a.jsonl", '{"en": "one", "de": "eins"}')], None, None))


@pytest.mark.parametrize("columns", [{"en": ["one"], "de": ["eins"], "n": [1]}, {"src": ["one"], "tgt": ["eins"]}])
def test_parquet(tmp_path, columns):
    file = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert list(read_pairs([file], "en", "de")) == [Pair("one", "eins", Origin(file, 1))]


def test_parquet_with_a_translation_column(tmp_path):
    file = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"translation": [{"de": "eins", "en": "one"}]}), file)
    assert texts([file]) == [("one", "eins")]


def test_parquet_with_other_columns(tmp_path):
    file = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"left": ["one"], "right": ["eins"]}), file)
    with pytest.raises(DataError, match=r"a\.parquet:1: there must be fields .* but there are left, right"):
        list(read_pairs([file], "en", "de"))


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_that_unpacks_without_end(tmp_path, monkeypatch, dictionary):
    """Said by the file of itself where rows are packed one by one; found out where they point into a dictionary."""
    monkeypatch.setattr(records, "PLENTY", 2 << 20)
    file, rows = tmp_path / "a.parquet", 4000
    table = pyarrow.table({"src": ["one " * 300] * rows, "tgt": ["eins"] * rows})
    pyarrow.parquet.write_table(table, file, compression="zstd", use_dictionary=dictionary)
    with pyarrow.parquet.ParquetFile(file) as written:
        assert (written.metadata.row_group(0).total_byte_size > 4_000_000) != dictionary
    seen = []
    with pytest.raises(
        DataError, match=r"a\.parquet` grows more than 200-fold when unpacked, as no text does\. hint: if you"
    ):
        seen.extend(read_pairs([str(file)], None, None))
    assert (len(seen) > 0) == dictionary and len(seen) < rows
    monkeypatch.undo()
    assert len(list(read_pairs([str(file)], None, None))) == rows  # so little may grow at any ratio


def test_no_more_rows_of_parquet_are_unpacked_together_than_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "PLENTY", 2 << 20)
    file, rows, sizes = tmp_path / "a.parquet", 100, []
    table = pyarrow.table({"src": ["one " * (1 << 16)] * rows, "other": ["x"] * rows, "tgt": ["eins"] * rows})
    pyarrow.parquet.write_table(table, file, compression="zstd")
    unpack = pyarrow.parquet.ParquetFile.iter_batches

    def unpacked(*args, **options):
        for batch in unpack(*args, **options):
            sizes.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", unpacked)
    with pytest.raises(DataError, match=r"a\.parquet` grows more than 200-fold when unpacked"):
        list(read_pairs([str(file)], None, None))
    assert len(sizes) > 1 and max(sizes) < 2 << 20


def test_parquet_that_is_none(write):
    with pytest.raises(DataError, match=r"a\.parquet` cannot be read as a Parquet file \("):
        list(read_pairs([write("a.parquet", "en\tde\n")], "en", "de"))


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("hub:owner/name", ("owner/name", None, "train")),
        ("hub:owner/name@test", ("owner/name", None, "test")),
        ("hub:owner/name/en-de", ("owner/name", "en-de", "train")),
        ("hub:owner/name/en-de@validation", ("owner/name", "en-de", "validation")),
    ],
)
def test_hub(monkeypatch, address, asked):
    def load_dataset(path, name=None, *, split=None):
        assert (path, name, split) == asked
        return [{"translation": {"en": "one", "de": "eins"}}, {"en": "two", "de": "zwei"}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert list(read_pairs([address], "en", "de")) == [
        Pair("one", "eins", Origin(address, 1)),
        Pair("two", "zwei", Origin(address, 2)),
    ]


def test_hub_out_of_reach(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    message = (
        "`hub:owner/name` cannot be downloaded from the Hugging Face Hub (Couldn't reach 'owner/name' on the Hub). "
        "hint: to train on your own files instead, write `mt train 'data.train=[a.en,a.de]'`."
    )
    with pytest.raises(DataError, match=re.escape(message)):
        list(read_pairs(["hub:owner/name"], "en", "de"))


def test_hub_failure_without_words(monkeypatch):
    def load_dataset(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"from the Hugging Face Hub \(TimeoutError\)"):
        list(read_pairs(["hub:owner/name"], "en", "de"))


@pytest.mark.parametrize("address", ["hub:name", "hub:a/b/c/d", "hub:", "hub:a/b@"])
def test_hub_address_of_another_form(address):
    with pytest.raises(DataError, match=rf"`{address}` must have the form hub:owner/name\[/config\]\[@split\]\."):
        list(read_pairs([address], "en", "de"))


@pytest.mark.parametrize(
    ("files", "languages"),
    [
        (["a.en", "a.de"], ("en", "de")),
        (["data/train.en.gz", "data/train.de.gz"], ("en", "de")),
        (["corpus.en-de.en", "corpus.en-de.de"], ("en", "de")),
        (["en/a.en", "de/a.de", "b.en", "b.de", "c.jsonl"], ("en", "de")),
        (["x.pt_BR", "x.zh-Hans"], ("pt_BR", "zh-Hans")),
        (["x.eng.zst", "x.swa.xz"], ("eng", "swa")),
        (["hub:Helsinki-NLP/opus-100/en-es@train"], ("en", "es")),
        (["hub:owner/name"], None),
        (["hub:owner/en-de"], None),
        (["a.en", "a.de", "b.en", "b.fr"], None),
        (["a.en", "a.en"], None),
        (["english.txt", "german.txt"], None),
        (["a.txt", "a.md"], None),
        (["a.src", "a.tgt"], None),
        (["news.en", "books.de"], None),
        (["a.en"], None),
        (["a.tsv"], None),
        ([], None),
    ],
)
def test_languages_of_names(files, languages):
    assert infer_languages(files) == languages
