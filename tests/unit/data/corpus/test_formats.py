"""Tables, records, translation memories and folders are read as what they are, or one sentence says what to type."""

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.data.corpus.pair import Origin
from mt.data.corpus.readers import check_order, infer_languages, read_pairs
from mt.errors import DataError
from mt.text.xml import elements

WANTED = [("one", "eins"), ("two, or", "zwei"), ("three", "drei")]


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str, encoding: str = "utf-8") -> str:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return str(tmp_path / name)

    return write


def texts(file, src="en", tgt="de", columns=()):
    return [(pair.src, pair.tgt) for pair in read_pairs([file], src, tgt, columns)]


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_the_quotes_it_has(write, delimiter):
    rows = ['"one"', "eins", '"two, or"', "zwei", "three", '"drei"']
    text = "".join(f"{rows[i]}{delimiter}{rows[i + 1]}\n" for i in (0, 2, 4))
    assert texts(write("a.csv", text)) == WANTED
    assert texts(write("b.csv", f"en{delimiter}de\n{text}")) == WANTED
    assert texts(write("c.csv", f'"a ""b""\nc"{delimiter}d\n')) == [('a "b" c', "d")]


@pytest.mark.parametrize(
    ("header", "src", "tgt"), [("en\tde", "en", "de"), ("source\ttarget", "en", "de"), ("SRC\tTGT", None, None)]
)
def test_a_header_is_no_pair(write, header, src, tgt):
    file = write("a.tsv", f"{header}\none\teins\ntwo, or\tzwei\nthree\tdrei\n")
    assert texts(file, src, tgt) == WANTED
    assert next(read_pairs([file], src, tgt)).origin == Origin(file, 2)


def test_columns_are_found_by_header_or_by_what_they_hold(write):
    body = [f"{n}\t{src}\t0.{n}\t{tgt}\n" for n, (src, tgt) in enumerate(WANTED)]
    assert texts(write("a.tsv", "id\ten\tscore\tde\n" + "".join(body))) == WANTED
    assert texts(write("b.tsv", "".join(body))) == WANTED
    assert texts(write("c.tsv", "".join(body)), columns=["2", "4"]) == WANTED
    assert texts(write("d.tsv", "id\tx\tscore\ty\n" + "".join(body)), columns=["x", "y"]) == WANTED
    assert texts(write("e.tsv", "".join(body)), columns=["4", "2"]) == [(tgt, src) for src, tgt in WANTED]
    assert texts(write("f.tsv", "one\teins\tCC-BY 2.0 by a, b\n")) == [("one", "eins")]  # further columns are ignored


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("de\ten\neins\tone\n", (), r":1: the header says de to en, but the settings say en to de\. hint: if the "
         r"header is right, write `data\.columns=\[en,de\]`\.$"),
        ("1\ta\tb\tc\n2\td\te\tf\n", (), r"a\.tsv` has 4 columns \('1', 'a', 'b', 'c'\), and it is not clear "
         r"which of them are source and target\. hint: name them, as in `data\.columns=\[2,4\]`\.$"),
        ("a\tb\n", ("x", "y"), r"a\.tsv` has no column `x`; its first row is a, b\.$"),
        ("1\ta\t2\tb\n1\ta\n", (), r"a\.tsv:2: the line must have at least 4 columns, but has 2 columns\.$"),
        ("one\n", (), r"a\.tsv:1: the line must be source, tab, target, but has no tab\.$"),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_said(write, text, columns, message):
    with pytest.raises(DataError, match=message):
        texts(write("a.tsv", text), columns=columns)


@pytest.mark.parametrize(
    ("text", "found"),
    [("de\ten\neins\tone\n", [("one", "eins")]), ("1\ta\tb\tc\n2\td\te\tf\n", [("a", "c"), ("d", "f")])],
)
def test_the_columns_that_a_hint_names_are_read(write, text, found):
    file = write("a.tsv", text)
    with pytest.raises(DataError) as refused:
        texts(file)
    columns = refused.value.hint.partition("`data.columns=[")[2].partition("]`")[0]
    assert texts(file, columns=columns.split(",")) == found


def test_a_header_of_two_languages_says_them(write):
    assert infer_languages([write("a.tsv", "en\tde\none\teins\ntwo\tzwei\n")]) == ("en", "de")
    assert infer_languages([write("b.tsv", "no\tja\none\teins\ntwo\tzwei\n")]) == ("no", "ja")
    assert infer_languages([write("c.tsv", "no\tja\nja\tno\n")]) is None
    assert infer_languages([write("d.tsv", "one\teins\ntwo\tzwei\nx\ty\n")]) is None


def test_csv_that_is_none_and_a_file_of_one_column(write):
    with pytest.raises(DataError, match=r"a\.csv:\d+: this is not CSV: unexpected end of data\.$"):
        texts(write("a.csv", 'one,eins\n"two,zwei\n'))
    with pytest.raises(DataError, match=r"b\.csv:1: the line must have at least 2 columns, but has no sec"):
        texts(write("b.csv", "one\ntwo\n"))


def test_empty_lines_are_empty_pairs_which_cleaning_counts(write):
    assert texts(write("a.tsv", "one\teins\n\ntwo\tzwei\n")) == [("one", "eins"), ("", ""), ("two", "zwei")]
    assert texts(write("a.jsonl", '{"en": "a", "de": "b"}\n\n')) == [("a", "b"), ("", "")]


SHEET = """<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>de</t></is></c></row>
<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2" t="inlineStr"><is><r><t>ei</t></r><r><t>ns</t></r></is></c></row>
<row r="3"><c r="A3"><v>5</v></c><c r="B3" t="str"><v>fünf</v></c></row></sheetData></worksheet>"""
STRINGS = """<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>en</t></si>
<si><t>one</t><rPh><t>wan</t></rPh></si></sst>"""


def test_the_first_sheet_of_a_workbook(tmp_path):
    file = tmp_path / "a.xlsx"
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", SHEET)
        book.writestr("xl/sharedStrings.xml", STRINGS)
    assert texts(str(file)) == [("one", "eins"), ("5", "fünf")]
    file.write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"a\.xlsx` cannot be read as an XLSX workbook \(File is not a zip file\)"):
        texts(str(file))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", " " * (100 << 20))
    with pytest.raises(DataError, match=r"a\.xlsx` grows more than 200-fold when unpacked"):
        texts(str(file))


# ---------------------------------------------------------------- records


def test_json_is_an_array_or_lines(write):
    records = [{"en": src, "de": tgt} for src, tgt in WANTED]
    assert texts(write("a.json", "\ufeff " + json.dumps(records, indent=1))) == WANTED
    assert texts(write("b.json", "".join(json.dumps(one) + "\n" for one in records))) == WANTED
    assert texts(write("c.ndjson", "".join(json.dumps(one) + "\n" for one in records))) == WANTED
    other = [{"id": 3, "x": src, "y": tgt} for src, tgt in WANTED]
    assert texts(write("d.json", json.dumps(other)), columns=["x", "y"]) == WANTED
    with pytest.raises(DataError, match=r"e\.json` is not JSON \(Expecting value"):
        texts(write("e.json", "[1,"))
    with pytest.raises(DataError, match=r"f\.json: record 1 must be a JSON object, but is int\.$"):
        texts(write("f.json", "[1]"))


# ---------------------------------------------------------------- encodings and folders


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_a_mark_is_read(write, encoding):
    text = "\ufeffone\teins\r\nä \U0001f600\u2028b\tzwei\r\n"
    assert texts(write("a.tsv", text, encoding)) == [("one", "eins"), ("ä \U0001f600\u2028b", "zwei")]


def test_utf_16_that_breaks_off_is_said(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_bytes("\ufeffone\teins\n".encode("utf-16-le") + b"\x00\xd8")
    with pytest.raises(DataError, match=r"a\.tsv` is damaged or cut short after line "):
        texts(str(file))


@given(st.text(st.characters(exclude_characters="\0\n\r\t", exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_the_same_in_utf_16(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("utf16") / "a.tsv"
    file.write_bytes(f"\ufeff{text}\tx\n".encode("utf-16-le"))
    assert texts(str(file)) == [(text, "x")]


def test_a_folder_as_opus_packs_it(tmp_path):
    for name, text in {"c.de-en.de": "eins\n", "c.de-en.en": "one\n", "c.de-en.ids": "1\n", "README": "x"}.items():
        (tmp_path / name).write_text(text)
    assert texts(str(tmp_path)) == [("one", "eins")]
    assert texts(str(tmp_path), None, None) == [("eins", "one")]  # as the names have it
    with pytest.raises(DataError, match=r"is a folder with README, c\.de-en\.de, .*: name the two files, as in `data"):
        texts(str(tmp_path), "en", "fr")


# ---------------------------------------------------------------- translation memories

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en-US" datatype="xml"/><body>
<tu><tuv xml:lang="en-US"><seg>one <bpt i="1">&lt;b&gt;</bpt><hi>two</hi><ept i="1">&lt;/b&gt;</ept></seg></tuv>
    <tuv xml:lang="de-DE"><seg>eins zwei</seg></tuv></tu>
<tu><tuv lang="DE"><seg>nur deutsch</seg></tuv></tu>
<tu><tuv xml:lang="de"><seg>drei
  vier</seg></tuv><tuv xml:lang="en"><seg>three four</seg></tuv></tu>
</body></tmx>"""


def test_tmx(write, caplog):
    file = write("a.tmx", TMX)
    assert texts(file) == [("one two", "eins zwei"), ("three four", "drei   vier")]
    assert caplog.messages == [f"`{file}`: 1 unit without text in both en and de left out"]
    assert texts(file, "de", "en")[0] == ("eins zwei", "one two")
    assert next(read_pairs([file], "en", "de")).origin == Origin(file, 4)
    with pytest.raises(DataError, match=r"a\.tmx` has no unit with text in both en and fr .*\. hint: name two of th"):
        texts(file, "en", "fr")
    check_order([file], "de", "en", "the model translates")  # has no order


def test_tmx_of_two_languages_says_which_they_are(write):
    text = TMX.replace("en-US", "en").replace("de-DE", "de").replace('lang="DE"', 'xml:lang="de"')
    file = write("a.tmx", text)
    assert infer_languages([file]) == ("en", "de")
    assert texts(file, None, None)[0] == ("one two", "eins zwei")
    assert texts(file, "src", "tgt")[0] == ("one two", "eins zwei")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<tmx><body><tu>", r"a\.tmx:1: this is not well-formed XML: "),
        (
            '<!DOCTYPE tmx [<!ENTITY x "y">]><tmx><tu><tuv xml:lang="en"><seg>&x;</seg></tuv></tu></tmx>',
            r"a\.tmx:1: the entity &x; is not read\. hint: write its text in its place\.$",
        ),
        (
            '<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
            '<tmx><tu><tuv xml:lang="en"><seg>&x;</seg></tuv></tu></tmx>',
            r"a\.tmx:1: the entity &x; is not read\. hint: write its text in its place\.$",
        ),
    ],
)
def test_bad_xml_and_entities_are_refused(write, body, message):
    with pytest.raises(DataError, match=message):
        texts(write("a.tmx", body))


XLIFF_1 = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en" target-language="de" original="x"><body>
<trans-unit id="1"><source>one <x id="1"/>two</source><target>eins <g id="2">zwei</g></target></trans-unit>
<trans-unit id="2"><source>three</source></trans-unit></body></file></xliff>"""
XLIFF_2 = """<xliff version="2.0" srcLang="en" trgLang="de" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">
<unit id="1"><segment><source>one <ph id="1"/>two</source><target>eins <pc id="2">zwei</pc></target></segment></unit>
<unit id="2"><segment><source>three</source></segment></unit></file></xliff>"""


@pytest.mark.parametrize("text", [XLIFF_1, XLIFF_2])
def test_xliff(write, text):
    file = write("a.xlf", text)
    assert infer_languages([file]) == ("en", "de")
    assert texts(file) == texts(file, None, None) == [("one two", "eins zwei")]
    assert texts(file, "de", "en") == [("eins zwei", "one two")]
    bare = write("b.xliff", text.replace(' target-language="de"', "").replace(' trgLang="de"', ""))
    assert texts(bare) == [("one two", "eins zwei")]


PO = """msgid ""
msgstr "Language: de\\nContent-Type: text/plain; charset=UTF-8\\n"

msgid "one"
msgstr "eins"

#, fuzzy
msgid "two"
msgstr "drei"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

msgid "not yet"
msgstr ""

#~ msgid "old"
#~ msgstr "alt"
"""


def test_po(write):
    file = write("a.po", PO)
    found = [("one", "eins"), ("%d file", "%d Datei"), ("%d files", "%d Dateien")]
    assert texts(file) == found
    assert texts(file, "de", "en") == [(tgt, src) for src, tgt in found]
    assert texts(write("b.po", PO.replace("Language: de\\n", ""))) == found
    with pytest.raises(DataError, match=r"a\.po` has no unit with text in both en and fr language; its language"):
        texts(file, "en", "fr")
    with pytest.raises(DataError, match=r"c\.po` cannot be read as a PO file \(Syntax error in po file"):
        texts(write("c.po", 'msgid "one"\nmsgstrr "eins"\n'))


def test_two_files_that_hold_both_sides_are_never_source_and_target(write):
    first, second = write("en.csv", "a,b\n"), write("de.csv", "c,d\n")
    assert [(p.src, p.tgt) for p in read_pairs([first, second], "en", "de")] == [("a", "b"), ("c", "d")]


def test_a_hub_configuration_is_a_name_and_no_direction():
    check_order(["hub:Helsinki-NLP/opus-100/de-en"], "en", "de", "`data.src` and `data.tgt` say")


def test_what_was_read_of_a_memory_is_dropped():
    unit = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv></tu>'
    stream = io.BytesIO(f"<tmx><body>{unit.format('x' * 2000) * 1000}</body></tmx>".encode())
    siblings = [len(element.getparent()) for element in elements(stream, "a.tmx", {"tu"})]
    assert len(siblings) == 1000 and max(siblings) < 100  # as many as one block of the file holds
