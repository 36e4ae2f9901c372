"""Subtitles: numbers, times and notes stay; a sentence over two cues is translated as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import in_linear_time
from shout import same, segments, translated, unmarked

from mt.documents.readers import translate_document
from mt.documents.subtitles import fold
from mt.errors import DataError

SRT = """1
00:00:01,000 --> 00:00:02,000 X1:0 X2:1
<i>Hello there, my</i>

2
00:00:03,000 --> 00:00:04,000
{\\an8}old friend of the
family.

3
00:00:05,000 --> 00:00:06,000
- Yes.
- No <b>way</b>!
12

4
00:00:07,000 --> 00:00:08,000
Blank lines

are part of it.
"""
VTT = """WEBVTT - a title

STYLE
::cue { color: red }

NOTE a note
of two lines

intro
00:01.000 --> 00:02.000 align:start
<v Ann>R&amp;D is <c.loud>great</c>

00:03.000 --> 00:04.000
<00:03.500>Really?
"""


def test_what_is_a_segment():
    assert segments(SRT, ".srt") == [
        "Hello there, my <x2/> old friend of the family.",
        "Yes.",
        "No <g1>way</g1>! 12",
        "Blank lines <x2/> are part of it.",
    ]
    assert segments(VTT, ".vtt") == ["R&amp;D is <g1>great</g1>", "Really?"]


def test_only_text_changes():
    assert translated(SRT, ".srt") == (
        """1
00:00:01,000 --> 00:00:02,000 X1:0 X2:1
<i>HELLO THERE, MY</i>

2
00:00:03,000 --> 00:00:04,000
{\\an8}OLD FRIEND OF
THE FAMILY.

3
00:00:05,000 --> 00:00:06,000
- YES.
- NO
<b>WAY</b>! 12

4
00:00:07,000 --> 00:00:08,000
BLANK LINES

ARE PART OF IT.
"""
    )
    assert translated(VTT, ".vtt") == VTT.replace("R&amp;D is", "R&amp;D IS").replace("great", "GREAT").replace(
        "Really", "REALLY"
    )


def test_a_break_within_a_line_stays_one():
    times = "00:00:01,000 --> 00:00:02,000\n"
    srt = f"{times}The old\\Nhouse.\nIt is in C:\\New.\n\n{times}- Yes.\\N- No.\r\n"
    assert segments(srt, ".srt") == ["The old house. It is in C:\\New.", "Yes.", "No."]
    assert translated(srt, ".srt", unmarked) == (
        f"{times}THE OLD\\NHOUSE. IT IS\\NIN C:\\NEW.\n\n{times}- YES.\\N- NO.\r\n"
    )
    vtt = f"WEBVTT\n\n{times.replace(',', '.')}The old\\Nhouse.\n"
    assert segments(vtt, ".vtt") == ["The old\\Nhouse."] and translated(vtt, ".vtt", same) == vtt


def test_a_border_without_words_on_one_side_gives_way_to_the_lengths():
    said = translated(SRT, ".srt", unmarked)
    assert "<i>HELLO THERE, MY</i>\n" in said and "{\\an8}OLD FRIEND OF\nTHE FAMILY.\n" in said


def test_the_border_goes_where_the_translation_has_it():
    said = translated(SRT, ".srt", lambda texts: ["Alter <x2/> Freund, hallo.", *texts[1:]])
    assert "<i>Alter</i>\n" in said and "{\\an8}Freund,\nhallo.\n" in said


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [("one", "two.", True), ("one,", "two.", True), ("one.", "two.", False), ("one", "Two.", False),
     ("one", "- two.", False), ("♪ one ♪", "two", False)],
)  # fmt: skip
def test_when_a_sentence_goes_on(first, second, together):
    cues = f"1\n00:01,0 --> 00:02,0\n{first}\n\n2\n00:03,0 --> 00:04,0\n{second}\n"
    assert len(segments(cues, ".srt")) == (1 if together else 2)


@pytest.mark.parametrize(
    ("line", "most", "rows"),
    [("a b c d", 2, ["a b", "c d"]), ("a b", 1, ["a b"]), ("one", 3, ["one"]), ("", 2, [""]),
     ("<i>a b</i> c d", 2, ["<i>a b</i>", "c d"]), ("a <font color=red>b c", 3, ["a", "<font color=red>b", "c"])],
)  # fmt: skip
def test_lines_of_about_equal_width(line, most, rows):
    assert fold(line, most, "\n").split("\n") == rows


CUES = st.lists(
    st.sampled_from(["1", "2", "00:00:01,000 --> 00:00:02,000", "", "one two", "Three.", "- four", "<i>five</i>", "<b>",
                     "{\\an8}six", "WEBVTT", "NOTE x", "&amp; seven", "é <v A B>犬"]), max_size=14,
).map(lambda lines: lines if "-->" in "".join(lines) else [*lines, "00:00:01,000 --> 00:00:02,000"])  # fmt: skip


@given(CUES, st.sampled_from([".srt", ".vtt"]), st.sampled_from(["\n", "\r\n"]))
def test_the_same_text_gives_the_same_bytes(lines, suffix, line_end):
    cues = line_end.join(lines).encode()
    assert translate_document(cues, suffix, same) == cues


@given(CUES, st.sampled_from([".srt", ".vtt"]))
def test_times_and_numbers_of_lines_stay_whatever_the_translation(lines, suffix):
    cues = "\n".join(lines)
    for translate in (unmarked, lambda texts: ["one"] * len(texts)):
        said = translated(cues, suffix, translate).split("\n")
        assert [line for line in said if "-->" in line] == [line for line in lines if "-->" in line]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_cue_with_a_book_in_it(most):
    with in_linear_time():  # a minute, where each width is tried in turn
        rows = fold("ab " * 15_000, most, "\n").split("\n")
    assert [len(row.split()) for row in rows] == [15_000 // most] * most


def test_a_reading_over_words_stays_and_is_no_part_of_the_sentence():
    page = "WEBVTT\n\n00:01.000 --> 00:02.000\n<ruby>one<rt>two</rt></ruby> <ruby.x>six<rt.a>ten</rt></ruby>\n"
    assert segments(page, ".vtt") == ["<g0>one<x2/></g0> <g5>six<x7/></g5>"]
    assert "<ruby>ONE<rt>two</rt></ruby> <ruby.x>SIX<rt.a>ten</rt></ruby>" in translated(page, ".vtt")


TWO = "1\n00:01,0 --> 00:02,0\nWhen I was young I\nlived there\n\n2\n00:03,0 --> 00:04,0\nin a small house\n"


@pytest.mark.parametrize("said", ["我小时候住在一座小房子里。 <x2/>", "<x2/> 我小时候住在一座小房子里。"])
def test_no_cue_is_empty_in_a_language_without_spaces(said):
    written = translated(TWO, ".srt", lambda texts: [said]).split("\n")
    assert [written[3], *written[6:8]] == ["住在一座", "00:03,0 --> 00:04,0", "小房子里。"]


def test_lines_of_a_cue_without_spaces_are_one_text_and_are_broken_again():
    cue = "1\n00:01,0 --> 00:02,0\n<i>今日は天気が</i>\n<i>いいですね。</i>\n"
    assert segments(cue, ".srt") == ["<g0>今日は天気が</g0><g3>いいですね。</g3>"]
    said = translated(cue.replace("<i>", "").replace("</i>", ""), ".srt", lambda texts: ["你们好，今天天气很好。"])
    assert said.split("\n")[2:4] == ["你们好，今天", "天气很好。"]


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_a_text_without_a_cue_is_refused(suffix):
    """It would come back in the source language without a word."""
    for text in ("", " \n", "WEBVTT\n\nNOTE one\n" if suffix == ".vtt" else "1:2 --> 3:4\n"):
        assert segments(text, suffix) == []
    for text in ("one\ntwo\n", "{12}{34}one", "1\n00:00:01,000 -> 00:00:02,000\none\n"):
        with pytest.raises(
            DataError, match=r"^this is no file of subtitles: no line has times, such as 00:00:01,000 --> "
        ):
            segments(text, suffix)
