"""XLIFF: sources without a translation get a target with their inline codes."""

import pytest
from linear import in_linear_time
from shout import same, shout, translated, unmarked

from mt.documents.readers import read_document, translate_document
from mt.errors import DataError
from mt.postprocess.markup import Request

OLD = """<?xml version='1.0' encoding='utf-8'?>
<!-- kept -->
<xliff xmlns="urn:oasis:names:tc:xliff:document:1.2" version="1.2"><file source-language="en" datatype="x" original="y">
<body>
<trans-unit id="1">
  <source>Hello <g id="1">big</g> <x id="2"/>world</source>
  <note>a note</note>
</trans-unit>
<trans-unit id="2"><source>Two</source><target>Zwei</target></trans-unit>
<trans-unit id="3" translate="no"><source>Three</source></trans-unit>
<trans-unit id="4"><source>a <bpt id="1">&lt;b&gt;</bpt>R&amp;D<ept id="1">&lt;/b&gt;</ept></source>
<target state="new">a</target></trans-unit>
<trans-unit id="5"><source>one
two <mrk mtype="protected">keep</mrk></source><seg-source>x</seg-source>
<alt-trans><target>n</target></alt-trans></trans-unit>
<trans-unit id="6"><source>12</source></trans-unit>
<trans-unit id="7"><source> </source></trans-unit>
</body></file></xliff>
"""
NEW = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en"><file id="f"><unit id="1">
<segment><source>Hello <pc id="1">big</pc> <ph id="2"/>world</source></segment>
<ignorable><source>x</source></ignorable>
<segment><source>Two</source><target>Zwei</target></segment></unit>
<unit id="2" translate="no"><segment><source>Three</source></segment></unit></file></xliff>"""


def asked(text):
    seen = []
    translated(text, ".xlf", lambda texts: seen.extend(texts) or texts)
    return seen


def test_what_is_not_translated_is_a_segment():
    assert asked(OLD) == [
        "Hello <g1>big</g1> <x5/>world",
        "a <g1>R&amp;D</g1>",
        'one<br id="1"/>two {x3}',
    ]
    assert asked(NEW) == ["Hello <g1>big</g1> <x5/>world"]


def test_targets_are_filled_and_all_else_stays():
    said = OLD
    for old, new in [
        (
            "world</source>\n",
            'world</source>\n  <target>HELLO <g id="1">BIG</g> <x id="2"/>WORLD</target>\n',
        ),
        ('"new">a<', '"needs-review-translation">A <bpt id="1">&lt;b&gt;</bpt>R&amp;D<ept id="1">&lt;/b&gt;</ept><'),
        ("</seg-source>\n", '</seg-source>\n<target>ONE\nTWO <mrk mtype="protected">keep</mrk></target>\n'),
        ("12</source>", "12</source><target>12</target>"),
    ]:
        assert old in said
        said = said.replace(old, new)
    assert translated(OLD, ".xlf") == said
    assert translated(NEW, ".xliff") == NEW.replace(
        "world</source>", 'world</source><target>HELLO <pc id="1">BIG</pc> <ph id="2"/>WORLD</target>'
    )


def test_a_copy_in_a_segment_that_is_new_is_translated():
    copied = NEW.replace(
        "<segment><source>Two</source><target>Zwei<", '<segment state="initial"><source>Two</source><target>Two<'
    )
    said = translated(copied, ".xlf")
    assert '<segment state="translated"><source>Two</source><target>TWO</target></segment>' in said
    assert translated(said, ".xlf") == said
    own = copied.replace("<target>Two<", "<target>Zwei<")
    assert '<segment state="initial"><source>Two</source><target>Zwei</target></segment>' in translated(own, ".xlf")


@pytest.mark.parametrize("own", ["Zwei", "Two 2"])
def test_copies_that_may_be_translations_are_left_and_counted(own):
    """XLIFF 2 has "initial" as the state of a segment that has none; but many tools write translations without one, and
    a name is the same in both languages."""
    segment = "<segment><source>Two</source><target>{}<"
    assert segment.format("Zwei") in NEW
    copied = NEW.replace(segment.format("Zwei"), segment.format("Two"))
    assert asked(copied) == asked(NEW)
    left = read_document(copied.encode(), ".xlf").left
    assert left == "1 target was left as found: it is a copy of its source and has no state"
    twice = copied.replace("</file>", f'<unit id="3">{segment.format("Two")}/target></segment></unit></file>')
    left = read_document(twice.encode(), ".xlf").left
    assert left == "2 targets were left as found: they are copies of their sources and have no state"
    assert not read_document(NEW.replace(segment.format("Zwei"), segment.format(own)).encode(), ".xlf").left
    assert not read_document(copied.replace("Two", "2").encode(), ".xlf").left
    assert not read_document(copied.replace("<unit ", '<unit translate="no" ', 1).encode(), ".xlf").left


def test_the_nearest_element_says_what_is_translated():
    within = NEW.replace('<unit id="2"', '<group id="g" translate="no"><unit id="2"').replace(
        "</unit></file>", "</unit></group></file>"
    )
    assert asked(within) == asked(NEW)
    assert asked(within.replace('"2" translate="no"', '"2"')) == asked(NEW)
    assert asked(within.replace('"2" translate="no"', '"2" translate="yes"')) == [*asked(NEW), "Three"]


def test_what_is_filled_comes_back_byte_for_byte():
    filled = translated(OLD, ".xlf", same)
    assert "<source>Two</source>" in filled and translated(filled, ".xlf") == filled


def test_codes_that_the_translator_loses_stay():
    assert '<target><g id="1"/><x id="2"/>HELLO BIG WORLD</target>'.replace(
        '<g id="1"/><x id="2"/>HELLO BIG WORLD', 'HELLO BIG WORLD<g id="1"/><x id="2"/>'
    ) in translated(OLD, ".xlf", unmarked)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a", "the file is not well-formed XML: line 1: "),
        (
            '<?xml version="1.0" encoding="UTF-16"?>\n<xliff/>',
            '^the file says in its first line that it is in UTF-16, but it is not. hint: write `encoding="UTF-8"`',
        ),
        ("<a/>", "this is not an XLIFF file: its root element is <a>, not <xliff>"),
        (
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xliff>&e;</xliff>',
            r"has a document type \(DOCTYPE\)",
        ),
        ("<!DOCTYPE xliff><xliff/>", r"has a document type \(DOCTYPE\), which is refused\. hint: remove it"),
        ("<xliff>" * 300 + "</xliff>" * 300, "the file has elements nested too deeply to be read"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(DataError, match=message):
        translated(text, ".xlf")


def test_entities_that_grow_without_end():
    grown = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    with pytest.raises(DataError, match=r"not well-formed XML|DOCTYPE"):
        translated(f'<!DOCTYPE a [<!ENTITY l0 "lol">{grown}]><xliff a="&l9;">&l9;</xliff>', ".xlf")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16", "utf-16-le", "windows-1252"])
def test_line_ends_and_what_stands_around_the_root_stay(encoding):
    named = encoding.removesuffix("-sig")
    before, after = f'<?xml version="1.0" encoding="{named}"?>\n<!-- \xe9 -->\n', "\n<!-- \xe8 -->\n"
    text = f"{before}{NEW.replace('Hello', 'One' + chr(10) + 'two&#13;')}{after}".replace("\n", "\r\n")
    said = translate_document(text.encode(encoding), ".xlf", lambda lines: [f"{line} 犬" for line in lines])
    found = said.decode(encoding)
    assert found.count("\n") == found.count("\r\n") == text.count("\n") + 1
    assert found.startswith(before.replace("\n", "\r\n")) and found.endswith(after.replace("\n", "\r\n"))
    assert ("犬</target>" if "utf" in encoding else "&#29356;</target>") in found and "two&#13;" in found


def test_an_encoding_that_only_a_mark_names():
    said = translate_document(NEW.encode("utf-16"), ".xlf", shout)
    assert said.decode("utf-16") == translated(NEW, ".xlf")


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_the_order_of_the_bytes_stays(encoding, mark):
    text = f'{mark}<?xml version="1.0" encoding="{encoding[:6]}"?>\n{NEW}'.replace("Hello", "犬")
    said = translate_document(text.encode(encoding), ".xlf", shout)
    assert said.decode(encoding) == f"{text[: text.index('<xliff')]}{translated(text[text.index('<xliff') :], '.xlf')}"


def test_an_encoding_that_python_does_not_have():
    raw = f'<?xml version="1.0" encoding="windows-874"?>\n{NEW}'.replace("Hello", "ไทย").encode("cp874")
    said = translate_document(raw, ".xlf", lambda texts: [f"{text} ครับ 犬" for text in texts])
    assert said.startswith(b"<?xml version='1.0' encoding='windows-874'")
    assert " ครับ &#29356;</target>" in said.decode("cp874") and "ไทย" in said.decode("cp874")


def test_another_encoding():
    raw = NEW.replace("<xliff", '<?xml version="1.0" encoding="UTF-16"?>\n<xliff', 1).encode("utf-16")
    said = translate_document(raw, ".xlf", lambda texts: ["é <g1>a</g1> <x5/>b"])
    assert 'é <pc id="1">a</pc> <ph id="2"/>b' in said.decode("utf-16")


def unit(content: str, attributes: str = "") -> str:
    return (
        f'<xliff version="1.2"><file><body><trans-unit id="1"{attributes}>{content}</trans-unit></body></file></xliff>'
    )


SEGMENTS = """<source>One. <g id="1">Two</g>.</source>
<seg-source><mrk mtype="seg" mid="0">One.</mrk> <g id="1"><mrk mtype="seg" mid="1">Two</mrk></g>.</seg-source>"""


@pytest.mark.parametrize(
    "target",
    ["", "<target/>", '<target><mrk mtype="seg" mid="0"/> <mrk mtype="seg" mid="1"></mrk></target>'],
)
def test_a_source_that_is_cut_into_segments_is_translated_in_these(target):
    text = unit(SEGMENTS + target)
    assert asked(text) == ["One.", "Two"]
    assert translated(text, ".xlf") == unit(
        f'{SEGMENTS}<target><mrk mtype="seg" mid="0">ONE.</mrk> '
        '<g id="1"><mrk mtype="seg" mid="1">TWO</mrk></g>.</target>'
    )


def test_a_target_of_marks_with_text_or_codes_is_a_translation():
    for target in ('<target><mrk mtype="seg" mid="0">Eins</mrk></target>', '<target><x id="2"/></target>'):
        assert asked(unit(SEGMENTS + target)) == []


def test_a_segment_without_a_translation_gets_one_beside_those_that_have_one():
    one, two = '<mrk mtype="seg" mid="0">{}</mrk>', '<mrk mtype="seg" mid="1" x="y">{}</mrk>'
    target = "<target>" + one + '. <g id="1">' + two + "</g></target>"
    text = unit(SEGMENTS + target.format("Eins.", " "))
    assert asked(text) == ["Two"]
    assert translated(text, ".xlf") == unit(SEGMENTS + target.format("Eins.", "TWO"))
    for target in (one.format("Eins."), two.format('<x id="3"/>'), two.format("").replace("1", "7")):
        assert asked(unit(f"{SEGMENTS}<target>{one.format('Eins.')}{target}</target>")) == []
    no = '<trans-unit translate="no"'
    assert asked(text.replace("<trans-unit", no)) == []


def test_a_mark_that_is_no_segment_is_placed_as_a_code():
    text = unit('<source>a <mrk mtype="x-term" mid="7">b c</mrk> d <mrk mtype="protected">e</mrk></source>')
    assert asked(text) == ["a <g1>b c</g1> d {x5}"]
    said = '<target>A <mrk mtype="x-term" mid="7">B C</mrk> D <mrk mtype="protected">e</mrk></target>'
    assert said in translated(text, ".xlf")


@pytest.mark.parametrize(("inside", "around"), [(' xml:space="preserve"', ""), ("", ' xml:space="preserve"')])
def test_white_space_that_is_kept(inside, around):
    words = "  Name:   a\tb\nc  d "
    text = unit(f"<source{inside}>{words}</source>", around)
    assert asked(text) == ['Name:<br id="1"/>a<br id="3"/>b<br id="5"/>c<br id="7"/>d']
    assert f"<target{inside}>{words.upper()}</target>" in translated(text, ".xlf")
    assert f"<target{inside}>{words}</target>" in translated(text, ".xlf", same)


def test_white_space_that_is_not_kept():
    text = unit('<source xml:space="default">a  b</source>', ' xml:space="preserve"')
    assert asked(text) == ["a  b"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (OLD, [("en", "")]),
        (OLD.replace('="en"', '="en-GB" target-language="de"'), [("en-GB", "de")]),
        (NEW.replace('srcLang="en"', 'srcLang="en" trgLang="fr-CA"'), [("en", "fr-CA")]),
        (OLD.replace("<source>", "<source/><text>").replace("</source>", "</text>"), []),  # nothing is translated
    ],
)
def test_the_languages_that_a_file_names(text, named):
    assert read_document(text.encode(), ".xlf").languages == named


@pytest.mark.parametrize("inside", ["<!-- -->" * 20_000, f"<note><![CDATA[{'><!-- ' * 20_000}]]></note>"])
def test_a_file_of_many_comments(inside):
    unit = '<trans-unit id="1"><source>a</source></trans-unit>'
    document = f'<xliff version="1.2"><file source-language="en"><body>{unit}</body>{inside}</file></xliff>\n'
    with in_linear_time():  # minutes, where the end of the root is searched behind each sign
        assert translated(document, ".xlf").endswith(document[-40:])


@pytest.mark.parametrize(
    "after", ["", "\n", "<!-- > -->", "\n<!---->\n<?a > <?a ?>\n<?ab <?a?><!-- ?> -->\n", "<?é é --> ?>"]
)
def test_what_stands_behind_the_root(after):
    said = translated(f"{NEW}{after}", ".xlf")
    assert said.endswith(f"</xliff>{after}") and said.count("<!--") == after.count("<!--")


@pytest.mark.parametrize("state", ["new", "needs-translation", "final", "signed-off", "x-own"])
def test_a_translation_that_nobody_has_seen_is_not_called_final(state):
    unit = f'<trans-unit id="1" approved="yes"><source>Two</source><target state="{state}"/></trans-unit>'
    said = translated(f'<xliff version="1.2"><file><body>{unit}</body></file></xliff>', ".xlf")
    target = '<target state="needs-review-translation">TWO</target>'
    assert f'<trans-unit id="1" approved="no"><source>Two</source>{target}' in said
    segment = NEW.replace("<segment><source>Hello", '<segment state="final"><source>Hello')
    assert '<segment state="translated"><source>Hello' in translated(segment, ".xlf")
    cut = unit.replace("/></trans", '><mrk mtype="seg" mid="0"/></target></trans')
    cut = cut.replace("</source>", '</source><seg-source><mrk mtype="seg" mid="0">Two</mrk></seg-source>')
    said = translated(f'<xliff version="1.2"><file><body>{cut}</body></file></xliff>', ".xlf")
    assert 'approved="no"' in said and '"needs-review-translation"><mrk mtype="seg" mid="0">TWO</mrk></target>' in said
    kept = '<mrk mtype="seg" mid="1">Eins</mrk>'  # a target with one segment that is empty
    document = f'<xliff version="1.2"><file><body>{cut.replace("<mrk", f"{kept}<mrk")}</body></file></xliff>'
    said = translated(document.replace(f'"{state}"', '"final"'), ".xlf")
    assert 'approved="no"' in said and f'"needs-review-translation">{kept}<mrk mtype="seg" mid="0">TWO</mrk>' in said
    done = unit.replace("/></trans", ">Zwei</target></trans").replace("new", "final").replace("needs-tr", "tr")
    document = f'<xliff version="1.2"><file><body>{done}</body></file></xliff>'
    assert translated(document, ".xlf") == document


@pytest.mark.parametrize(
    "code",
    [
        '<x id="1" ctype="lb"/>', '<ph id="1" type="fmt" subType="xlf:lb"/>', '<ph id="1">&lt;br/&gt;lb</ph>',
        '<x id="1"/>', '<ph id="1">&lt;br class="lb"&gt;</ph>', '<x id="lb" equiv-text="&lt;BR /&gt;"/>',
        '<ph id="lb" disp="\\n"/>', '<ph id="lb">{\\par}</ph>', '<ph id="1">&lt;b&gt;</ph>',
    ],
)  # fmt: skip
def test_a_code_that_breaks_a_line_separates_words(code):
    document = (
        f'<xliff version="1.2"><file><body><trans-unit id="1"><source>one{code}two</source></trans-unit></body></file>'
        "</xliff>"
    )
    [line] = asked(document)
    assert Request(line).text == ("one two" if "lb" in code and "lb<" not in code else "onetwo")
    assert f"<target>ONE{code}TWO</target>" in translated(document, ".xlf")


def test_a_code_whose_native_code_is_named_elsewhere():
    """XLIFF 2 keeps native codes in a table before the segments, each of which may break a line."""
    data = '<originalData><data id="d1">&lt;br/&gt;</data><data id="d2">&lt;b/&gt;</data></originalData>'
    codes = '<segment><source>one<ph id="1" dataRef="d{}"/>two</source></segment>'
    unit = f'<unit id="1">{data}{codes.format(1)}{codes.format(2)}</unit><unit id="2">{codes.format(1)}</unit>'
    document = f'<xliff version="2.0" srcLang="en"><file id="f">{unit}</file></xliff>'
    assert [Request(line).text for line in asked(document)] == ["one two", "onetwo"]  # the third is the second
    assert '<target>ONE<ph id="1" dataRef="d1"/>TWO</target>' in translated(document, ".xlf")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('a <bpt id="1">x</bpt>b<ept id="1">y</ept> c', "a <g1>b</g1> c"),
        ('a <bpt id="1" rid="7"/>b<ept id="2" rid="7"/> c', "a <g1>b</g1> c"),
        ('a <bx id="1"/><bx id="2"/>b<ex id="2"/><ex id="1"/> c', "a <g1><g2>b</g2></g1> c"),
        ('a <sc id="1"/>b<ec startRef="1"/> c', "a <g1>b</g1> c"),
        ('a <bx id="1"/><bx id="2"/>b<ex id="1"/><ex id="2"/> c', "a <x1/><g2>b<x4/></g2> c"),  # they cross
        ('a <g id="3">b <bx id="1"/>c</g> d<ex id="1"/> e', "a <g1>b <x3/>c</g1> d<x7/> e"),
        ('a <bx id="1"/>b<ex id="2"/> c', "a <x1/>b<x3/> c"),
    ],
)
def test_codes_that_begin_and_end_a_pair_are_its_marks(source, line):
    unit = f'<trans-unit id="1"><source>{source}</source></trans-unit>'
    document = f'<xliff version="1.2"><file><body>{unit}</body></file></xliff>'
    assert asked(document) == [line]
    assert f"<target>{source}</target></trans-unit>" in translated(document, ".xlf", same)


def test_a_code_that_ends_a_pair_stays_behind_its_beginning():
    begin, end = '<bpt id="1">x</bpt>', '<ept id="1">y</ept>'
    document = f'<xliff version="1.2"><trans-unit id="1"><source>a {begin}b{end} c</source></trans-unit></xliff>'
    for said in ("C <g1>B</g1> A", "C </g1>B<g1> A", "C B A"):
        written = translated(document, ".xlf", lambda texts, said=said: [said]).partition("<target>")[2]
        assert 0 <= written.index(begin) < written.index(end)
