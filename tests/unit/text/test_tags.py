"""What is markup, and what only looks like it."""

import re

import pytest
from linear import in_linear_time

from mt.text.tags import DEEPEST, parse


def kinds(line):
    return [(str(mark.kind), mark.text) for mark in parse(line).marks]


@pytest.mark.parametrize(
    "literal",
    [
        "{name}", "{}", "{0}", "{{ x }}", "${HOME}", "%{count}", "{n, plural, one {# day} other {# days}}", "%s", "%d",
        "%5.2f", "%1$s", "%(name)s", "%@", "<%= a > b %>", "$NAME$", "%NAME%", "https://a.example/b?c=d&e=f#g",
        "http://a.example:80/",
        "www.a.example", "ftp://a.example/b_c", "me@a.example", "me.too+x@mail.a.example", "https://a.example/%7Eb/(c)d",
        "%1", "%L1", "%1%", "%n", "%Ln", "%p", "%a", "%*d", "%.*s", "%-*.*f", "$t(name)", '$t(name, {"a": {{b}}})',
        ":name", ":COUNT", ":Attribute", ":user_name", "HTTP://A.Example/b", "WWW.a.example", "file:///a/b",
        "ssh://a@b.example/c", "sftp://a.example", "mailto:me@a.example?subject=b", "MAILTO:me@a.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("frame", ["{}", "see {}.", "({})", "„{}“, too", "犬 {} 猫", "<b>{}</b>", "&lt;{}&gt;"])
def test_literals_are_found_in_text(literal, frame):
    line = frame.replace("{}", literal, 1) if frame != "{}" else literal
    assert ("literal", literal) in kinds(line)
    assert len([kind for kind, _ in kinds(line) if kind == "literal"]) == 1


def test_a_unit_may_follow_a_number():
    assert kinds("%dMB of %5dGB") == [("literal", "%d"), ("literal", "%5d")]


def test_formats_may_stand_side_by_side_and_after_letters():
    assert kinds("%s%s %1$s%2$d v%s") == [("literal", one) for one in ("%s", "%s", "%1$s", "%2$d", "%s")]


@pytest.mark.parametrize(
    "line",
    ["a < b > c", "I <3 you", "50% of it", "100%", "$5 and $6", "a { b", "} {", "5 %, then", "e.g. this", "a@b", "@me",
     "x<y",
     "AT&T", "a & b;", "<1>", "30%d'accord",
     "50 %discount", "5 <% of it", "%5 indirim", "%50", "%%1", "Hello%20World", "<1>", "</1>", "a <1> b </2>", "<1 b>",
     "at 10:30", "note:this", ":smile:", ":date:", ":name_tag:", ":link-badge:", "so :D", "a :lol", "std::count",
     "a :names", "mailto:", "mailto: me", "://a", "$t (a)", "a %note"],
)  # fmt: skip
def test_what_is_text(line):
    assert kinds(line) == []
    assert parse(line).plain([]).text == line


def test_numbers_of_qt_count_where_the_first_one_is():
    assert kinds("%2 of %1, %10") == [("literal", one) for one in ("%2", "%1", "%10")]
    assert kinds("%1%2 %1$s") == [("literal", one) for one in ("%1", "%2", "%1$s")]


def test_names_after_a_colon_may_stand_side_by_side():
    found = [text for _, text in kinds(":min-:max (:current/:total_count)")]
    assert found == [":min", ":max", ":current", ":total_count"]


def test_tags_of_react_are_numbers_in_pairs_or_alone():
    assert kinds("<0>a <1>b</1></0> <2/> <3 /> <4>") == [
        ("opening", "<0>"), ("opening", "<1>"), ("closing", "</1>"), ("closing", "</0>"), ("alone", "<2/>"),
        ("alone", "<3 />"),
    ]  # fmt: skip


def test_tags_are_paired_by_name_and_others_stand_alone():
    assert kinds('<a href="x>y">t</A> <br> <img src=x> <x/> <!-- <b> -->') == [
        ("opening", '<a href="x>y">'), ("closing", "</A>"), ("alone", "<br>"), ("alone", "<img src=x>"),
        ("alone", "<x/>"), ("alone", "<!-- <b> -->"),
    ]  # fmt: skip
    assert kinds("<b><i>t</b></i>") == [("opening", "<b>"), ("alone", "<i>"), ("closing", "</b>"), ("alone", "</i>")]
    assert kinds("</b>t<b>") == [("alone", "</b>"), ("alone", "<b>")]


def test_plain_text_has_spaces_where_blocks_meet():
    line = "<p>One.</p><p>Two <i>th</i>ree.<br/>Four</p>"
    assert parse(line).plain([]).text == "One. Two three. Four"


def test_places_in_the_line():
    line = "a &lt; <b>c {d} e</b>"
    plain = parse(line).plain(["D"])
    assert plain.text == "a < c D e"
    assert [line[plain.place_in_line(n)] for n in range(len(plain.text))] == list("a & c { e")
    [pair] = plain.elements
    assert plain.text[pair.begin : pair.end] == "c D e"
    assert [plain.text[e.begin : e.end] for e in pair.children] == ["D"]


def test_too_deep_is_not_nested():
    line = "<b>" * 3000 + "x" + "</b>" * 3000
    found = [kind for kind, _ in kinds(line)]
    assert found.count("opening") == found.count("closing") == DEEPEST


@pytest.mark.parametrize(
    "text",
    ["<!--", "<a ", '<a "', "{", "{ {a} ", "%(", "a@", "&", "http://", "www.", "a.", "<", "$A", "$t(", "$t(()", "%1",
     "<1>", "<1/", ":", ":a_", "mailto:a@", "a+", "%*.*"],
)  # fmt: skip
def test_no_text_takes_long(text):
    with in_linear_time():  # a search that backtracks takes minutes
        parse(text * (20_000 // len(text)))


def test_protected_text_takes_no_longer_where_there_is_more():
    codes = re.compile("[A-Z]+-[0-9]+")
    with in_linear_time():  # a minute and more, where each code searches the rest of the line
        found = parse("AB-1 " * 8000, codes).marks
    assert [mark.span for mark in found[:2]] == [(0, 4), (5, 9)] and len(found) == 8000
    both = parse("{a} AB-1 <b>CD-2</b> {b}", codes).marks
    assert [mark.text for mark in both] == ["{a}", "AB-1", "<b>", "CD-2", "</b>", "{b}"]


@pytest.mark.parametrize("pattern", ["[0-9]+", "[0-9]*", r"\d*", "(?:a-)?[0-9]*(?![a-z])", "|[0-9]+"])
def test_a_pattern_that_may_match_nothing_protects_what_it_matches(pattern):
    marks = parse("x 300 {a} 12.", re.compile(pattern)).marks
    assert [mark.text for mark in marks] == ["300", "{a}", "12"]
    assert parse("no digits", re.compile(pattern)).marks == []


@pytest.mark.parametrize("line", ["%" + "0" * 40_000, "%" + "0" * 20_000 + "." + "0" * 20_000])
def test_a_long_width_of_a_placeholder(line):
    with in_linear_time():  # a minute, where zeros are flags or digits
        assert parse(f"a {line}").marks == []
    assert parse("%-05d and %00.00f").literals == ["%-05d", "%00.00f"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("<a href=http://x.org/>here</a>", ["opening", "closing"]),
        ("<a href= x?b=c/>here</a>", ["opening", "closing"]),
        ("<a href='x='/>here", ["alone"]),
        ('<a href="x=y/"/>here', ["alone"]),
        ("<a href=x />here", ["alone"]),
        ("<br clear=all/>here", ["alone"]),
    ],
)
def test_a_slash_at_the_end_of_a_value_without_quotes_ends_no_element(line, found):
    assert [kind for kind, _ in kinds(line)] == found
