"""Plain text as a document, and what holds for text of any format."""

import codecs
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shout import same, segments, shout, translated

from mt.documents.names import SUFFIXES, same_format, suffix_of
from mt.documents.parsed import MAX_BYTES
from mt.documents.readers import READERS, translate_document
from mt.errors import ConfigError, DataError

MAIL = (
    "A paragraph of a mail that was broken to fit a\n"
    "width as people do when they write with an old\n"
    "editor.\n"
    "\n"
    "  Dear all,\n"
    "  hello\n"
)


def test_a_wrapped_paragraph_is_one_segment_and_other_lines_are_each_one():
    assert segments(MAIL, ".txt") == [
        "A paragraph of a mail that was broken to fit a width as people do when they write with an old editor.",
        "Dear all,",
        "hello",
    ]


def test_a_translation_is_broken_to_the_same_width():
    longer = translated(
        MAIL, ".txt", lambda texts: [one.replace("people", "many people of all kinds") for one in texts]
    )
    assert longer == (
        "A paragraph of a mail that was broken to fit a\n"
        "width as many people of all kinds do when they\n"
        "write with an old editor.\n"
        "\n"
        "  Dear all,\n"
        "  hello\n"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["Roses are red,", "violets are blue,"],  # too narrow
        ["This line had room for another word", "and the next one is so much longer than this line was"],
        [
            "This line is long enough to be of a wrapped text",
            "so is this one, which was indented by nobody ever",
            "  (c)",
        ],
    ],
)
def test_lines_that_no_width_explains_are_segments_of_their_own(lines):
    assert segments("\n".join(lines), ".txt") == [line.strip() for line in lines]


@pytest.mark.parametrize(
    "sign", ["- ", "* ", "+ ", "• ", "– ", "1. ", "12) ", "(3) ", "a) ", "- [ ] ", "> ", "> > ", ">- ", "# ", "*\t"]
)
def test_signs_of_lists_stay_outside(sign):
    text = f"Some things\n{sign}one thing\n  {sign}an other\n{sign}\n"
    assert segments(text, ".txt") == ["Some things", "one thing", "an other"]
    assert translated(text, ".txt") == f"SOME THINGS\n{sign}ONE THING\n  {sign}AN OTHER\n{sign}\n"
    wrapped = f"{sign}This line is long enough to be of a wrapped text\n  and nothing explains another break.\n"
    assert len(segments(wrapped, ".txt")) == 1 and translated(wrapped, ".txt").startswith(f"{sign}THIS LINE")


@pytest.mark.parametrize("line", ["-5 degrees", "*bold*", "1.5 litres", "2020. A year", "A. Miller", "-- no", "a. b"])
def test_what_is_no_sign_of_a_list(line):
    assert segments(line, ".txt") == [line]


def test_the_item_of_a_list_ends_a_paragraph():
    lines = ["This line is long enough to be of a wrapped text", "- but this one is an item of a list"]
    assert segments("\n".join(lines), ".txt") == [lines[0], lines[1].removeprefix("- ")]


def test_an_indent_of_the_further_lines_is_that_of_the_translation():
    text = "* An item of a list whose text was broken to fit\n  the width of the page, with an indent.\n"
    assert translated(text, ".txt") == text.upper()


LONG = "我们今天要去公园散步，因为天气非常好，而且孩子们也想出去玩一会儿，所以我们决定早点出发去公园里面"


def test_lines_without_spaces_are_no_words_that_had_no_room():
    lines = [f"{LONG}。", "他昨天买了一本新书，书里讲的是一个关于勇气和友谊的故事。", f"{LONG[:40]}。"]
    assert segments("\n".join(lines), ".txt") == lines
    thai = ["กรุงเทพเป็นเมืองหลวงของประเทศ", "ประเทศไทยเป็นประเทศที่ตั้งอยู่ในเอเชียตะวันออกเฉียงใต้"]
    assert segments("\n".join(thai), ".txt") == thai


def test_a_wrapped_paragraph_without_spaces_is_joined_and_broken_without_them():
    text, width = f"{LONG}\n{LONG[1:]}，\n好。\n", len(LONG)
    assert segments(text, ".txt") == [f"{LONG}{LONG[1:]}，好。"]
    said = translated(text, ".txt", lambda texts: ["我" * (width - 1) + "，“我们”。" + "好" * width])
    assert said == f"{'我' * (width - 1)}，\n“我们”。{'好' * (width - 5)}\n好好好好好\n"


@given(st.text("aB .,\n\r\t\ufeff\u2028é犬<>&;{}%", max_size=80))
def test_the_same_text_gives_the_same_bytes(text):
    raw = text.encode()
    assert translate_document(raw, ".txt", same) == raw


@given(st.text("aB .,\n\r\té犬", max_size=80))
def test_every_line_and_its_end_stay(text):
    assert translated(text, ".txt") == text.upper()


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_encodings_with_a_byte_order_mark(mark, encoding):
    assert translate_document(mark + "aé\r\n".encode(encoding), ".txt", shout) == mark + "AÉ\r\n".encode(encoding)


def test_a_segment_without_letters_is_not_given_to_the_translator():
    assert segments("12:30\n\n---\n\nhttp://a.example/b\n\n{name} %s\n\n&lt;\n\nword\n", ".txt") == ["word"]


def test_an_equal_segment_is_given_once_and_the_translator_not_at_all_without_segments():
    seen = []

    def look(texts):
        seen.append(texts)
        return shout(texts)

    assert translated("a\n\nb\n\na\n", ".txt", look) == "A\n\nB\n\nA\n"
    assert translated("1\n", ".txt", look) == "1\n"
    assert seen == [["a", "b"]]


def test_a_segment_whose_translation_is_empty_stays():
    assert translated("a\n\nb\n", ".txt", lambda texts: ["", "B\nb"]) == "a\n\nB b\n"


def test_a_translator_that_loses_a_segment_is_an_error():
    with pytest.raises(ValueError, match="2 segments were given to the translator, which returned 1"):
        translated("a\n\nb\n", ".txt", lambda texts: texts[:1])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a\nb\xff", r"line 2: byte 2 \(0xff\) is not UTF-8\. hint: convert the file to UTF-8"),
        (b"a\nb\0", "line 2: NUL character"),
        (b"\xef\xbb\xbfa\xff", r"line 1: byte 5 \(0xff\) is not UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", "line 1: byte 3 .* is not UTF-16-LE"),
        # Ċ is 0x010a: a byte of it is no line end.
        (codecs.BOM_UTF16_LE + "Ċ\nbc".encode("utf-16-le") + b"\0\xd8", "^line 2: byte 5 .0x00. is not UTF-16-LE"),
    ],
)
def test_what_is_no_text(raw, message):
    with pytest.raises(DataError, match=message):
        translate_document(raw, ".txt", same)


def test_too_many_bytes(monkeypatch):
    monkeypatch.setattr("mt.documents.readers.MAX_BYTES", 3)
    assert MAX_BYTES > 1 << 20
    with pytest.raises(DataError, match="the document has 4 bytes; at most 3 are read"):
        translate_document(b"abcd", ".txt", same)


def test_an_unknown_format():
    with pytest.raises(ConfigError, match=r"suffix `\.pdf` cannot be translated; the formats are \.txt, .* and "):
        translate_document(b"", ".pdf", same)


@pytest.mark.parametrize("data", ["a.txt", Path("a.txt"), None])
def test_what_is_no_document(data):
    told = re.escape(repr(data)) + r"\. hint: read a file with `pathlib\.Path\(NAME\)\.read_bytes\(\)`, and encode a"
    with pytest.raises(ConfigError, match=f"^`data` must be the bytes of a document, but is {told}"):
        translate_document(data, ".txt", same)


def test_the_bytes_that_its_hint_reads(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one")
    for data in ((tmp_path / "a.txt").read_bytes(), b"one", bytearray(b"one")):
        assert translate_document(data, ".txt", same) == b"one"


def test_keys_belong_to_json():
    with pytest.raises(ConfigError, match=r"keys are chosen in \.json files, not in \.txt files"):
        translate_document(b"a", ".txt", same, keys=["a"])


def test_every_suffix_has_a_reader():
    assert set(READERS) == set(SUFFIXES)
    assert suffix_of("a/B.HTML") == ".html" and suffix_of("a.pdf") == "" and suffix_of("a") == ""
    assert same_format("a.htm", "b.html") and same_format("a.pot", "b.PO")
    assert not same_format("a.htm", "b.md") and not same_format("a.pdf", "b.pdf")


@pytest.mark.parametrize("space", ["\xa0", "\u202f", "\u3000"])
@pytest.mark.parametrize(
    ("before", "suffix"),
    [("", ".txt"), ("", ".md"), ("1\n00:00:01,000 --> 00:00:02,000\n", ".srt"), ("00:01.000 --> 00:02.000\n", ".vtt")],
)
def test_a_space_that_breaks_no_line_stays(space, before, suffix):
    page = f"{before}Who goes there at this time of the night, I\nwonder ?\n"
    said = translated(page, suffix, lambda texts: [one.replace(" ?", f"{space}?") for one in texts])
    assert f"wonder{space}?\n" in said


@pytest.mark.parametrize(
    ("first", "second", "between"),
    [
        ("彼は一人で出かけて行きましたが、", "すぐに帰って来ました。", ""),
        ("他一个人出去了,可是没过多久又回", "来了。", ""),
        ("그는 혼자 나갔지만 곧 다시", "돌아왔습니다.", " "),
        ("彼の名前は John", "でした。", " "),
    ],
)
def test_the_broken_lines_of_a_script_without_spaces_are_joined_without_one(first, second, between):
    for suffix in (".txt", ".md"):
        lines = f"{40 * '々'}{first}\n{second}\n"
        assert segments(lines, suffix) == [f"{40 * '々'}{first}{between}{second}"]
