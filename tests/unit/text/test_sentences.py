"""Whatever is split gives itself back."""

import string

import pytest
from characters import ANY
from hypothesis import given
from hypothesis import strategies as st

from mt.text.sentences import Layout, divided, halves, middle, sentences, whole
from mt.text.words import may_divide

# much white space, many ends of sentences and clauses, letters of several scripts
LETTERS = "ab Zé.!?,;:\n\t\r\u3000\u2028\xa0\x1c。、中ब\u0301😀\"'()-0"
text = st.text(st.sampled_from(LETTERS), max_size=60) | st.text(ANY, max_size=40)


@given(text, st.sampled_from(["en", "de", "zh", "hi", "", "xx"]))
def test_sentences_joined_are_the_text(given_text, language):
    layout = sentences(given_text, language)
    assert layout.text == given_text
    assert len(layout.gaps) == len(layout.parts) + 1
    assert all(part.strip() == part != "" for part in layout.parts)
    assert all(not gap.strip() for gap in layout.gaps)


@given(text)
def test_a_whole_text_is_one_part_or_none(given_text):
    layout = whole(given_text)
    assert layout.text == given_text
    assert len(layout.parts) == bool(given_text.strip())


@given(text.map(str.strip), st.integers(1, 12))
def test_parts_fit_and_joined_are_the_text(given_text, room):
    layout = divided(given_text, lambda part: len(part) <= room)
    assert layout.text == given_text
    assert all(len(part) <= room for part in layout.parts)


@given(text)
def test_the_middle_is_never_an_end(given_text):
    if len(given_text) > 1:
        assert 0 < middle(given_text) < len(given_text)


def test_sentences_by_hand():
    layout = sentences("  Dr. Smith left.  He slept!\tThen (at 5.30 p.m.) he ate.\n\nThe end ", "en")
    assert layout == Layout(
        ["Dr. Smith left.", "He slept!", "Then (at 5.30 p.m.) he ate.", "The end"], ["  ", "  ", "\t", "\n\n", " "]
    )
    assert sentences("今天很好。明天？好！", "zh").parts == ["今天很好。", "明天？", "好！"]
    assert sentences("", "en") == Layout([], [""])


@pytest.mark.parametrize(
    ("given_text", "parts"),
    [
        ("one two three four", ["one two", "three four"]),  # the space nearest to the middle
        ("one, two three four five", ["one, two three", "four five"]),  # the comma is too far from it
        ("one two, three four five", ["one two,", "three four five"]),  # this one is not
        ("一二三，四五六七", ["一二三，", "四五六七"]),
        ("abcdefgh", ["abcd", "efgh"]),
        ("1,000 and 2,000 men", ["1,000 and", "2,000 men"]),  # no clause ends within a number
    ],
)
def test_where_a_sentence_is_cut(given_text, parts):
    layout = divided(given_text, lambda part: len(part) < len(given_text))
    assert layout.parts == parts


@given(text.map(str.strip))
def test_halves_joined_are_the_text_and_divide_no_word(given_text):
    layout = halves(given_text)
    assert layout.text == given_text
    assert len(layout.parts) <= 2
    assert all(may_divide(given_text, begin) for begin, _ in layout.spans())


@given(st.lists(st.text("ab, c;", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=5), st.data())
def test_parts_may_be_refined_and_the_text_stays(parts, data):
    layout = Layout(
        parts, ["", *data.draw(st.lists(st.sampled_from(["", " ", "\t"]), min_size=len(parts), max_size=len(parts)))]
    )
    cut = {place: halves(parts[place]) for place in data.draw(st.sets(st.integers(0, len(parts) - 1)))}
    assert layout.refined(cut).text == layout.text


def test_a_text_without_spaces_is_cut_between_characters_as_readers_see_them():
    flags = "\U0001f1e9\U0001f1ea" * 2  # two flags of two code points each
    assert middle("a" + flags) in (1, 3) and middle(flags) == 2
    assert middle("ab" + "e\u0301" * 3) not in (3, 5, 7)
    assert halves("abcdefgh").parts == ["abcdefgh"]


def test_what_fits_stays_whole():
    assert divided(string.ascii_letters, lambda part: True).parts == [string.ascii_letters]


@given(st.text(alphabet="ab. \n\u3000", max_size=30))
def test_parts_stand_where_their_spans_say(text):
    for layout in (whole(text), sentences(text, "en"), Layout(["a", "bc"], [" ", "", "\n"])):
        assert [layout.text[begin:end] for begin, end in layout.spans()] == layout.parts


@pytest.mark.parametrize("text", ["One \ud800. Two.", "\ud83d\ude00 One.  Two\udcff.", "\udfff"])
def test_halves_of_surrogate_pairs_stay(text):
    layout = sentences(text, "en")
    assert layout.text == text
    assert len(layout.parts) == max(1, text.count("."))
