"""Tables, records, translation memories and folders are read as what they are, or one sentence says what to type."""

import bz2
import gzip
import io
import json
import lzma
import re
import shlex
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mt.data.corpus import readers
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


def texts(file, src: str | None = "en", tgt: str | None = "de", columns=()):
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
    assert infer_languages([write("e.tsv", "")]) is infer_languages([write("e.csv", "")]) is None


@pytest.mark.parametrize(
    ("header", "src", "tgt", "inferred"),
    [
        ("English,German", "en", "de", ("en", "de")),
        ("en_US,de-AT", "en", "de", ("en_US", "de-AT")),
        ("ENG,deu", "en", "de", ("ENG", "deu")),
        ("en,de", "eng", "deu", ("en", "de")),
        ("en,zh-Hant", "en", "zh", ("en", "zh-Hant")),
        ("Source text,Target text", "en", "de", None),
        ("SOURCE,Target", None, None, None),
    ],
)
def test_a_header_names_languages_in_any_style(write, header, src, tgt, inferred):
    rows = "one,eins\ntwo,zwei\n"
    file = write("a.csv", f"{header}\n{rows}")
    assert infer_languages([file]) == inferred
    assert texts(file, src, tgt) == [("one", "eins"), ("two", "zwei")]
    turned = write("b.csv", f"{','.join(reversed(header.split(',')))}\n{rows}")
    with pytest.raises(DataError, match=r"b\.csv:1: the header says .* but the settings say ") as refused:
        texts(turned, src, tgt)
    columns = shlex.split(refused.value.hint.split("`")[1])[0].removeprefix("data.columns=[").removesuffix("]")
    assert texts(turned, src, tgt, columns.split(",")) == [("eins", "one"), ("zwei", "two")]


def test_a_header_beside_ids_and_under_numbers_of_columns_is_no_pair(write):
    file = write("a.tsv", "id\tEnglish\tde\n1\tone\teins\n2\ttwo\tzwei\n")
    assert infer_languages([file]) == ("en", "de")
    assert texts(file) == texts(file, columns=("2", "3")) == [("one", "eins"), ("two", "zwei")]


def test_fields_name_languages_in_any_style(write):
    for fields in (("EN", "DE"), ("en_US", "de-DE"), ("English", "German"), ("Source Text", "target_text")):
        line = json.dumps(dict(zip(fields, ("one", "eins"), strict=True)))
        assert texts(write("a.jsonl", line)) == [("one", "eins")]
    assert texts(write("b.jsonl", '{"source": "web", "target": "x", "translation": {"en": "one", "de": "eins"}}')) == [
        ("one", "eins")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Hello, you;Hallo, du\nYes, I do;Ja, doch\n",  # as many commas on each line
        "sep=;\nHello, you;Hallo, du\nYes, I do;Ja, doch\n",
        '"Hello, you", "Hallo, du"\n"Yes, I do", "Ja, doch"\n',  # spaces before quotes
        '"Hello, you";"Hallo, du"\n\n"Yes, I do";"Ja, doch"\n',
    ],
)
def test_the_delimiter_of_csv_is_no_punctuation(write, text):
    assert list(filter(any, texts(write("a.csv", text)))) == [("Hello, you", "Hallo, du"), ("Yes, I do", "Ja, doch")]


def test_a_row_over_several_lines_hides_no_delimiter(write):
    rows = "".join(f"a{i};b{i}\n" for i in range(99))
    assert texts(write("a.csv", f'{rows}"x\ny";"u\nv"\nc;d\n'))[-2:] == [("x y", "u v"), ("c", "d")]


def test_text_that_its_own_delimiter_cuts_is_not_lost_in_silence(write, caplog):
    file = write("a.csv", "one,eins\ntwo,zwei, oder\n")
    message = (
        r"a\.csv:2: the row has 3 columns, but the first row has 2\. hint: put text that holds the delimiter in "
        r"quotes; if the row is right, name the two columns, as in `data\.columns=\[1,2\]`\.$"
    )
    with pytest.raises(DataError, match=message):
        texts(file)
    assert texts(file, columns=("1", "2")) == [("one", "eins"), ("two", "zwei")]
    assert texts(write("b.csv", "one,eins\ntwo,zwei,,\n")) == [("one", "eins"), ("two", "zwei")]
    assert texts(write("a.tsv", "one\teins\ntwo\tzwei\toder\n")) == [("one", "eins"), ("two", "zwei")]
    assert "a.tsv`: 1 row with more than the 2 columns of the first, whose text may be cut at a tab; the first is " in (
        caplog.text
    )


def test_csv_that_is_none_and_a_file_of_one_column(write):
    with pytest.raises(DataError, match=r"a\.csv:2: the row that begins here is not CSV: unexpected end of data\.$"):
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


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_workbook_of_any_compression_that_is_damaged(tmp_path, method):
    file = tmp_path / "a.xlsx"
    with zipfile.ZipFile(file, "w", method) as book:
        book.writestr("xl/worksheets/sheet1.xml", SHEET)
        begin = len("PK\3\4") + 26 + len("xl/worksheets/sheet1.xml")  # of the content, behind its header
    content = file.read_bytes()
    file.write_bytes(content[: begin + 9] + bytes(200) + content[begin + 209 :])
    with pytest.raises(DataError, match=r"a\.xlsx` cannot be read as an XLSX workbook \(.+\)\.$"):
        texts(str(file))


CELL = '<row r="1"><c r="A1" t="inlineStr"><is><t>one</t></is></c><c r="{}" {}><v>{}</v></c></row>'


def test_the_sheet_that_a_workbook_shows_first(tmp_path):
    file = tmp_path / "a.xlsx"
    with zipfile.ZipFile(file, "w") as book:
        book.writestr(
            "xl/workbook.xml",
            '<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
            '<sheet name="B" r:id="x2"/><sheet name="A" r:id="x1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            '<Relationships><Relationship Id="x1" Target="worksheets/sheet1.xml"/>'
            '<Relationship Id="x2" Target="/xl/worksheets/sheet7.xml"/></Relationships>',
        )
        book.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
        book.writestr("xl/worksheets/sheet7.xml", f"<worksheet>{CELL.format('B1', '', 'eins')}</worksheet>")
    assert texts(str(file)) == [("one", "eins")]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("B1", 't="s"', "9"), "list index out of range"),
        (("ZZZZZZZZ1", "", "9"), "there is no column 'ZZZZZZZZ1'"),
        (("B1", 't="s"', "x"), "invalid literal"),
    ],
)
def test_cells_that_no_workbook_has(tmp_path, cell, message):
    file = tmp_path / "a.xlsx"
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", f"<worksheet>{CELL.format(*cell)}</worksheet>")
    with pytest.raises(DataError, match=rf"a\.xlsx` cannot be read as an XLSX workbook \({message}"):
        texts(str(file))


# ---------------------------------------------------------------- records


def test_json_that_is_one_object_is_said(write):
    with pytest.raises(DataError, match=r"a\.json` must be an array of objects, or have one object on each line"):
        texts(write("a.json", json.dumps({"data": [{"en": "one", "de": "eins"}]}, indent=1)))


def test_json_that_is_not_utf_8_is_said_with_the_byte(write):
    file = write("a.json", "")
    Path(file).write_bytes('[{"en": "café", "de": "x"}]'.encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.json`: byte 13 \(0xe9\) is not UTF-8\. hint: convert the file to UTF-8"):
        texts(file)


def test_json_is_an_array_or_lines(write):
    records = [{"en": src, "de": tgt} for src, tgt in WANTED]
    assert texts(write("a.json", "\ufeff " + json.dumps(records, indent=1))) == WANTED
    assert texts(write("b.json", "".join(json.dumps(one) + "\n" for one in records))) == WANTED
    assert texts(write("c.ndjson", "".join(json.dumps(one) + "\n" for one in records))) == WANTED
    other = [{"id": 3, "x": src, "y": tgt} for src, tgt in WANTED]
    assert texts(write("d.json", json.dumps(other)), columns=["x", "y"]) == WANTED
    with pytest.raises(DataError, match=r"e\.json` is not JSON \(Expecting value"):
        texts(write("e.json", "[1,"))
    with pytest.raises(DataError, match=r"f\.json: record 1 must be a JSON object, but is a number\.$"):
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
    with pytest.raises(DataError, match=r"is a folder with README, c\.de-en\.de, .*: name its two files in place"):
        texts(str(tmp_path), "en", "fr")


def test_each_name_in_a_large_folder_is_looked_at_once(tmp_path, monkeypatch):
    for number in range(40):
        (tmp_path / f"part{number}.txt").write_text("x\n")
    looked_at = []
    monkeypatch.setattr(readers, "language_of", lambda name: looked_at.append(name))
    with pytest.raises(DataError, match=r"is a folder with part0\.txt, part1\.txt, "):
        texts(str(tmp_path), "en", "de")
    assert len(looked_at) == 40


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


def test_each_of_several_texts_in_one_language_is_in_a_pair(write, caplog):
    told = "en-GB= en-US=one de=eins fr=un fr=une de=ein de="
    variants = (one.split("=") for one in told.split(" "))
    tuv = "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in variants)
    file = write("a.tmx", f"<tmx><tu>{tuv}</tu></tmx>")
    assert texts(file) == [("one", "eins"), ("one", "ein")]
    assert texts(file, "de", "fr") == [("eins", "un"), ("ein", "une")]
    assert texts(file, "fr", "en") == [("un", "one"), ("une", "one")]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            '<?xml version="1.0" encoding="utf-16"?><tmx/>',
            r"a\.tmx` says in its first line that it is in utf-16, but it is not\. "
            'hint: write `encoding="UTF-8"` there, or leave it out\\.$',
        ),
        ("<tmx><body><tu>", r"a\.tmx:1: this is not well-formed XML: "),
        ("<tmx>\n<tu>\n&nbsp;</tu></tmx>", r"a\.tmx:3: this is not well-formed XML: Entity 'nbsp' not defined\.$"),
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


@pytest.mark.parametrize(
    ("name", "text", "ending"),
    [
        (
            "a.tmx",
            TMX,
            "its languages are DE, de, de-DE, en, en-US. hint: name two of them with `data.src` and `data.tgt`.",
        ),
        (
            "a.tmx",
            '<tmx><tu><tuv xml:lang="ga"><seg>a</seg></tuv></tu></tmx>',
            "its only language is ga. hint: give a file",
        ),
        (
            "a.tmx",
            "<tmx><tu><tuv><seg>a</seg></tuv></tu></tmx>",
            "its languages are not named. hint: a file must say which",
        ),
        ("a.tmx", "<tmx/>", "its languages are not named. hint: give a file with text in both languages."),
        (
            "a.xlf",
            XLIFF_1.replace(' target-language="de"', ""),
            "language that it names is en. hint: write `data.src=en`.",
        ),
        (
            "a.xlf",
            XLIFF_1.replace('source-language="en"', ""),
            "language that it names is de. hint: write `data.tgt=de`.",
        ),
        ("a.xlf", XLIFF_1.replace("target>", "note>"), "its only language is en. hint: give a file with text in both"),
        (
            "a.po",
            'msgid "a"\nmsgstr ""\n',
            "its languages are not named. hint: give a file with text in both languages.",
        ),
    ],
)
def test_languages_that_a_memory_lacks(write, name, text, ending):
    file = write(name, text)
    with pytest.raises(DataError) as refused:
        texts(file, "ja", "fr")
    assert str(refused.value).startswith(f"`{file}` has no unit with text in both ja and fr language; ")
    assert ending in str(refused.value)
    if typed := re.search(r"`data\.(src|tgt)=(\w+)`", refused.value.hint):
        assert texts(file, **({"src": "ja", "tgt": "fr"} | {typed[1]: typed[2]}))


@pytest.mark.parametrize(
    ("named", "asked", "found"),
    [
        ("DEU", "de", "x"), ("de", "deu", "x"), ("zh-Hans", "zho_Hans", "x"), ("zh", "zh-Hant", "x"),
        ("pt-BR", "pt", "x"), ("pt-PT", "pt_BR", "x"), ("zh-Hans", "zh-Hant", None), ("sr-Cyrl-RS", "sr_Latn", None),
    ],
)  # fmt: skip
def test_a_memory_takes_a_variety_but_no_other_script(write, named, asked, found):
    unit = f'<tu><tuv xml:lang="EN-us"><seg>one</seg></tuv><tuv xml:lang="{named}"><seg>x</seg></tuv></tu>'
    file = write("a.tmx", f"<tmx><body>{unit}</body></tmx>")
    if found:
        assert texts(file, "eng", asked) == [("one", found)]
    else:
        with pytest.raises(DataError, match=rf"no unit with text in both eng and {asked} language; its languages are"):
            texts(file, "eng", asked)


def test_the_header_of_a_tmx_says_which_language_is_the_source(write):
    unit = '<tu><tuv xml:lang="de"><seg>eins</seg></tuv><tuv xml:lang="en-GB"><seg>one</seg></tuv></tu>'
    for said, languages in {"EN": ("en-GB", "de"), "de-DE": ("de", "en-GB"), "*all*": ("de", "en-GB")}.items():
        file = write("a.tmx", f'<tmx><header srclang="{said}"/><body>{unit}</body></tmx>')
        assert infer_languages([file]) == languages


def test_varieties_of_a_language_agree(write):
    plain, memory = write("a.en", "one\n"), write("a.xlf", XLIFF_1.replace('"en"', '"en-US"'))
    assert infer_languages([plain, write("a.de", "eins\n"), memory]) == ("en", "de")
    assert infer_languages([plain, write("a.fr", "un\n"), memory]) is None


def test_a_tmx_without_languages_is_said(write):
    with pytest.raises(DataError, match=r"languages are not named\. hint: a file must say which language"):
        texts(write("a.tmx", "<tmx><tu><tuv><seg>one</seg></tuv><tuv><seg>eins</seg></tuv></tu></tmx>"))


def test_a_code_that_ends_a_line_leaves_a_space(write):
    variant = '<tuv xml:lang="{}"><seg>{}</seg></tuv>'
    variants = variant.format("en", "a<ph type='lb'/>b<ph/>c") + variant.format("de", "d")
    memory = f"<tmx><tu>{variants}</tu></tmx>"
    assert texts(write("a.tmx", memory)) == [("a bc", "d")]
    for native in ("&lt;br/&gt;", "\\n", "{\\line }", "\\par"):
        assert texts(write("b.tmx", memory.replace("<ph/>", f"<ut>{native}</ut>"))) == [("a b c", "d")]
    assert texts(write("b.tmx", memory.replace("<ph/>", "<ph>&lt;b&gt;</ph>"))) == [("a bc", "d")]
    assert texts(write("a.xlf", XLIFF_1.replace('one <x id="1"/>', 'one<x ctype="lb"/>'))) == [("one two", "eins zwei")]
    assert texts(write("b.xlf", XLIFF_2.replace('one <ph id="1"/>', 'one<ph subType="xlf:lb"/>'))) == [
        ("one two", "eins zwei")
    ]


@pytest.mark.parametrize("text", [XLIFF_1, XLIFF_2])
def test_a_copy_that_waits_for_its_translation_is_no_pair(write, text, caplog):
    for state in ("new", "needs-translation", "initial"):
        copy = text.replace("<segment>", f'<segment state="{state}">').replace("<target>", f'<target state="{state}">')
        copy = copy.replace("<source>three</source>", f'<source>three</source><target state="{state}">three</target>')
        assert texts(write("a.xlf", copy)) == [("one two", "eins zwei")]
        assert "1 unit without text in both en and de left out" in caplog.text


@pytest.mark.parametrize("text", [XLIFF_1, XLIFF_2])
def test_xliff(write, text):
    file = write("a.xlf", text)
    assert infer_languages([file]) == ("en", "de")
    assert texts(file) == texts(file, None, None) == [("one two", "eins zwei")]
    assert texts(file, "de", "en") == [("eins zwei", "one two")]
    bare = write("b.xliff", text.replace(' target-language="de"', "").replace(' trgLang="de"', ""))
    assert texts(bare) == [("one two", "eins zwei")]


def test_a_line_end_whose_native_code_is_named_in_the_unit(write):
    data = '<originalData><data id="d1">&lt;br/&gt;</data><data id="d2">&lt;b/&gt;</data></originalData>'
    code = '<ph id="1" dataRef="d{0}"/>'
    one, two = (
        f"<segment><source>one{c}two</source><target>a{c}b</target></segment>" for c in map(code.format, (1, 2))
    )
    unit = f'<unit id="1">{data}{one}{two}{one}</unit><unit id="2">{one}</unit>'
    file = write("a.xlf", f'<xliff version="2.0" srcLang="en" trgLang="de"><file id="f">{unit}</file></xliff>')
    assert texts(file) == [("one two", "a b"), ("onetwo", "ab"), ("one two", "a b"), ("onetwo", "ab")]


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


def test_po(write, caplog):
    file = write("a.po", PO)
    found = [("one", "eins"), ("%d file", "%d Datei"), ("%d files", "%d Dateien")]
    assert texts(file) == found
    assert caplog.messages == [f"`{file}`: 2 units without text in both en and de, or fuzzy, left out"]
    assert texts(file, "de", "en") == [(tgt, src) for src, tgt in found]
    assert texts(write("b.po", PO.replace("Language: de\\n", ""))) == found
    with pytest.raises(DataError, match=r"a\.po` has no unit with text in both en and fr language; the only "):
        texts(file, "en", "fr")
    with pytest.raises(DataError, match=r"c\.po` cannot be read as a PO file \(Syntax error in po file"):
        texts(write("c.po", 'msgid "one"\nmsgstrr "eins"\n'))


def test_po_in_an_older_encoding(tmp_path):
    old = PO.replace("UTF-8", "ISO-8859-1").replace("eins", "für")
    (file := tmp_path / "a.po").write_bytes(old.encode("latin-1"))
    assert texts(str(file))[0] == ("one", "für")
    file.write_text(old, encoding="utf-8")  # what it declares is wrong
    assert texts(str(file))[0] == ("one", "für")
    file.write_bytes(old.replace("ISO-8859-1", "klingon").encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.po` says that it is in `klingon`, which is no encoding known here"):
        texts(str(file))
    file.write_bytes(old.replace("ISO-8859-1", "EUC-JP").encode("latin-1"))
    with pytest.raises(
        DataError, match=r"a\.po:5: byte 0xfc is not EUC-JP, the encoding that the file declares\. hint: co"
    ):
        texts(str(file))
    file.write_bytes(old.replace("ISO-8859-1", "UTF-8").encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.po:5: byte 10 \(0xfc\) is not UTF-8"):
        texts(str(file))


ARABIC = "nplurals=6; plural=n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5;"


@pytest.mark.parametrize(
    "rule, one",
    [(ARABIC, "1"), ("nplurals=2; plural=n>1;", "0"), ("plural=n**n;", "0"), ("plural=n/0;", "0"), ("", "0")],
)
def test_the_singular_of_po_has_the_form_for_one_thing(write, rule, one):
    forms = "".join(f'msgstr[{n}] "{n}"\n' for n in range(6))
    header = f'msgid ""\nmsgstr "Language: de\\nPlural-Forms: {rule}\\n"\n\n'
    file = write("a.po", f'{header}msgid "file"\nmsgid_plural "files"\n{forms}')
    assert texts(file) == [("file", one), ("files", "5")]


def test_a_po_file_is_its_text_and_never_the_path_of_another(write):
    other = write("other.po", PO)
    with pytest.raises(DataError, match=r"a\.po` cannot be read as a PO file \(Syntax error in po file \(line 1\)"):
        texts(write("a.po", other))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tmx", "<tmx>{}</tmx>"),
        ("a.xlf", "<xliff>{}</xliff>"),
        ("a.json", "[{}]"),
        ("a.po", "# {}"),
        ("a.csv", "{},"),
    ],
)
def test_a_packed_file_that_is_cut_short_is_said(tmp_path, pack, name, text):
    packed = pack(text.format("".join(map(chr, range(0x4E00, 0x5E00)))).encode())
    file = tmp_path / f"{name}.gz"
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(
        DataError, match=rf"{name}\.gz` is damaged or cut short( after line \d+)? \(.*hint: copy or dow"
    ):
        texts(str(file))


def test_a_workbook_is_not_packed_again(write):
    with pytest.raises(
        DataError, match=r"`.*a\.xlsx\.gz` is compressed twice, because a \.xlsx file is compressed alr"
    ):
        texts(write("a.xlsx.gz", ""))


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


def test_what_was_read_of_nested_units_is_dropped_with_their_frames():
    unit = "<!-- x --><unit><notes><note>{}</note></notes><segment><source>a</source></segment></unit>"
    stream = io.BytesIO(f"<!-- x --><xliff><file>{unit.format('x' * 2000) * 1000}</file></xliff>".encode())
    kept = [len([*element.getroottree().iter()]) for element in elements(stream, "a.xlf", {"segment"})]
    assert len(kept) == 1000 and max(kept) < 400  # as many as one block of the file holds
