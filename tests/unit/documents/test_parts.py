"""Parts of a segment: the line that is translated, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt.documents.parts import Kind, Part, decode, encode, has_letters, text, trim, without_empty_pairs

B, END, IMG, BR, CODE = (
    Part(kind, raw)
    for kind, raw in [
        (Kind.opening, "<b>"), (Kind.closing, "</b>"), (Kind.alone, "<img>"), (Kind.line_break, "<br>"),
        (Kind.literal, "`ls`"),
    ]
)  # fmt: skip


def flat(parts):
    return "".join(part.content for part in parts)


def test_marks_are_numbered_and_text_is_escaped():
    parts = [text("A < b "), B, text("&amp"), END, IMG, BR, CODE]
    assert encode(parts) == 'A &lt; b <g1>&amp;amp</g1><x4/><br id="5"/>{x6}'


def test_a_mark_without_its_partner_is_alone():
    assert encode([END, text("a"), B]) == "<x0/>a<x2/>"


def test_a_literal_takes_a_name_that_the_text_does_not_have():
    assert encode([text("{x1} {y}"), CODE]) == "{x1} {y}{z1}"


def test_marks_go_where_the_translation_has_them():
    parts = [text("a "), B, text("red"), END, text(" car")]
    assert flat(decode(parts, "un coche <g1>rojo</g1>")) == "un coche <b>rojo</b>"


def test_character_references_are_read_only_where_the_line_had_some():
    assert flat(decode([text("a & b")], "b &amp; a &lt; c")) == "b & a < c"
    assert flat(decode([text("a b")], "b &amp; a")) == "b &amp; a"


@pytest.mark.parametrize("said", ["rot", "<g1>rot", "<g1>rot</g1><g1></g1>", "</g1>rot<g1>"])
def test_without_its_marks_the_text_takes_one_place_and_the_marks_stay(said):
    parts = [text("a "), B, text("red one"), END, IMG]
    assert flat(decode(parts, said)) == "<b>rot</b><img>"


def test_other_marks_of_a_translation_are_text():
    assert flat(decode([text("a")], "<g7>a</g7> {x1}")) == "<g7>a</g7> {x1}"


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([text("a "), B, END, text(".")], "a."),
        ([text("a "), B, END, text(" b")], "a b"),
        ([text("a "), B, END, text("b")], "a b"),
        ([B, B, END, END, text("b")], "b"),
        ([B, text("a "), END, text(".")], "<b>a </b>."),
        ([text("a "), B, IMG, END], "a <b><img></b>"),
    ],
)
def test_pairs_around_nothing(parts, left):
    assert flat(without_empty_pairs(parts, lambda part: True)) == left
    assert without_empty_pairs(parts, lambda part: False) == parts


PARTS = st.lists(
    st.one_of(st.sampled_from([B, END, IMG, BR, CODE]), st.text("ab <>&{}x01;#", min_size=1, max_size=6).map(text)),
    max_size=9,
)  # fmt: skip


@given(PARTS)
def test_the_line_gives_its_parts_back(parts):
    joined = []
    for part in decode(parts, encode(parts)):
        if joined and part.kind is joined[-1].kind is Kind.text:
            joined[-1] = text(joined[-1].content + part.content)
        else:
            joined.append(part)
    assert flat(joined) == flat(parts)


@given(PARTS, st.text("ab <>/g01x{}&;", max_size=20))
def test_no_mark_is_lost_whatever_the_translation(parts, said):
    if not has_letters(parts):
        return
    found = decode(parts, said)
    marks = [part for part in parts if part.kind is not Kind.text]
    assert sorted(map(id, marks)) == sorted(id(part) for part in found if part.kind is not Kind.text)


@pytest.mark.parametrize(
    ("parts", "inner"),
    [
        ([B, text("a"), END], "a"),
        ([text(" "), IMG, text("a"), BR, text(" ")], "a"),
        ([B, text("a"), END, text(" b")], "<b>a</b> b"),
        ([END, text("a"), B], "a"),
        ([B, END, text("a")], "a"),
        ([CODE, text(" a "), CODE], "`ls` a `ls`"),
        ([B, CODE, END, text("a")], "<b>`ls`</b>a"),
        ([IMG, B, END], ""),
    ],
)  # fmt: skip
def test_marks_around_the_text_stay_outside(parts, inner):
    low, high = trim(parts)
    assert flat(parts[low:high]) == inner
