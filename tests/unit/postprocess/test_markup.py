"""Every mark of a line is in its translation once, whatever the links say; where they are right, where it belongs."""

import re
from collections import Counter

import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import in_linear_time

from mt.decode.translation import EMPTY, Segment, Translation
from mt.postprocess.markup import ATTEMPTS, STAND_INS, Request, apart, like
from mt.postprocess.word_alignments import LinkedSegment, LinkedTranslation
from mt.text.tags import Kind, parse
from mt.text.words import reading_words, spaced_words

WORDS = st.sampled_from(
    ["ein", "Hund", "läuft", "U.S.", "3.5", "犬", ",", ".", "Peter", "Y", "%", "a-b", "{", "<", "&", "$"]
)
LITERALS = [
    "{name}",
    "{{x}}",
    "%s",
    "%1$d",
    "$VAR$",
    "${y}",
    "https://a.example/b?c=d&e=f",
    "me@mail.example",
    "%1",
    ":name",
    "$t(a)",
]


@st.composite
def trees(draw, depth=3):
    """A line with tags, well nested and not, placeholders, addresses and words."""
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from("wwwplabce"))
        name = draw(st.sampled_from(["b", "i", "a", "p", "x-y", "0"]))
        if kind == "p" and depth:
            attribute = draw(st.sampled_from(["", ' href="x>y"', " class='q'"]))
            parts.append(f"<{name}{attribute}>{draw(trees(depth=depth - 1))}</{name}>")
        elif kind == "l":
            parts.append(draw(st.sampled_from(LITERALS)))
        elif kind == "a":
            parts.append(draw(st.sampled_from(["<br/>", "<br>", "<1/>", '<x id="1"/>', "<!-- no -->"])))
        elif kind == "b":
            parts.append(f"<{name}>")
        elif kind == "c":
            parts.append(f"</{name}>")
        elif kind == "e":
            parts.append(draw(st.sampled_from(["&amp;", "&lt;b&gt;", "&#228;"])))
        else:
            parts.append(draw(WORDS))
        parts.append(draw(st.sampled_from([" ", " ", " ", "", "  "])))
    return "".join(parts)


def marks(text):
    return Counter(mark.text for mark in parse(text).marks)


@settings(max_examples=400)
@given(st.data())
def test_every_mark_is_there_once_whatever_the_links(data):
    line = data.draw(trees())
    target = " ".join(data.draw(st.lists(st.one_of(WORDS, st.sampled_from([*LITERALS, "<b>", "</b>"])), max_size=8)))
    request = Request(line)
    plain, clean = request.plain, request._without_forgeries(target)
    sources, targets = reading_words(plain.text), reading_words(clean)
    soft = []
    if sources and targets:
        link = st.tuples(
            st.integers(0, len(sources) - 1), st.integers(0, len(targets) - 1), st.floats(0.0, 1.0, allow_nan=False)
        )
        soft = data.draw(st.lists(link, max_size=12))
    said = request.put_back(clean, sources, targets, soft).text
    ours = marks(line)
    assert {mark: marks(said)[mark] for mark in ours} == dict(ours), (request.text, target, said)
    if not request.marked.bare:  # no other word makes room for a mark
        for word in ("ein", "Hund", "läuft"):
            assert len(re.findall(word, said)) >= len(re.findall(word, clean)), (request.text, target, said)


def diagonal(request, text):
    """The marks of a line put into a text whose words came from the plain text's, one by one."""
    sources, targets = reading_words(request.plain.text), reading_words(text)
    soft = [(n, n, 0.8) for n in range(min(len(sources), len(targets)))]
    return request.put_back(text, sources, targets, soft)


@pytest.mark.parametrize(
    "target", ["আমি কাজ করি", "தமிழ் மொழி இது", "หนึ่งน้ำใจ", "ខ្មែរ ភាសា ល្អ", "𠮷𠮷𠮷", "👨\u200d👩\u200d👧👍🏽🇩🇪"]
)
def test_a_tag_is_never_put_into_a_letter(target):
    sources, targets = reading_words("x y"), reading_words(target)
    borders = {0, *(found.end() for found in regex.finditer(r"\X", target))}
    for j in range(len(targets)):
        said = Request("x <b>y</b>").put_back(target, sources, targets, [(1, j, 0.9), (0, 1 - min(j, 1), 0.9)]).text
        assert said.replace("<b>", "").replace("</b>", "") == target
        assert said.index("<b>") in borders and said.index("</b>") - 3 in borders
        assert said[said.index("<b>") + 3 : said.index("</b>")] == target[slice(*targets[j])]


@settings(max_examples=100)
@given(st.data())
def test_what_is_well_nested_stays_well_nested(data):
    words = data.draw(st.lists(st.sampled_from(["a", "b", "c."]), min_size=1, max_size=6))
    spans = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=4))
    line = nested(words, spans)
    request = Request(line)
    sources = reading_words(request.plain.text)
    target = "w x y z u v"
    targets = reading_words(target)
    link = st.tuples(st.integers(0, len(sources) - 1), st.integers(0, 5), st.floats(0.1, 1.0))
    said = request.put_back(target, sources, targets, data.draw(st.lists(link, max_size=10))).text
    assert [mark.kind for mark in parse(said).marks].count(Kind.alone) == 0
    assert marks(said) == marks(line)
    assert re.sub("<.*?>", "", said).split() == target.split()  # the text outside is untouched


def nested(words, spans):
    """Words within tags: each span that lies within those before it, or beside them, gets a pair."""
    taken = []
    for n, (begin, end) in enumerate(spans):
        end = min(end, len(words))
        if begin < end and all(end <= a or begin >= b or (a <= begin and end <= b) for a, b, _ in taken):
            taken.append((begin, end, n))
    out = []
    for place, word in enumerate(words):
        out.append("".join(f"<t{n}>" for a, _, n in taken if a == place) + word
                   + "".join(f"</t{n}>" for _, b, n in reversed(taken) if b == place + 1))  # fmt: skip
    return " ".join(out)


@pytest.mark.parametrize(
    ("line", "target", "links", "said"),
    [
        ("a <b>red</b> car", "un coche rojo", "0-0 1-2 2-1", "un coche <b>rojo</b>"),
        ("<b>a <i>red</i> car</b>", "un coche rojo", "0-0 1-2 2-1", "<b>un coche <i>rojo</i></b>"),
        ("<i>a</i> <b>red</b> car", "rojo un coche", "0-1 1-0 2-2", "<b>rojo</b> <i>un</i> coche"),
        (
            "he <b>gave up</b> it",
            "er gab es auf",
            "0-0 1-1 2-3 3-2",
            "er <b>gab es auf</b>",
        ),  # one run, the split word in
        ("<p>one two.</p>", "eins zwei.", "0-0 1-1", "<p>eins zwei.</p>"),  # around all there is, linked or not
        ("one<br/>two", "eins zwei", "0-0 1-1", "eins<br/>zwei"),
        ("one <br/> two", "eins zwei", "0-0 1-1", "eins <br/> zwei"),
        ("one two<br>", "eins zwei", "0-0 1-1", "eins zwei<br>"),
        ("one <a></a>two", "eins zwei", "0-0 1-1", "eins <a></a>zwei"),
        ("one <b>two", "eins zwei", "0-0 1-1", "eins <b>zwei"),  # a tag without its partner
        ("see {x}.", "siehe Petern.", "0-0 1-1 2-2", "siehe {x}."),  # a stand-in that was garbled
        ("see {x}.", "Peter siehe.", "0-1 2-2", "{x} siehe."),  # one that came through, unlinked
        ("see {x}.", "Peter siehe Peter.", "0-1 1-2 2-3", "      siehe {x}."),  # one that came twice
        ("see {x}, {y}.", "siehe.", "0-0 4-1", "siehe {x} {y}."),  # two that were lost
        ("I have {n} dogs.", "Tengo perros.", "0-0 2-1 4-2", "Tengo {n} perros."),
        ("I have {x} dogs.", "Tengo perros.", "0-0 1-0 2-1 3-1 4-2", "Tengo {x} perros."),  # not over "perros"
        ("I have {x} dogs.", "Tengo perros.", "0-0 3-1 2-2", "Tengo {x} perros."),  # and not over the full stop
        ("I have dogs {x}.", "Tengo perros.", "0-0 2-1 3-2", "Tengo perros {x}."),
        ("a {x} b", "c Peter d", "0-0 2-2", "c {x} d"),
        ("<p>One.</p><p>two.</p>", "Eins. Zwei.", "0-0 1-1 2-2 3-3", "<p>Eins.</p><p>Zwei.</p>"),
        ("<p>One.</p> <p>two.</p>", "Eins. Zwei.", "0-0 1-1 2-2 3-3", "<p>Eins.</p> <p>Zwei.</p>"),
        ("One.<div>two</div>three", "Eins. Zwei drei", "0-0 1-1 2-2 3-3", "Eins.<div>Zwei</div>drei"),
        ("a &amp; b &lt; c", "a & b < c", "0-0", "a &amp; b &lt; c"),
        ("a & <b>b</b>", "a & b", "0-0 1-1 2-2", "a & <b>b</b>"),  # no entity in, none out
        ("<b>a</b>", "<b>a</b>", "0-0", "   <b>a</b>    "),  # what a model wrote itself is no tag of the line
        ("<b>a</b>", "", "", "<b></b>"),
        ("{x} %s", "no matter", "", "{x} %s"),  # nothing to translate
        ("犬<b>と</b>猫", "狗和猫", "0-0 1-1 2-2", "狗<b>和</b>猫"),
    ],
)
def test_by_hand(line, target, links, said):
    request = Request(line)
    text = request._without_forgeries(target)
    spots = [found.span() for found in re.finditer("Peter(?!n)", text)]
    sources, targets = reading_words(request.plain.text), apart(reading_words(text), spots)
    soft = [(int(i), int(j), 0.8) for i, j in (link.split("-") for link in links.split())]
    assert request.put_back(text, sources, targets, soft).text == said


def test_links_count_the_words_of_the_lines_with_their_marks():
    request = Request('one <a href="x y">two</a> {three} &amp; four')
    assert request.text == "one two Peter & four"
    found = diagonal(request, "eins zwei Peter & vier")
    assert found.text == 'eins <a href="x y">zwei</a> {three} &amp; vier'
    assert found.links == {(0, 0), (3, 3), (4, 4), (5, 5), (6, 6)}


def test_a_line_without_marks_is_sent_as_it_is():
    for line in ("Two dogs < three & more.", "50% of $5", "", "   "):
        request = Request(line)
        assert not request.changed
        assert request.plain.text == line


@pytest.mark.parametrize("line", ["---", "...", "\U0001f600", " - ", "?!", "{x} ...", "<b>-</b>"])
def test_a_line_without_text_is_copied(line):
    request = Request(line)
    assert request.bare and request.text == ""
    assert request.restore(LinkedTranslation("", EMPTY, [])).text == line


@pytest.mark.parametrize("line", ["", "  "])
def test_an_empty_line_stays_empty(line):
    request = Request(line)
    assert not request.bare and request.restore(LinkedTranslation("", EMPTY, [])).text == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{n} of {name}", [("12", "Peter"), ("Peter", "12"), ("Max", "X")]),
        ("%d %s", [("12", "Peter"), ("Peter", "12"), ("Max", "X")]),
        ("12 {total} {} %1$d", [("15", "Peter", "20"), ("Peter", "15", "Berlin"), ("Max", "X", "Anna")]),
    ],
)
def test_what_stands_for_a_number_is_a_number_first(line, words):
    assert [tuple(Request(line, attempt=n).words) for n in range(ATTEMPTS)] == words


def test_how_many_stand_ins_come_through():
    request = Request("{a} and {b} and {a}")
    assert request.words == ["Peter", "Berlin", "Tom"]
    assert [request.came_through(text) for text in ("", "Peter, Peter", "Tom's Berlin", "Peter Tom Berlin")] == [
        0,
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("stand_in", "word", "alike"),
    [("Peter", "Petern", True), ("Peter", "Pedro", True), ("Berlin", "Berlín", True), ("Peter", "perros", False),
     ("Peter", ".", False), ("12", "\uff11\uff12", True), ("12", "120", False), ("X", "x", True), ("X", "Xa", False)],
)  # fmt: skip
def test_what_may_have_become_of_a_stand_in(stand_in, word, alike):
    assert like(stand_in, word) is alike


def test_what_the_user_protects_is_kept():
    request = Request("part AB-12 and <b>CD-3</b>", markup=False, protect=re.compile("[A-Z]+-[0-9]+"))
    assert request.text == "part Peter and <b>Berlin</b>"
    found = diagonal(request, "Teil Peter und <b>Berlin</b>").text
    assert found == "Teil AB-12 und <b>CD-3</b>"


def test_a_stand_in_is_not_a_word_of_the_line():
    assert Request("Peter met {x}").text == "Peter met Berlin"
    every = "Peter Berlin Tom Y Max X Anna Z Paris Q Maria K London J"
    assert Request(every + " {x}").text == every + " X"


def test_text_that_breaks_a_mark_loses_its_signs():
    """Twenty more of the same stand-in than words to hold them, and text that would run together with an address."""
    line = "{a} at http://x.example/y and www.b.example"
    request = Request(line)
    text = "$Peter/Berlin/Tom@"
    targets = apart(reading_words(text), [found.span() for found in re.finditer("Peter|Berlin|Tom", text)])
    said = request.put_back(text, reading_words(request.plain.text), targets, []).text
    assert marks(said) == marks(line), said


@pytest.mark.parametrize("frame", ["siehe {{ {} }} %", "siehe ${}$", "siehe %({})s", "siehe www.{}"])
def test_signs_of_the_text_give_way_where_they_swallow_a_mark(frame):
    """`{ {x} }` would be one placeholder; without its own signs the text has every mark, still by its links."""
    request, text = Request("see {x}"), frame.format("Peter")
    sources, begin = reading_words(request.plain.text), text.index("Peter")
    targets = apart(reading_words(text), [(begin, begin + 5)])
    found = request.put_back(text, sources, targets, [(0, 0, 0.9), (1, targets.index((begin, begin + 5)), 0.9)])
    assert marks(found.text) == marks("see {x}"), found.text
    assert "Peter" not in found.text and found.text.split()[0] == "siehe"


def test_signs_that_the_user_protects_may_look_like_a_mark_and_stay():
    request, text = Request("} <b>x</b> {", protect=re.compile("[{}]")), "Berlin y Peter"
    assert request.text == "Peter x Berlin"
    sources, targets = reading_words(request.plain.text), reading_words(text)
    said = request.put_back(text, sources, targets, [(0, 2, 0.9), (1, 1, 0.9), (2, 0, 0.9)]).text
    assert said.split() == ["{", "<b>y</b>", "}"]


def test_one_stand_in_for_several_goes_to_them_in_order():
    request, text = Request(" ".join(STAND_INS) + " {x} {y}"), "Q X und X und X"
    assert request.words == ["X", "X"]
    found = request.put_back(text, reading_words(request.plain.text), reading_words(text), [])
    assert found.text == "Q {x} und {y} und  "


@pytest.mark.parametrize(
    "unit", ["{{a{n}}} b https://a.example/{n} ", "<b>x{n}</b> y ", "<br/>x ", "字{{a}}字", "<p>{{a}} b</p>"]
)
def test_many_marks_of_one_line_take_no_minutes(unit):
    """A cell or a paragraph may hold thousands; in a server all requests wait for one line."""
    with in_linear_time():
        line = "".join(unit.format(n=n) for n in range(6000))
        request = Request(line)
        assert request.came_through(request.text) == len(request.words)
        said = diagonal(request, request.text).text
    assert marks(said) == marks(line)


def linked_by_words(source, target, links):
    """A translation whose pieces are words, each target word looking at one source word."""
    ours, theirs = ([(n, a, b) for n, (a, b) in enumerate(spaced_words(text))] for text in (source, target))
    weights = torch.zeros(len(theirs), len(ours) + 1)
    for j, i in enumerate(links):
        weights[j, i] = 1.0
    segment = Segment((0, len(source)), (0, len(target)), (0, len(theirs)))
    translation = Translation(target, 0.0, 0.0, [target[a:b] for _, a, b in theirs], [], True, (segment,))
    return LinkedTranslation(source, translation, [LinkedSegment(ours, theirs, weights, torch.zeros(len(theirs) + 1))])


def test_a_linked_translation_gets_its_marks_back_and_keeps_none_of_its_own():
    request = Request("one <b>two</b> {x}")
    found = request.restore(linked_by_words(request.text, "zwei eins {x} Peter", [1, 0, 3, 2]))
    assert found.text == "<b>zwei</b> eins     {x}"
    assert found.links == {(1, 0), (0, 1), (2, 2)}
    plain = Request("one two").restore(linked_by_words("one two", "zwei eins", [1, 0]))
    assert (plain.text, plain.links) == ("zwei eins", {(1, 0), (0, 1)})
