"""The flags of a PO entry say which placeholders its program knows."""

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import in_linear_time
from shout import translated

from mt.documents.po_formats import shielded
from mt.postprocess.markup import Request
from mt.text.placeholders import FORMATS
from mt.text.tags import parse

BITS = st.sampled_from(
    ["a ", "%", "%%", "%d", "% d", "%s", "%1", "%n", "{", "}", "{{", "}}", "{b}", "{%s}", "$t(c)", ":name", " ", "&",
     "<b>", "</b>", "&amp;", "https://d.example/%s", "%(e)s", "{x0}", "{num0}", "<a href='%s?b=1&copy=2'>", "</a>",
     "<", ">"]
)  # fmt: skip
FLAGS = st.sampled_from([flag for name in FORMATS for flag in (f"{name}-format", f"no-{name}-format")])


def literals(line: str, *flags: str) -> list[str]:
    """What a translator may not change, as it is written in the end."""
    found = shielded(line, flags)
    return [found.written(mark.text) for mark in parse(found.line).marks if mark.kind == "literal"]


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ([], ["%s", "%1", "{a}", "%(b)s", ":name", "%n"]),
        (["fuzzy", "no-wrap", "unknown-format"], ["%s", "%1", "{a}", "%(b)s", ":name", "%n"]),
        (["c-format"], ["%s", "%n"]),
        (["python-format"], ["%s", "%(b)s", "%n"]),
        (["python-brace-format"], ["{a}"]),
        (["java-format"], ["{a}"]),
        (["qt-format"], ["%1", "%n"]),
        (["qt-format", "c-format"], ["%s", "%1", "%n"]),
        (["no-c-format"], ["%1", "{a}", ":name", "%n"]),
        (["no-qt-format"], ["%s", "{a}", "%(b)s", ":name"]),
        (["no-python-brace-format"], ["%s", "%1", "%(b)s", ":name", "%n"]),
        (["no-c-format", "python-format"], ["%s", "%(b)s", "%n"]),
    ],
)
def test_flags_choose_the_placeholders(flags, kept):
    line = "%s of %1 {a} %(b)s :name %n"
    if "c-format" in flags:
        line = line.replace(" %(b)s", "")
    assert literals(line, *flags) == kept
    assert literals(f"{line} http://a.example/%20 <b>c</b>", *flags)[-1] == "http://a.example/%20"


def test_directives_that_only_the_flag_makes_sure():
    assert literals("%-5lu of % d, %i%s, %dmin, %1$*2$d", "c-format") == ["%-5lu", "% d", "%i", "%s", "%d", "%1$*2$d"]
    assert literals("%5 {a!r:>{b}}", "qt-format") == ["%5"]
    assert literals("{a!r:>{b}} {{c}}", "python-brace-format") == ["{a!r:>{b}}"]
    assert literals("%<a>s %{b}", "ruby-format") == ["%<a>s", "%{b}"]
    assert literals("50% of it", "c-format") == []


def test_lines_on_which_both_agree_stay_as_they_are():
    for line, flag in (
        ("Hello %s, {a", "c-format"),
        ("{a} <b>50%</b>", "python-brace-format"),
        ("%1: %n", "qt-format"),
    ):
        assert shielded(line, [flag]).line == line


def test_a_number_is_translated_as_one():
    assert shielded("%d files {a}", ["c-format"]).line == "{num0} files &#000123;a}"
    assert Request("{num0} files").words == Request("%d files").words


@given(st.lists(BITS, max_size=12).map("".join), st.lists(FLAGS, max_size=3))
def test_what_is_not_changed_comes_back(line, flags):
    found = shielded(line, flags)
    assert found.written(found.line) == line


def test_signs_that_a_format_doubles():
    done = shielded("100%% of %d", ["c-format"])
    assert done.written(done.line.replace("of", "% de")) == "100%% %% de %d"
    braces = shielded("{{a}} {b}", ["python-brace-format"])
    assert braces.written(braces.line.replace("a", "}")) == "{{}}}} {b}"
    assert shielded("50 percent", ["c-format"]).written("50 %") == "50 %%"
    assert shielded("50 percent", ["no-c-format"]).written("50 %") == "50 %"
    assert shielded("50%", ["c-format"]).written("50 %") == "50 %"  # as careless as its source


def test_the_text_is_escaped_only_where_the_line_is():
    plain = shielded("%s {a} & <b>c</b>", ["c-format"])
    assert plain.written(plain.line.replace(" & ", " &amp; ")) == "%s {a} & <b>c</b>"
    escaped = shielded("%s {a} &amp; <b>c</b>", ["c-format"])
    assert escaped.written(escaped.line) == "%s {a} &amp; <b>c</b>"


def test_entries_of_a_catalogue():
    text = """#, c-format
msgid "%d file {name}"
msgid_plural "%d files {name}"
msgstr[0] ""
msgstr[1] ""

#, no-c-format
msgid "at 100%s {name}"
msgstr ""
"""
    assert segments_of(text) == ["{num0} file &#000123;name}", "{num0} files &#000123;name}", "at 100%s {name}"]
    first, second = polib.pofile(translated(text, ".po"))
    assert first.msgstr_plural == {0: "%d FILE {NAME}", 1: "%d FILES {NAME}"}
    assert second.msgstr == "AT 100%S {name}" and second.flags == ["no-c-format"]


def segments_of(text: str) -> list[str]:
    seen: list[str] = []
    translated(text, ".po", lambda texts: seen.extend(texts) or texts)
    return seen


def test_a_long_width_of_a_directive():
    with in_linear_time():  # minutes, where zeros are flags or digits
        assert shielded("a %" + "0" * 40_000, ["c-format"]).line == "a %" + "0" * 40_000
    assert literals("%00012d and %0*d", "c-format") == ["%00012d", "%0*d"]
