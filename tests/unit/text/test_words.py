"""Words by where they stand, and which pieces are theirs."""

from itertools import pairwise

import pytest
import regex
from characters import ANY
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import in_linear_time

from mt.text.words import (
    CLUSTER,
    NO_WORD,
    carry_over,
    has_letters,
    is_one_word,
    is_word,
    joined,
    lacks_spaces,
    line_piece,
    line_pieces,
    may_divide,
    occurs,
    owners,
    reading_words,
    spaced_words,
    stands_alone,
    unbroken,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ein Mann, 3.5 km.", ["Ein", "Mann", ",", "3.5", "km", "."]),
        ("it's (so-called)…", ["it's", "(", "so-called", ")", "…"]),
        ("東京です。 ok", ["東", "京", "で", "す", "。", "ok"]),
        ("Привет, мир", ["Привет", ",", "мир"]),
        ("שָׁלוֹם עולם!", ["שָׁלוֹם", "עולם", "!"]),
        ("नमस्ते", ["नमस्ते"]),
        ("cafe\u0301 <b>", ["cafe\u0301", "<", "b", ">"]),
        ("আমি বাংলায় গান গাই।", ["আমি", "বাংলায়", "গান", "গাই", "।"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("తెలుగు భాష", ["తెలుగు", "భాష"]),
        ("หนึ่งน้ำ", ["ห", "นึ่", "ง", "น้ำ"]),  # four characters as a reader counts them, of eight code points
        ("ខ្មែរ ភាសា", ["ខ្មែ", "រ", "ភា", "សា"]),
        ("吉吉 𠮷𠮷", ["吉", "吉", "𠮷", "𠮷"]),  # the second is in CJK extension B
        ("か\u3099っこう ー ｱﾊﾟ", ["か\u3099", "っ", "こ", "う", "ー", "ｱ", "ﾊﾟ"]),
        ("我用ＡＢＣ和3.5。", ["我", "用", "ＡＢＣ", "和", "3.5", "。"]),
        ("한국어 글", ["한국어", "글"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("Zei\u00adtung", ["Zei\u00adtung"]),
        ("ខ្មែ\u200bរ", ["ខ្មែ", "រ"]),  # a space of no width
        ("ok 👨\u200d👩\u200d👧👍🏽 🇩🇪1\ufe0f\u20e3", ["ok", "👨\u200d👩\u200d👧", "👍🏽", "🇩🇪", "1\ufe0f\u20e3"]),
        ("", []),
        ("  ", []),
    ],
)
def test_words_as_a_reader_sees_them(text, words):
    assert [text[begin:end] for begin, end in reading_words(text)] == words


@given(st.text(ANY))
def test_words_lie_in_order_and_leave_out_nothing_but_space_and_marks(text):
    for split in (reading_words, spaced_words):
        spans = split(text)
        assert all(begin < end for begin, end in spans)
        assert spans == sorted(spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        covered = {place for begin, end in spans for place in range(begin, end)}
        assert all(not text[place].isalnum() for place in range(len(text)) if place not in covered)


SCRIPTS = "aé é e\u0301 бাংলার தமிழ் తెలుగు नमस्ते หนึ่งน้ำ ខ្មែរ မြန်မာ 吉𠮷か\u3099 👨\u200d👩\u200d👧 \u200b\u00ad.,'-_9๑"


@given(st.text(st.sampled_from(SCRIPTS) | ANY, max_size=25))
def test_no_word_ends_within_a_character_that_a_reader_sees(text):
    borders = {0, *(found.end() for found in regex.finditer(r"\X", text))}
    for begin, end in reading_words(text):
        assert {begin, end} <= borders
    for place in range(len(text) + 1):
        if place not in borders:
            assert not stands_alone(text, place, len(text)) and not stands_alone(text, 0, place)


def test_the_two_questions_about_words_have_one_answer():
    for text in ("吉吉", "𠮷𠮷", "กข", "かな", "ㄅㄆ"):
        assert len(reading_words(text)) == 2 and occurs(text[0], text) and not is_word(text[0])
    for text in ("ab", "জল", "தர", "తల", "बल", "한국", "ＡＢ", "๑๒"):
        assert len(reading_words(text)) == 1 and not occurs(text[0], text) and is_word(text[0])


def test_letters_and_digits_of_any_script():
    assert all(map(has_letters, ["a", " 9", "ক", "吉", "𠮷", "๑", "²"]))
    assert not any(map(has_letters, ["", " ", "?!", "👍", "\u0301"]))


def test_spaced_words_are_what_python_calls_words():
    text = " a  bc, d\t"
    assert [text[begin:end] for begin, end in spaced_words(text)] == text.split()


def test_a_piece_belongs_to_the_word_with_most_of_it():
    words = [(0, 2), (3, 7)]  # "ab cdef"
    assert owners([(9, 0, 1), (9, 1, 4), (9, 2, 5), (9, 5, 7)], words) == [0, 0, 1, 1]


def owners_word_by_word(pieces, words):
    """Every word is asked about every piece."""
    found = []
    for _, begin, end in pieces:
        covered = [min(end, last) - max(begin, first) for first, last in words]
        if max(covered, default=0) <= 0:
            covered = [int(first <= end < last) for first, last in words]
        best = max(covered, default=0)
        found.append(covered.index(best) if best > 0 else NO_WORD)
    return found


@given(st.text("ab  東-", max_size=20), st.lists(st.integers(0, 20), max_size=8))
def test_pieces_wherever_they_are_cut_belong_to_the_word_that_a_plain_search_finds(text, cuts):
    ends = sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))} | set(cuts[:2]))
    pieces = [(0, a, b) for a, b in pairwise(ends)] + [(0, a, a) for a in ends]
    for split in (spaced_words, reading_words):
        assert owners(pieces, split(text)) == owners_word_by_word(pieces, split(text))


def test_a_space_alone_and_bytes_belong_to_the_word_that_comes():
    words = [(0, 1), (2, 4)]  # "a 東b"
    assert owners([(1, 0, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2), (5, 2, 3), (6, 3, 4)], words) == [0, 1, 1, 1, 1, 1]
    assert owners([(1, 4, 4)], words) == [NO_WORD]
    assert owners([(1, 0, 1)], []) == [NO_WORD]


def test_another_segmentation_takes_its_words_over():
    plain, owned = ["▁ab", "c", "▁de"], [0, 0, 1]
    assert carry_over(owned, plain, ["▁", "a", "bc", "▁d", "e"]) == [0, 0, 0, 1, 1]
    assert carry_over([NO_WORD, 0], ["▁", "ab"], ["▁ab"]) == [0]
    with pytest.raises(AssertionError, match="spell the same"):
        carry_over([0], ["ab"], ["a"])


@pytest.mark.parametrize(
    ("term", "text", "there"),
    [
        ("cat", "the cat sat", True), ("cat", "cat", True), ("cat", "a catalog", False), ("cat", "bobcat", False),
        ("cat", "a catalog of cat, and", True), ("cat", "(cat)", True), ("cat", "cat-like", True),
        ("cat", "cat_2", False), ("cat", "Cat", False), ("black cat", "a black cat.", True),
        ("C++", "C++20 or C++, C++", True), ("C++", "XC++", False), ("猫", "黒猫が", True), ("पानी", "पानी।", True),
        ("क", "कि", False),  # a vowel sign belongs to its letter
        ("cafe", "cafe\u0301", False), ("x", "", False), ("吉", "吉吉", True), ("𠮷", "𠮷𠮷", True), ("น", "น้ำ", False),
        ("น้ำ", "น้ำใจ", True), ("কা", "কাজ", False), ("জ", "কাজ", False),
        ("👨", "👨\u200d👩\u200d👧", False), ("か", "か\u3099", False),
    ],
)  # fmt: skip
def test_a_term_stands_as_whole_words(term, text, there):
    assert occurs(term, text) == there


@pytest.mark.parametrize(
    ("lines", "lacking"),
    [
        (["今日は天気がいいですね。"], True), (["我喜欢猫", "你好世界"], True), (["วันนี้อากาศดี"], True),
        (["我 喜欢 猫", "你好 世界"], False), (["The weather is fine.", "日本"], False), ([], False), (["..."], False),
    ],
)  # fmt: skip
def test_text_that_lacks_spaces(lines, lacking):
    assert lacks_spaces(lines) is lacking


@settings(max_examples=300)
@given(st.lists(st.sampled_from("a 字あ각\u1100\u11bc🇩🇪👩👍🏽\u200d\ufe0f\u0301क्षिไท\u0e33\u0600\r\n.❤"), max_size=14))
def test_words_divide_where_the_clusters_of_the_whole_text_do(signs):
    text = "".join(signs)
    borders = {0, len(text), *(found.start() for found in CLUSTER.finditer(text))}
    for place in range(1, len(text)):
        whole = is_word(text[place - 1]) and is_word(text[place])
        if not whole and not text[place - 1 : place + 1].isascii():
            assert may_divide(text, place) == (place in borders)


@pytest.mark.parametrize(
    ("lines", "text"),
    [(["one", "two"], "one two"), (["我们", "今天"], "我们今天"), (["我们，", "今天"], "我们，今天"),
     (["我们", "「今天"], "我们「今天"), (["ไทย", "ไทย"], "ไทย ไทย"), (["나는", "학교에"], "나는 학교에"),
     (["我们", "GPU"], "我们 GPU"), ([], ""), (["one", "", "two"], "one two")],
)  # fmt: skip
def test_lines_are_joined_with_a_space_where_their_script_has_spaces(lines, text):
    assert joined(lines) == text


def test_marks_do_not_count_where_lines_are_joined():
    assert joined(["<i>我们</i>", "<i>今天</i>"], lambda line: line[3:-4]) == "<i>我们</i><i>今天</i>"


def test_line_ends_between_characters_of_scripts_without_spaces():
    assert (
        unbroken("\n日本語の \r\n\t改行。\n「か」\n나는\n학 日 本\n a\n本\n")
        == "\n日本語の改行。「か」\n나는\n학 日 本\n a\n本\n"
    )
    with in_linear_time():
        unbroken("日 \n " * 100_000 + " " * 200_000 + "\n" * 200_000)


@pytest.mark.parametrize(
    ("line", "pieces"),
    [("one  two. ", ["one", " two."]), ("我们，“GPU 好”。", ["我", "们，", "“GPU", " 好”。"]),
     ("（三）日", ["（三）", "日"]), ("ไทยไทย", ["ไทยไทย"]), ("나는 학교", ["나는", " 학교"]), ("", []), (" ", [])],
)  # fmt: skip
def test_what_a_line_is_not_broken_within(line, pieces):
    assert [gap + piece for gap, piece in line_pieces(line, line_piece())] == pieces


@given(st.text(ANY, max_size=30))
def test_pieces_have_all_signs_of_a_line(line):
    found = "".join(piece for _, piece in line_pieces(line, line_piece("<[^<>]*>")))
    assert found == regex.sub("[ \t\n]", "", line)


@pytest.mark.parametrize("sign", [" ", "(", "<", "<a>", "我", "（", "。", "<a>(", "a "])
def test_pieces_of_a_long_line(sign):
    with in_linear_time():
        line_pieces(sign * 200_000, line_piece("<[^<>]*>"))
        line_pieces(sign * 200_000 + "x", line_piece("<[^<>]*>"))


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("мама", True),
        (" https://a.b/c ", True),
        ("", True),
        ("a b", False),
        ("東京", False),
        ("a東", False),
        ("ภาษา", False),
    ],
)
def test_text_that_is_one_word(text, one):
    assert is_one_word(text) is one
