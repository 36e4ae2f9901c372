"""Markdown: text spans are replaced, and nothing else; what is written is read back as it was meant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shout import same, segments, shout, translated, unmarked

from mt.documents.markdown_inline import parser
from mt.documents.readers import translate_document
from mt.errors import DataError
from mt.postprocess.markup import Request

ROOT = Path(__file__).parents[3]
PAGE = """---
title: hi
---
# A *b* [l **x**](http://a "t") ![alt](i.png) `c  d` <http://x.y> \\* &amp; <b>k</b> ~~s~~

Two\x20\x20
hard\\
x

> quote
continues here
> - item `a
>   b` and
>   more [ref]

| a | b |
|---|---|
| x \\| y | **z** |

<div title="hello">hi <img alt="pic"> there</div>

    code

```
code
```

Under
=====

[ref]: http://q "title"
"""


def test_what_is_a_segment():
    assert segments(PAGE, ".md") == [
        "A <g1>b</g1> <g5>l <g7>x</g7></g5> <x12/> {x14} {x16} * &amp; <g18>k</g18> <g22>s</g22>",
        "alt",
        'Two<br id="1"/>hard<br id="3"/>x',
        "quote continues here",
        "item {x1} and more <g3>ref</g3>",
        "a",
        "b",
        "x | y",
        "z",
        "hello",
        "hi <x1/> there",
        "pic",
        "Under",
    ]  # fmt: skip


BEYOND = """A note[^1] here, and[^two].

[^1]: one
[^two]: more
    of it

- [ ] open
- [x] done

> [!NOTE]
> look here

$$
E = mc^2
$$

It is $x_1 + y$ for $5 or $7, $5-$10 or *a $ z*.
"""


def test_marks_beyond_commonmark_stay():
    assert segments(BEYOND, ".md") == [
        "A note<x1/> here, and<x3/>.", "one", "more of it", "open", "done", "look here",
        "It is {x1} for $5 or $7, $5-$10 or <g3>a $ z</g3>.",
    ]  # fmt: skip
    assert translated(BEYOND, ".md", same) == BEYOND
    assert translated(BEYOND, ".md", shout) == (
        BEYOND.upper().replace("[^TWO]", "[^two]").replace("[X] D", "[x] D").replace("$X_1 + Y$", "$x_1 + y$")
        .replace("E = MC", "E = mc")
    )  # fmt: skip


def test_only_text_changes():
    said = translated(PAGE, ".md")
    assert said == (
        """---
title: hi
---
# A *B* [L **X**](http://a "t") ![ALT](i.png) `c  d` <http://x.y> * & <b>K</b> ~~S~~

TWO\x20\x20
HARD\\
X

> QUOTE
CONTINUES HERE
> - ITEM `a b`
>   AND MORE
>   [REF]

| A | B |
|---|---|
| X \\| Y | **Z** |

<div title="HELLO">HI <img alt="PIC"> THERE</div>

    code

```
code
```

UNDER
=====

[ref]: http://q "title"
"""
    )


@pytest.mark.parametrize(
    ("page", "answer", "said"),
    [
        ("word\n", "1. word", "1\\. word\n"),  # would be an item of a list
        ("word\n", "- word", "\\- word\n"),
        ("word\n", "# word", "\\# word\n"),
        ("word\n", "a *b* c", "a \\*b\\* c\n"),  # would be emphasis
        ("word\n", "2 * 3 * 4_5", "2 * 3 * 4_5\n"),  # is none
        ("word\n", "<b>", "\\<b>\n"),
        ("word\n", "&lt;", "\\&lt;\n"),
        ("word\n", "[word]", "[word]\n"),
        ("word [a]\n\n[b]: c\n", "[b] [a]", "\\[b\\] \\[a\\]\n\n[b]: c\n"),
        ("# word\n", "word #", "# word \\#\n"),
        ("|a|\n|-|\n|b|\n", "x | y", "|x \\| y|\n|-|\n|x \\| y|\n"),
        ("![word](x)\n", "a]b", "![a\\]b](x)\n"),
        ("a *b* c.\n", "x <g1></g1>.", "x.\n"),  # `**` around nothing would be text
        ("a [b](c) d\n", "x <g1></g1>.", "x [](c).\n"),
        ("_word_ a\n", "<g0>wo</g0>rd", "*wo*rd\n"),  # an underscore within a word is none
    ],
)
def test_text_that_would_be_a_mark_is_escaped(page, answer, said):
    assert translated(page, ".md", lambda texts: [answer] * len(texts)) == said


def test_links_that_are_named_by_their_text_keep_their_definition():
    page = "Read [this *b* book], [more][] and\n[a\nb], [X].\n![pic]\n\n"
    page += "[this *b* book]: http://a\n[more]: b\n[a b]: c\n[X]: e\n[pic]: d\n"
    assert segments(page, ".md") == [
        "Read <g1>this <g3>b</g3> book</g1>, <g9>more</g9> and <g13>a b</g13>, <g17>X</g17>.",
    ]
    assert translated(page, ".md", same) == page

    def say(lines):
        return [line.replace("this", "dieses").replace("more", "mehr").replace("a b", "c") for line in lines]

    said = translated(page, ".md", say).split("\n\n")[0]
    assert " ".join(said.split()) == "Read [dieses *b* book][this *b* book], [mehr][more] and [c][a b], [X][X]. ![pic]"


@pytest.mark.parametrize(
    "page",
    [
        "```\ncode\n```\n", "    code\n", "[a]: b\n", "***\n", "![](x)\n", "<!-- no -->\n", "---\na: b\n---\n",
        "+++\na = 'b'\n+++\n", "`code`\n", "<http://a.example>\n",
        "---\r\na: b\r\n...\r\n",
    ],
)  # fmt: skip
def test_what_has_no_text(page):
    assert segments(page, ".md") == []


def test_an_image_within_a_link_and_a_sentence():
    page = "See [![the sign](a.png)](b) of *it*.\n"
    assert segments(page, ".md") == ["See <g1><x2/></g1> of <g5>it</g5>.", "the sign"]
    assert translated(page, ".md") == "SEE [![THE SIGN](a.png)](b) OF *IT*.\n"


@pytest.mark.parametrize(
    ("label", "words", "said"),
    [(r"a\_b \[c\]", "a_b [c]", r"A\_B \[C\]"), ("a &amp; &copy; b", "a &amp; © b", r"A \& © B"),
     ("*a* **b**", "a b", "A B"), ("~~a~~ *", "a *", r"A \*"), ("a_b & c", "a_b &amp; c", "A_B & C")],
)  # fmt: skip
def test_the_text_of_an_image_is_what_is_read_of_it(label, words, said):
    page = f"One ![{label}](i.png) two.\n"
    assert segments(page, ".md") == ["One <x1/> two.", words]
    assert translated(page, ".md", same) == page
    assert translated(page, ".md") == f"ONE ![{said}](i.png) TWO.\n"


def test_lines_are_broken_where_no_block_begins():
    page = "Some words that are broken to lines of a width and\nso on, with more words after.\n"
    said = translated(page, ".md", lambda texts: ["Some words that are broken to the lines of a page 1. - so on"])
    assert said == "Some words that are broken to the lines of a page 1. -\nso on\n"


def test_windows_line_ends_and_byte_order_mark_stay():
    page = b"\xef\xbb\xbfone\r\ntwo\r\n\r\n* three\r\n  four\r\n"
    assert translate_document(page, ".md", same) == page
    assert translate_document(page, ".md", shout) == b"\xef\xbb\xbfONE\r\nTWO\r\n\r\n* THREE\r\n  FOUR\r\n"


def test_marks_that_the_translator_loses_stay_in_the_page():
    assert translated("a *red* [car](x) `y`\n", ".md", unmarked) == "*A RED CAR*[](x)`y`\n"


@pytest.mark.parametrize("file", ["README.md", "docs/HOUSE.md", "docs/SECURITY.md", "CHANGELOG.md"])
def test_pages_of_this_project(file):
    page = (ROOT / file).read_text(encoding="utf-8")
    assert translated(page, ".md", same) == page
    kinds = [[(token.type, token.level) for token in parser().parse(one)] for one in (page, translated(page, ".md"))]
    assert kinds[0] == kinds[1]


LINES = st.lists(
    st.sampled_from(
        ["one", "Two *three* four", "# head", "* item", "  more", "> quote", "```", "    code",
         "| a | b |", "|---|---|",
         "", "", "[x](y 'z')", "![alt *i*](j)", "`a", "b`", "<div>", "</div>", "a  ", "b\\", "[ref]", "[ref]: q", "---",
         "1. one", "\ttab", "&copy; \\*", "**a**b", "<b>c</b>", "***", "===", "~~~", "é犬 _x_", "+ *", ">", "|x|",
         ":::", "::: tip a *b*", ":::note[c|d]", '!!! note "e"', "    f"]
    ), max_size=12,
)  # fmt: skip


@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_the_same_text_gives_the_same_bytes(lines, line_end):
    page = line_end.join(lines).encode()
    assert translate_document(page, ".md", same) == page


@given(LINES)
def test_code_and_targets_stay_whatever_the_translation(lines):
    page = "\n".join(lines)
    code = [token.content for token in parser().parse(page) if token.type in {"fence", "code_block"}]
    said = parser().parse(translated(page, ".md"))
    assert [token.content for token in said if token.type in {"fence", "code_block"}] == code


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("so <g1>muy </g1> good", "so **muy** good"),
        ("so<g1> muy</g1> good", "so **muy** good"),
        ("so<g1> muy </g1>good", "so **muy** good"),
        ("so <g1> muy </g1> good", "so **muy** good"),
        ("<g1>muy </g1>", "**muy**"),
        ("a_b <g1>muy </g1>", "a_b **muy**"),
        ("so <g1> </g1> good", "so good"),
        ("so <g1>muy.</g1>good", "so <strong>muy.</strong>good"),
        ("so<g1>(muy)</g1>good_", "so<strong>(muy)</strong>good\\_"),
        ("中<g1>文。</g1>中", "中<strong>文。</strong>中"),
    ],
)
def test_an_emphasis_is_one_whatever_stands_around_it(said, written):
    assert translated("so **very** good\n", ".md", lambda _: [said]) == f"{written}\n"
    assert ("<strong>" in parser().render(written)) == ("muy" in said or "文" in said)


@pytest.mark.parametrize(
    ("text", "said", "written"),
    [
        ("***a*** b", "<g0><g1>c </g1></g0>d", "***c*** d"),
        ("*a* ~~b~~ c", "<g0>x </g0><g4> y</g4> z", "*x* ~~y~~ z"),
        ("_a_ b", "<g0>x.</g0>y", "<em>x.</em>y"),
        ("[a](u) b", "<g0>x </g0>y", "[x](u) y"),
        ("**a `b`** c", "<g0>x {x2} </g0>y", "**x `b`** y"),
        ("<b>a</b> b", "<g0>x </g0>y", "<b>x </b>y"),
    ],
)
def test_spaces_pass_several_marks_of_any_kind_that_needs_it(text, said, written):
    assert translated(f"{text}\n", ".md", lambda _: [said]) == f"{written}\n"


def test_references_to_characters_stay_readable():
    text = "10&nbsp;km &mdash; a &amp; b \\* `a\xa0b` [x\xa0y](u\xa0v)\n\nd\xa0e&#173;f\n"
    said = "10&nbsp;KM &mdash; A & B * `a\xa0b` [X&nbsp;Y](u\xa0v)\n\nD\xa0E&#173;F\n"
    assert translated(text, ".md") == said
    assert translated(text, ".md", same) == text


@pytest.mark.parametrize("tag", ["<br>", "<br/>", "<BR />", "<br class='a'>"])
def test_a_tag_that_breaks_a_line_separates_words(tag):
    page = f"| a{tag}b |\n|---|\n\nOne{tag}two  \nthree\n"
    found = segments(page, ".md")
    assert [Request(line).text for line in found] == ["a b", "One two three"]
    assert translated(page, ".md") == f"| A{tag}B |\n|---|\n\nONE{tag}TWO  \nTHREE\n"


@pytest.mark.parametrize(("sign", "most"), [("> ", 99), (">", 99), ("- ", 49), ("1. ", 49)])
def test_quotes_and_lists_within_each_other(sign, most):
    assert translated(f"{sign * most}one\n", ".md") == f"{sign * most}ONE\n"
    with pytest.raises(DataError, match=r"^line 5: quotes and lists are nested too deeply to be read\.$"):
        translated(f"---\na: b\n---\n\n{sign * (most + 1)}one\n", ".md")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("- a\n  <p title='b'>c</p>\n- <div>d\n  e</div>\n", "- A\n  <p title='B'>C</p>\n- <div>D E</div>\n"),
        (
            "> > <p>a</p>\n> > <b\n> > class=x>b</b>\n> >\n> > c\n",
            "> > <p>A</p>\n> > <b\n> > class=x>B</b>\n> >\n> > C\n",
        ),
        ("1. > <div>a\r\n   > >\r\n   > b</div>\r\n", "1. > <div>A &gt; B</div>\r\n"),
        ("> <div>quoted HTML</div>\n", "> <div>QUOTED HTML</div>\n"),
        ("- <pre>a\n  b</pre>\n", "- <pre>a\n  b</pre>\n"),
    ],
)
def test_html_within_lists_and_quotes(page, said):
    assert translated(page, ".md") == said
    assert translated(page, ".md", same) == page


def test_line_ends_in_scripts_without_spaces_are_no_spaces():
    page = "> 日本語の\n> 改行です。\n> Two *日本*\n> 本\n"
    assert segments(page, ".md") == ["日本語の改行です。 Two <g1>日本</g1>本"]
    assert translated(page, ".md", same) == page
    assert (
        translated(page, ".md", lambda texts: [texts[0].replace("Two", "6")]) == "> 日本語の改行です。\n> 6 *日本*本\n"
    )


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("中文**粗**\n*斜*\n[字](a)\n字\n", "中文<g1>粗</g1><g4>斜</g4><g7>字</g7>字"),
        ("中文**粗**<!-- c -->\n字\n", "中文<g1>粗</g1><x4/>字"),
        ("中文\n![中](a.png)\n字\n", "中文 <x1/> 字"),
        ("中文**word**\n字\n", "中文<g1>word</g1> 字"),
    ],
)
def test_the_end_of_a_line_beside_a_mark_within_chinese_is_no_space(page, line):
    assert line in segments(page, ".md")
    assert translated(page, ".md", same) == page


def test_emphasis_that_needed_the_end_of_its_line_is_still_emphasis():
    assert translated("一 _粗_\n二\n", ".md", lambda texts: [texts[0].replace("一", "三")]) == "三\n*粗*二\n"
