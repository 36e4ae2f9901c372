"""Tables: headers, records and rows."""

import re

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


def test_columns_that_are_not_read_may_have_one_name(tmp_path):
    assert rows(tmp_path, "en\tx\tx\tde\na\t1\t2\tb\n", "t.tsv") == [("a", "b", 2)]
