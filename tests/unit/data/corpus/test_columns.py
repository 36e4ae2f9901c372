"""Tables: headers, records and rows."""

import csv
import json
import os
import re
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

from mt.config.inputs import parse_inputs
from mt.data.corpus.columns import read_table
from mt.errors import DataError

RECORD = '{"en": "a", "de": "b"}\n'


INPUTS = parse_inputs(["en:text"])


def rows(folder, text, name="t.jsonl"):
    (folder / name).write_text(text, encoding="utf-8")
    return [(pair.src, pair.tgt, pair.origin.line) for pair in read_table([str(folder / name)], INPUTS, "de")]


def test_an_empty_line_between_records_is_an_empty_row(tmp_path):
    assert rows(tmp_path, RECORD + "\n  \n" + RECORD) == [("a", "b", 1), ("", "", 2), ("", "", 3), ("a", "b", 4)]


def test_records_may_be_indented(tmp_path):
    assert rows(tmp_path, "  " + RECORD) == [("a", "b", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RECORD + '["a", "b"]\n', 't.jsonl:2: the line must be a JSON object, but is `["a", "b"]`.'),
        (RECORD + "en\tde\n", "t.jsonl:2: the line is not a JSON object (Expecting value: line 1 column 1 (char 0))."),
        (
            "en\tde\ten\na\tb\tc\n",
            "t.jsonl:1: the table must have one column `en`, but has 2. hint: rename the others.",
        ),
        (
            "de\tde\ten\na\tb\tc\n",
            "t.jsonl:1: the table must have one column `de`, but has 2. hint: rename the others.",
        ),
    ],
)
def test_tables_of_two_minds_are_refused(text, message, tmp_path):
    with pytest.raises(DataError, match=re.escape(message) + "$"):
        rows(tmp_path, text)


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("En\tde", "did you mean `En`? Capital and small letters are not the same here."),
        ('"en"\t"de"', 'write the table without quotes around its cells: "en" is not `en`.'),
        ("english\tde", "the first line of a table has the names of its columns, with tabs between them."),
    ],
)
def test_a_column_that_is_nearly_there_is_named(header, hint, tmp_path):
    with pytest.raises(DataError, match="must have a column `en`") as refused:
        rows(tmp_path, f"{header}\na\tb\n", "t.tsv")
    assert refused.value.hint == hint


def test_white_space_around_the_names_of_columns_is_as_around_cells(tmp_path):
    assert rows(tmp_path, " en \tde \n a \tb\n", "t.tsv") == [("a", "b", 2)]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_table_of_another_format_is_told_the_line_that_converts_it(suffix, tmp_path):
    records = [{"en": 'a "x"', "de": "ä,\tb"}, {"en": "c", "de": "d"}]
    file = tmp_path / f"my table{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), file)
    elif suffix == ".json":
        file.write_text(json.dumps(records), encoding="utf-8")
    else:
        with file.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.DictWriter(out, ["en", "de"])
            writer.writeheader()
            writer.writerows(records)
    with pytest.raises(DataError, match=r"must be a table, with a name that ends in \.tsv") as refused:
        list(read_table([str(file)], INPUTS, "de"))
    typed = refused.value.hint.split("`")[1].replace("python", sys.executable, 1)
    subprocess.run(["bash", "-c", typed], check=True)
    found = [(pair.src, pair.tgt) for pair in read_table([str(tmp_path / "my table.jsonl")], INPUTS, "de")]
    assert found == [('a "x"', "ä, b"), ("c", "d")]


def test_columns_that_are_not_read_may_have_one_name(tmp_path):
    assert rows(tmp_path, "en\tx\tx\tde\na\t1\t2\tb\n", "t.tsv") == [("a", "b", 2)]


@pytest.mark.parametrize("text", ["", "en\tde\n"])
def test_tables_without_a_row_are_refused(text, tmp_path):
    """As text files are: a dev set without a row would be held out of the training text, without a word."""
    with pytest.raises(DataError, match=r"^there are no pairs in `.*t\.tsv`; at least one is needed\.$"):
        rows(tmp_path, text, "t.tsv")
    (tmp_path / "u.tsv").write_text("en\tde\na\tb\n")
    files = [str(tmp_path / name) for name in ("t.tsv", "u.tsv")]
    assert [pair.src for pair in read_table(files, INPUTS, "de")] == ["a"]
    assert list(read_table([], INPUTS, "de")) == []


def test_files_in_a_folder_whose_name_no_text_can_hold(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    table = folder / "t.tsv"
    table.write_text("en\tphoto\tde\na\tb.png\tc\n")
    assert [pair.src for pair in read_table([str(table)], INPUTS, "de")] == ["a"]
    with pytest.raises(DataError) as refused:
        list(read_table([str(table)], parse_inputs(["en:text", "photo:image:32:16"]), "de"))
    says = "names files, but the name of the folder that they are in is not UTF-8. hint: rename the folder."
    assert str(refused.value) == f"`{table}` {says}"
