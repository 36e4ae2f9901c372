"""Word, PowerPoint, Excel and OpenDocument: paragraphs as segments, with their runs."""

import re

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from shout import same, segments, shout, unmarked
from zipped import HEAD, S, W, docx, odt, parts_of, pptx, xlsx

from mt.documents.readers import translate_document

B, ITALIC = "<w:rPr><w:b/></w:rPr>", "<w:rPr><w:i/></w:rPr>"


def run(words, props="", space=True):
    return f"<w:r>{props}<w:t{' xml:space=' + chr(34) + 'preserve' + chr(34) if space else ''}>{words}</w:t></w:r>"


def paragraph(*runs):
    return f"<w:p><w:pPr><w:jc/></w:pPr>{''.join(runs)}</w:p>"


def body(raw, translate=shout, part="word/document.xml", suffix=".docx"):
    said = parts_of(translate_document(raw, suffix, translate))[part].decode()
    return re.sub(r"^.*?<w:body>|<w:sectPr/>.*$", "", said, flags=re.S)


def text_of(xml):
    return "".join(re.findall(r"<w:t[^>]*>([^<]*)", xml))


def test_runs_that_look_alike_are_one():
    word = '<w:rPr><w:lang w:val="de"/></w:rPr>'
    raw = docx(paragraph(run("Hel"), '<w:proofErr w:type="x"/>', run("lo ", word), run("world", B), run(".")))
    assert segments(raw, ".docx") == ["Hello <g1>world</g1>."]
    assert body(raw) == paragraph(run("HELLO "), run("WORLD", B, space=False), run(".", space=False))


def test_most_of_the_text_says_what_is_plain():
    raw = docx(paragraph(run("A long bold text ", B), run("plain")))
    assert segments(raw, ".docx") == ["A long bold text <g1>plain</g1>"]
    assert body(raw) == paragraph(run("A LONG BOLD TEXT ", B), run("PLAIN", space=False))
    assert body(raw, unmarked) == paragraph(run("A LONG BOLD TEXT PLAIN", B, space=False))


def test_words_with_a_reading_over_them_are_text_without_it():
    words = run("b") + run("c", B)
    ruby = f"<w:r><w:ruby><w:rubyPr/><w:rt>{run('ah')}</w:rt><w:rubyBase>{words}</w:rubyBase></w:ruby></w:r>"
    raw = docx(paragraph(run("a "), ruby, run(" d")) + paragraph(ruby))
    assert segments(raw, ".docx") == ["a b<g1>c</g1> d", "b<g1>c</g1>"]
    assert text_of(body(raw)) == "A BC DBC"
    words = "<text:ruby-base>b<text:span>c</text:span></text:ruby-base>"
    raw = odt(f"<text:p>a <text:ruby>{words}<text:ruby-text>ah</text:ruby-text></text:ruby> d</text:p>")
    assert segments(raw, ".odt") == ["a b<g2>c</g2> d"]
    said = parts_of(translate_document(raw, ".odt", shout))["content.xml"].decode()
    assert "<text:p>A B<text:span>C</text:span> D</text:p>" in said


def test_links_pictures_notes_and_tracked_insertions():
    link = f'<w:hyperlink xmlns:r="r" r:id="1">{run("a link", ITALIC, False)}</w:hyperlink>'
    note = '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:footnoteReference w:id="2"/></w:r>'
    added = (
        f'<w:ins w:id="9">{run("new", "", False)}</w:ins><w:del w:id="8"><w:r><w:delText>old</w:delText></w:r></w:del>'
    )
    raw = docx(paragraph(run("See "), link, note, run(" and "), added, run(".")))
    assert segments(raw, ".docx") == ["See <g1><g2>a link</g2></g1><x6/> and <g8>new</g8><x11/>."]
    dot = run(".", space=False)
    assert body(raw) == paragraph(
        run("SEE "), link.replace("a link", "A LINK"), note, run(" AND "), added.replace("new", "NEW"), dot
    )


def sign(kind):
    return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'


def code(words):
    return f"<w:r><w:instrText>{words}</w:instrText></w:r>"


def test_fields():
    date = sign("begin") + code(" DATE ") + sign("separate") + run("May", space=False) + sign("end")
    link = sign("begin") + code(' HYPERLINK "x" ') + sign("separate") + run("here", space=False) + sign("end")
    raw = docx(paragraph(run("On "), date, run(" "), link, run(" or there.")))
    assert segments(raw, ".docx") == ["On {x1} <g3>here</g3> or there."]
    assert body(raw) == paragraph(run("ON "), date, run(" "), link.replace("here", "HERE"), run(" OR THERE."))


def test_a_field_over_several_paragraphs_keeps_its_place():
    first = paragraph(
        sign("begin"), code("TOC"), sign("separate"), run("Chapter", space=False), "<w:r><w:tab/></w:r>", run("1")
    )
    last = paragraph(run("End", space=False), sign("end"), run("after", space=False))
    raw = docx(first + last)
    assert segments(raw, ".docx") == ["Chapter", "End", "after"]
    said = body(raw)
    assert re.findall("fldCharType=.(\\w+)|<w:t[^>]*>(\\w+)", said) == [
        ("begin", ""), ("separate", ""), ("", "CHAPTER"), ("", "1"), ("", "END"), ("end", ""), ("", "AFTER"),
    ]  # fmt: skip


def test_text_boxes_are_translated_within_their_paragraph():
    box = f"<w:r><w:pict><w:txbxContent>{paragraph(run('inner', space=False))}</w:txbxContent></w:pict></w:r>"
    raw = docx(paragraph(run("Outer "), box, run(" text", B)))
    assert sorted(segments(raw, ".docx")) == ["Outer <x1/><g2> text</g2>", "inner"]
    assert body(raw) == paragraph(run("OUTER "), box.replace("inner", "INNER"), run(" TEXT", B))
    assert body(raw, lambda texts: [one.replace("inner", "INNER") for one in texts]) == paragraph(
        run("Outer "), box.replace("inner", "INNER"), run(" text", B)
    )


def test_breaks_and_headers_and_content_controls():
    control = f"<w:sdt><w:sdtPr><w:id/></w:sdtPr><w:sdtContent>{run('field', space=False)}</w:sdtContent></w:sdt>"
    header = f"{HEAD}<w:hdr {W}>{paragraph(run('top', space=False))}</w:hdr>"
    raw = docx(paragraph(run("one"), "<w:r><w:br/></w:r>", run("two "), control), header1=header)
    assert segments(raw, ".docx") == ['one<br id="1"/>two <g3>field</g3>', "top"]
    assert control.replace("field", "FIELD") in body(raw)
    assert parts_of(translate_document(raw, ".docx", shout))["word/header1.xml"].decode() == header.replace(
        "top", "TOP"
    )


def test_slides():
    props = '<a:rPr lang="en" b="1" dirty="0"/>'
    para = (
        f'<a:p><a:pPr lvl="1"/><a:r><a:rPr lang="en"/><a:t>Hello </a:t></a:r><a:r>{props}<a:t>you</a:t></a:r><a:br/>'
        '<a:r><a:rPr lang="de"/><a:t>there</a:t></a:r><a:fld type="slidenum"><a:t>3</a:t></a:fld>'
        '<a:endParaRPr lang="en"/></a:p>'
    )
    raw = pptx(para)
    assert segments(raw, ".pptx") == ['Hello <g1>you</g1><br id="4"/>there']
    said = parts_of(translate_document(raw, ".pptx", shout))["ppt/slides/slide1.xml"].decode()
    wanted = para.replace("Hello", "HELLO").replace("you", "YOU").replace("there", "THERE").replace('"de"', '"en"')
    assert wanted in said


def test_sheets():
    strings = (
        "<si><t>plain</t></si><si><r><t>rich </t></r><r><rPr><b/></rPr><t>bold</t></r></si><si><t>12</t></si>"
        '<si><t xml:space="preserve">two\nlines </t></si><si><t>Column</t></si>'
    )
    table = f'<table {S}><tableColumns><tableColumn id="1" name="Column"/></tableColumns></table>'
    sheet = f'<worksheet {S}><c t="inlineStr"><is><t>inner</t></is></c><c><f>SUM(a)</f><v>1</v></c></worksheet>'
    raw = xlsx(strings, tables__table1=table, worksheets__sheet1=sheet)
    assert sorted(segments(raw, ".xlsx")) == ["inner", "plain", "rich <g1>bold</g1>", 'two<br id="1"/>lines']
    said = parts_of(translate_document(raw, ".xlsx", shout))
    shared = said["xl/sharedStrings.xml"].decode()
    assert strings.replace("plain", "PLAIN").replace("two\nlines", "TWO\nLINES").partition("<si><r>")[0] in shared
    assert '<si><t xml:space="preserve">TWO\nLINES </t></si><si><t>Column</t></si>' in shared
    assert '<r><t xml:space="preserve">RICH </t></r><r><rPr><b/></rPr><t>BOLD</t></r>' in shared
    assert said["xl/worksheets/sheet1.xml"].decode() == sheet.replace("inner", "INNER")


def test_texts_of_opendocument():
    note = '<text:note text:id="1"><text:note-body><text:p>a note</text:p></text:note-body></text:note>'
    para = (
        f'<text:p text:style-name="P1">One <text:span text:style-name="T1">two</text:span>{note}<text:s/>three'
        "<text:tab/>four<text:line-break/>five <text:page-number>7</text:page-number>.</text:p>"
    )
    gone = "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
    styles = '<s xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><text:p>header</text:p></s>'
    raw = odt(f"{gone}<text:h>Head</text:h>{para}", **{"styles.xml": styles})
    assert sorted(segments(raw, ".odt")) == sorted(
        ["Head", "One <g1>two</g1><x4/> three", 'four<br id="1"/>five {x3}.', "a note", "header"]
    )
    said = parts_of(translate_document(raw, ".odt", shout))
    wanted = para.replace("<text:s/>", " ")
    for word in ("One", "two<", "three", "four", "five", "a note"):
        wanted = wanted.replace(word, word.upper())
    assert wanted in said["content.xml"].decode() and gone in said["content.xml"].decode()
    assert said["styles.xml"].decode() == styles.replace("header", "HEADER")


def test_characters_that_xml_does_not_allow_become_spaces():
    for raw, suffix in ((docx(paragraph(run("one"))), ".docx"), (odt("<text:p>one</text:p>"), ".odt")):
        said = translate_document(raw, suffix, lambda texts: ["a\x01b\ufffe"])
        assert any(b">a b </" in part for part in parts_of(said).values())


RUNS = st.lists(
    st.sampled_from([
        run("one "), run("two", B), run(" three", ITALIC), run("."), run("1"),
        "<w:r><w:tab/></w:r>", "<w:r><w:br/></w:r>",
        '<w:bookmarkStart w:id="1"/>', '<w:bookmarkEnd w:id="1"/>', "<w:r><w:drawing/></w:r>",
        sign("begin"), sign("end"),
        sign("separate"), code("HYPERLINK x"), code("PAGE"), f"<w:hyperlink>{run('link')}{run(' b', B)}</w:hyperlink>",
        f"<w:ins>{sign('begin')}</w:ins>", f"<w:sdt><w:sdtPr/><w:sdtContent>{run('x')}</w:sdtContent></w:sdt>",
    ]), max_size=10,
)  # fmt: skip


def marks_of(raw):
    """All elements but runs, properties and text, in any order; the numbers of the field signs in theirs."""
    tree = etree.fromstring(parts_of(raw)["word/document.xml"])
    names = [etree.QName(one).localname for one in tree.iter() if isinstance(one.tag, str)]
    return sorted(name for name in names if name not in {"r", "rPr", "b", "i", "t"})


def signs_of(raw):
    return re.findall(r"fldCharType=.(\w+)", parts_of(raw)["word/document.xml"].decode())


@given(st.lists(RUNS, max_size=3))
def test_nothing_is_lost_whatever_the_translation(paragraphs):
    raw = docx("".join(paragraph(*runs) for runs in paragraphs))
    assert translate_document(raw, ".docx", same) == raw
    for translate in (shout, unmarked, lambda texts: ["word"] * len(texts)):
        said = translate_document(raw, ".docx", translate)
        assert marks_of(said) == marks_of(raw) and signs_of(said) == signs_of(raw)
    letters = text_of(parts_of(translate_document(raw, ".docx", shout))["word/document.xml"].decode())
    assert letters.upper() == text_of(parts_of(raw)["word/document.xml"].decode()).upper()


def test_what_a_string_says_of_its_reading_stays_behind_its_text():
    reading = '<rPh sb="0" eb="1"><t>x</t></rPh><phoneticPr fontId="1"/>'
    raw = xlsx(f"<si><r><t>one </t></r><r><rPr><b/></rPr><t>two</t></r>{reading}</si>")
    said = parts_of(translate_document(raw, ".xlsx", shout))["xl/sharedStrings.xml"].decode()
    assert f"<t>TWO</t></r>{reading}</si>" in said  # Excel refuses another order


def test_control_characters_that_a_sheet_spells_part_words():
    words = "<si><t>one_x000D_\ntwo</t></si><si><r><t>six_x0009_ten</t></r></si><si><t>a_x005F_x000D_b</t></si>"
    raw = xlsx(words)
    lines = ['one<br id="1"/><br id="2"/>two', 'six<br id="1"/>ten', "a_x005F_x000D_b"]
    assert segments(raw, ".xlsx") == lines
    said = parts_of(translate_document(raw, ".xlsx", shout))["xl/sharedStrings.xml"].decode()
    assert "ONE_x000D_\nTWO" in said and text_in(said, "t")[1:4] == ["SIX", "_x0009_", "TEN"]
    assert segments(docx(paragraph(run("one_x000D_two"))), ".docx") == ["one_x000D_two"]


def text_in(xml, name):
    return re.findall(rf"<{name}(?: [^>]*)?>([^<]*)</{name}>", xml)


def test_the_name_of_a_column_over_several_lines_stays():
    name = "Net_x000a_sum"
    table = f'<table {S}><tableColumns><tableColumn id="1" name="{name}"/></tableColumns></table>'
    strings = "<si><t>Net\nsum</t></si><si><t>Net_x000D_\nsum</t></si><si><t>Net sum</t></si>"
    assert segments(xlsx(strings, tables__table1=table), ".xlsx") == ["Net sum"]


def test_spaces_of_opendocument_that_are_layout_stay():
    wide, one = '<text:s text:c="5"/>', '<text:s text:c="1"/>'
    raw = odt(f"<text:p>{one}Name:{wide}six{one}ten<text:s/></text:p>")
    assert segments(raw, ".odt") == ['Name:<br id="1"/>six ten']
    said = parts_of(translate_document(raw, ".odt", shout))["content.xml"].decode()
    assert f"{one}NAME:{wide}SIX TEN <" in said
