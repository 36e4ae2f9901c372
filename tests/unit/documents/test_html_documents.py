"""HTML: what is a segment, and all else byte for byte."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shout import same, segments, shout, translated, unmarked

from mt.documents.html_scan import scan
from mt.documents.readers import lines_of, read_document, translate_document, write_translated
from mt.errors import DataError

PAGE = """<!DOCTYPE html><html><head><title>My &amp; title</title><meta name="description" content="A page">
<script>if(a<b)"hello"</script><style>p{color:red}</style></head>
<body><p class=x>Hello <a href="x" title="a tip">my   <b>world</b></a>, it's &lt; 3&nbsp;km <img src=a alt='pict "ure"'>
 now <code>ls -l</code> ok.<br>Another</p><ul><li>one<li>two <em>three</em></ul>
<pre>do not</pre><p translate=no>keep</p><p>5 > 3 a < b</p><input type=submit value=Send><!-- c --> tail"""


def test_blocks_and_attributes_are_segments():
    assert segments(PAGE, ".html") == [
        "My &amp; title",
        "A page",
        "Hello <g1>my <g3>world</g3></g1>, it's &lt; 3\xa0km <x8/> now {x10} ok.",
        "a tip",
        'pict "ure"',
        "Another",
        "one",
        "two <g1>three</g1>",
        "5 &gt; 3 a &lt; b",
        "Send",
        "tail",
    ]


def test_only_text_changes():
    assert translated(PAGE, ".html") == (
        """<!DOCTYPE html><html><head><title>MY &amp; TITLE</title><meta name="description" content="A PAGE">
<script>if(a<b)"hello"</script><style>p{color:red}</style></head>
<body><p class=x>HELLO <a href="x" title="A TIP">MY <b>WORLD</b></a>, IT'S &lt; 3&nbsp;KM"""
        """ <img src=a alt='PICT "URE"'>"""
        """ NOW <code>ls -l</code> OK.<br>ANOTHER</p><ul><li>ONE<li>TWO <em>THREE</em></ul>
<pre>do not</pre><p translate=no>keep</p><p>5 &gt; 3 A &lt; B</p><input type=submit value="SEND"><!-- c --> TAIL"""
    )


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<p>one<br>two</p>", "<p>ONE<br>TWO</p>"),
        ("<p>One.<br>Two</p>", "<p>ONE.<br>TWO</p>"),
        ("<b>One.<br>Two</b>", "<b>ONE.<br>TWO</b>"),
        ("a<svg><title>x</title></svg>b", "A<svg><title>x</title></svg>B"),
        (
            "a <span class=notranslate>b <span>c</span> d</span> e",
            "A <span class=notranslate>b <span>c</span> d</span> E",
        ),
        (
            "<div translate=no>a<p translate=yes>b <i>c</i><br>d</p>e<b>f</b></div>g",
            "<div translate=no>a<p translate=yes>B <i>C</i><br>D</p>e<b>f</b></div>G",
        ),
        (
            "<b>a <i translate=no>b <u translate>c</u> d</i> e</b>",
            "<b>A <i translate=no>b <u translate>C</u> d</i> E</b>",
        ),
        (
            "<p class=notranslate>a<b translate=YES>b<i translate=no>c</i>d</b>e",
            "<p class=notranslate>a<b translate=YES>B<i translate=no>c</i>D</b>e",
        ),
        (
            "<p translate=no>a<img alt=b><img alt=c translate=yes>d<svg><b translate=yes>e</b></svg>",
            '<p translate=no>a<img alt=b><img alt="C" translate=yes>d<svg><b translate=yes>e</b></svg>',
        ),
        (
            "a <code>b</code> <code translate=yes title=c>d</code>",
            'A <code>b</code> <code translate=yes title="C">D</code>',
        ),
        (
            "<p translate=no>a<p>b<li translate=no>c<li>d<td translate=no>e<tr>f",
            "<p translate=no>a<p>B<li translate=no>c<li>D<td translate=no>e<tr>F",
        ),
        ("<div>a<p translate=no>b<b>c</div>d</b>e</p>f", "<div>A<p translate=no>b<b>c</div>D</b>E</p>F"),
        ("<ruby>a<rp>(<rt>ah<rp>)</ruby>b", "<ruby>A<rp>(<rt>ah<rp>)</ruby>B"),
        ("<ruby>a<rt>ah</rt>b<rt>bee</rt></ruby> c", "<ruby>A<rt>ah</rt>B<rt>bee</rt></ruby> C"),
        (
            "<optgroup label=a><option label='b' value=c>d<p label=e>",
            "<optgroup label=\"A\"><option label='B' value=c>D<p label=e>",
        ),
        ("<textarea>a</textarea><script>b", "<textarea>a</textarea><script>b"),
        ("<p>a</p", "<p>A</p"),
        ('<p title="a', '<p title="a'),
        ("<p title='it&#39;s'>", "<p title='IT&#39;S'>"),
        ('<p title=a"b>c', '<p title="A&quot;B">C'),
        ("a<!-- b", "A<!-- b"),
        ("<i>a</i><![CDATA[b]]>", "<i>A</i><![CDATA[b]]>"),
        ("&copy; 2020 <b>x</b>", "&copy; 2020 <b>X</b>"),
        ("a&nbsp;&mdash; b&#8209;c&#xAD;d &eacute;", "A&nbsp;&mdash; B&#8209;C&#xAD;D É"),
        ('&#97;bc &#38; &quot;d&quot; "e', "ABC &#38; &quot;D&quot; &quot;E"),
        ("<p>a&nbsp;b <b title='&nbsp;'>\xa0c</b></p>", "<p>A&nbsp;B <b title='&nbsp;'>&nbsp;C</b></p>"),
        ("<p>a&nbsp;b</p><p>c\xa0d</p>", "<p>A&nbsp;B</p><p>C\xa0D</p>"),
        ("<p title='a&nbsp;&apos;b'>", "<p title='A&nbsp;&apos;B'>"),
        ("<", "<"),
        ("a <3 b", "A &lt;3 B"),
        ("<TITLE>a<b>c</TITLE>d", "<TITLE>A&lt;B&gt;C</TITLE>D"),
        ("<p>é</p>", "<p>É</p>"),
    ],
)
def test_by_hand(page, said):
    assert translated(page, ".html") == said


def test_a_sentence_goes_on_after_a_line_break_before_a_small_letter():
    assert segments("one<br>two.<br>three<br>Four<br><br>five", ".html") == [
        'one<br id="1"/>two.',
        "three",
        "Four",
        "five",
    ]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("<p>中文<b>\n文字</b>。</p>", "中文<g1>文字</g1>。"),
        ("<p>中文<b>文字\r\n  </b><i>\n文</i></p>", "中文<g1>文字</g1><g4>文</g4>"),
        ("<p>中文\n<!-- c -->\n文字</p>", "中文<x1/>文字"),
        ("<p><ruby>漢<rt>かん</rt></ruby>\n字</p>", "<g0>漢<x2/></g0>字"),
        ("<p>中文<b> 文字</b></p>", "中文<g1> 文字</g1>"),  # no end of a line
        ("<p>中文\n<img>\n文字</p>", "中文 <x1/> 文字"),  # a picture is no character of Chinese
        ("<p>中文<b>\nword</b>\n文字</p>", "中文<g1> word</g1> 文字"),
        ("<p>한국<b>\n어</b></p>", "한국<g1> 어</g1>"),
    ],
)
def test_the_end_of_a_line_within_chinese_is_no_space(page, line):
    assert segments(page, ".html") == [line]
    assert translated(page, ".html", same) == page


@pytest.mark.parametrize(
    ("page", "src", "tgt", "said"),
    [
        ('<html lang="en"><p>a', "en", "ar", '<html lang="ar" dir="rtl"><p>A'),
        ('<html lang="en" DIR=ltr class=x><p>a', "en", "fa", '<html lang="fa" DIR=rtl class=x><p>A'),
        ('<html dir="rtl" lang="fa-IR"><p>a', "fa", "zh", '<html dir="ltr" lang="zh"><p>A'),
        ('<html lang="he"><p dir=rtl>a', "he", "en", '<html lang="en"><p dir=rtl>A'),
        ('<html lang="en" dir="auto"><p>a', "en", "ar", '<html lang="ar" dir="auto"><p>A'),
        ('<html lang="ar" dir="rtl"><p>a', "ar", "fa", '<html lang="fa" dir="rtl"><p>A'),
        ('<html dir="ltr"><p>a', "en", "ar", '<html dir="ltr"><p>A'),  # it names no language
        ('<html lang="en"><p>a', "en", "ku_Arab", '<html lang="ku-Arab" dir="rtl"><p>A'),
        ('<html lang="en"><p>a', "en", "ur-Latn", '<html lang="ur-Latn"><p>A'),
    ],
)
def test_a_page_says_in_which_direction_its_translation_is_written(page, src, tgt, said):
    parsed = read_document(page.encode(), ".html").naming(src, tgt)
    assert write_translated(parsed, lines_of(parsed), shout(lines_of(parsed))).decode() == said


def test_marks_that_the_translator_loses_stay_in_the_page():
    assert translated('<p>a <a href="x">red <b>car</b></a> here<br>now</p>', ".html", unmarked) == (
        '<p><a href="x"><b></b></a>A RED CAR HERE NOW<br></p>'
    )


WORDS = st.sampled_from(
    ["one ", "Two.", " ", "\n", "&amp;", "&nbsp;", "&lt;", "é", "<", ">", "&", '"', "'", "{x}", "<!-- c -->"]
)
TAGS = st.sampled_from(
    ["<p>", "</p>", "<b>", "</b>", '<a href="x>y" title="tip">', "</a>", "<br>", "<img alt=pic>", "<code>", "</code>",
     "<script>", "</script>", "<div translate=no>", "</div>", "<b translate=yes>", "<rt>", "<title>",
     "</title>", "<x", "</", "<?pi?>", "<![CDATA["]
)  # fmt: skip
PAGES = st.lists(st.one_of(WORDS, TAGS), max_size=20).map("".join)


@given(PAGES)
def test_the_same_text_gives_the_same_bytes(page):
    for suffix in (".html", ".xhtml"):
        assert translate_document(page.encode(), suffix, same) == page.encode()


@given(PAGES)
def test_the_pieces_are_the_page(page):
    pieces = list(scan(page))
    assert [piece.begin for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert not page or (pieces[0].begin, pieces[-1].end) == (0, len(page))


def tags(page):
    return sorted(re.sub(r'(?<==)"?([A-Za-z ]*)"?', lambda value: value[1].lower(), page[p.begin : p.end])
                  for p in scan(page) if p.name not in {"#text", ""})  # fmt: skip


@given(PAGES)
def test_no_tag_is_lost(page):
    for translate in (lambda texts: [text.replace("one", "ONE") for text in texts], unmarked):
        assert tags(translated(page, ".html", translate)) == tags(page)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "iso-8859-1", "iso-8859-15", "shift_jis", "utf-16"]
)  # the last: a page that names it in ASCII letters is in UTF-8
def test_encodings_that_a_page_names(encoding):
    page = f'<meta charset="{encoding}"><p>ab</p>'.encode("ascii")
    said = translate_document(page, ".html", lambda texts: ["a€ž"])
    reader = {"iso-8859-1": "cp1252", "utf-16": "utf-8"}.get(encoding, encoding)
    assert said == f'<meta charset="{encoding}"><p>a€ž</p>'.encode(reader, "xmlcharrefreplace")


def test_an_xhtml_page_names_its_encoding_in_its_declaration():
    page = '<?xml version="1.0" encoding="ISO-8859-15"?><p>aé</p>'.encode("iso-8859-15")
    assert translate_document(page, ".xhtml", lambda texts: ["é犬"]).endswith(b"<p>\xe9&#29356;</p>")


def test_an_encoding_that_is_none():
    with pytest.raises(DataError, match="says that it is in `klingon`, which is no encoding known here"):
        translate_document(b"<meta charset=klingon>a", ".html", same)


@pytest.mark.parametrize("page", ["<" * 50_000, "<a " * 50_000, '<a b="' * 50_000, "<!--" * 50_000, "<b>" * 50_000,
                                  "<script>" * 50_000, "<p translate=no>" * 50_000, "&" * 50_000,
                                  "<b translate=no>a<b translate=yes>b" * 12_000])  # fmt: skip
def test_a_page_of_openings_alone_is_read_in_linear_work(page, monkeypatch):
    """No piece is looked at twice: the pieces are as many as the openings at most."""
    assert sum(1 for _ in scan(page)) <= 50_001
    assert translate_document(page.encode(), ".html", same) == page.encode()


def test_what_a_server_puts_into_a_page_stays():
    page = "<p>Hi <%= user.name > 3 %>, dogs <% if x %>are<%# a note %> good.</p>\n<p>5 <%> of"
    assert segments(page, ".html") == ["Hi {x1}, dogs <x3/>are<x5/> good.", "5 &lt;%&gt; of"]
    assert translated(page, ".html") == (
        "<p>HI <%= user.name > 3 %>, DOGS <% if x %>ARE<%# a note %> GOOD.</p>\n<p>5 &lt;%&gt; OF"
    )


def renamed(page, suffix=".html", src="en", tgt="de", translate=shout):
    parsed = read_document(page.encode(), suffix).naming(src, tgt)
    lines = lines_of(parsed)
    return write_translated(parsed, lines, translate(lines)).decode()


@pytest.mark.parametrize(
    ("page", "named", "said"),
    [
        ('<html lang="en"><p lang=en>a</p>', ["en"], '<html lang="de"><p lang=en>A</p>'),
        (
            "<!DOCTYPE html>\n<!-- x --><HTML class=a LANG=en-GB>a",
            ["en-GB"],
            "<!DOCTYPE html>\n<!-- x --><HTML class=a LANG=de>A",
        ),
        ("<html lang=' EN '>a", ["EN"], "<html lang='de'>A"),
        ('<html lang="fr">a', ["fr"], '<html lang="fr">A'),
        ('<html lang="">a', [], '<html lang="">A'),
        ("<html>a", [], "<html>A"),
        ('<body lang="en">a', [], '<body lang="en">A'),
        ('a <html lang="en">', ["en"], 'A <html lang="de">'),
    ],
)
def test_the_root_names_the_language_of_the_translation_if_it_named_that_of_the_source(page, named, said):
    assert read_document(page.encode(), ".html").languages == [(one, "") for one in named]
    assert renamed(page) == said
    assert renamed(page, translate=same) == page
    assert renamed(page, src="src", tgt="tgt") == page.replace(">a", ">A").replace("a <", "A <")


def test_the_root_of_xhtml_names_it_once_or_twice():
    page = '<?xml version="1.0" encoding="ISO-8859-1"?><html xml:lang="en" lang="en"><p xml:lang="en">a</p></html>'
    assert read_document(page.encode(), ".xhtml").languages == [("en", "")]
    assert renamed(page, ".xhtml", tgt="zho_Hans") == page.replace(
        '<html xml:lang="en" lang="en">', '<html xml:lang="zh-Hans" lang="zh-Hans">'
    ).replace(">a<", ">A<")
    assert renamed(page.replace(' lang="en"', ""), ".xhtml") == page.replace(
        '<html xml:lang="en" lang="en">', '<html xml:lang="de">'
    ).replace(">a<", ">A<")


@pytest.mark.parametrize("tag", ['script src="a.js"', "title", "textarea", 'iframe src="a"'])
def test_an_element_that_ends_with_its_tag_has_no_text(tag):
    page = f"<p>a</p><{tag}/><p>Tom &amp; <b>b</b></p>"
    assert translated(page, ".html") == page.replace("a</p>", "A</p>").replace("Tom", "TOM").replace("b</b>", "B</b>")
    assert segments("<script src=a.js/>if (a) b", ".html") == []  # this one goes on


def test_a_slash_at_the_end_of_a_value_without_quotes():
    page = "<p>see <a href=http://x.org/>that</a> now</p>"
    assert segments(page, ".html") == ["see <g1>that</g1> now"]
    assert segments(page[3:-4], ".md") == ["see <g1>that</g1> now"]


def test_line_ends_in_scripts_without_spaces_are_no_spaces():
    page = '<p title="日本\n語">日本語の\n  改行です。<b>Two\nwords</b></p>'
    assert segments(page, ".html") == ["日本語", "日本語の改行です。<g1>Two words</g1>"]
    assert translated(page, ".html", same) == page
