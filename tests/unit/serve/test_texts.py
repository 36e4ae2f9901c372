"""Texts of several lines and HTML: what is translated, and what stays."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mt
from mt.decode.parts import carried_out
from mt.documents.html import read_fragment
from mt.documents.readers import read_document
from mt.postprocess.word_alignments import Linker
from mt.serve.texts import document, html, layout_of, plain

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"
BITS = st.sampled_from(
    ["one", " ", "\n", "\r\n", "\t", "<p>", "</p>", "<b>", "</b>", "<br/>", "<script>", "</script>", "<!-- x -->",
     "&amp;", "<", ">", "<li class='a'>", "é", "\u2028", ".", "<style>", "</style>", "<textarea>"]
)  # fmt: skip


@pytest.fixture(scope="module")
def translator():
    return mt.load(GOLDEN, device="cpu")


def result_of(translator, work):
    """What work returns when its parts are searched at once."""
    return carried_out(work, lambda parts: translator.find(parts, translator.options()))


@given(st.lists(BITS, max_size=20).map("".join))
def test_every_text_is_put_together_again(text):
    layout = layout_of(text)
    assert layout.joined(layout.lines) == text
    assert all(line == line.strip() and line for line in layout.lines)
    assert [text[start : start + len(line)] for start, line in zip(layout.starts(), layout.lines, strict=True)] == (
        layout.lines
    )
    page = read_fragment(text)
    assert page.write(page.texts).decode() == text


def test_lines():
    assert layout_of(" one  two \r\n\n three").lines == ["one  two", "three"]
    assert layout_of(" one  two \r\n\n three").gaps == [" ", " \r\n\n ", ""]
    assert layout_of("- one\n  1. two \n•\n> three").lines == ["one", "two", "•", "three"]
    assert layout_of("- one\n  1. two \n>\n> three").gaps == ["- ", "\n  1. ", " \n>\n> ", ""]
    assert layout_of("").lines == [] and layout_of("\n").gaps == ["\n"]


@pytest.mark.parametrize(
    ("markup", "segments"),
    [
        ("<p>One <b>two</b>.</p><p>Three</p>", ["One <g1>two</g1>.", "Three"]),
        ("<ul><li>a<li>b</ul>", ["a", "b"]),
        ("<script>var x = 'one';</script>two<style>p {}</style>", ["two"]),
        ("<script>one", []),
        ("<!-- one --><p>Two.<br>Three", ["Two.", "Three"]),
        ("<html><head><title>one</title></head><body>two</body></html>", ["one", "two"]),
        ("<svg><text>one</text></svg>two", ["two"]),
        ("one &lt; two", ["one &lt; two"]),
        ("<img alt='one'>", ["one"]),
    ],
)
def test_segments_of_html(markup, segments):
    assert read_fragment(markup).texts == segments


def test_white_space_and_lines_without_words_stay(translator):
    (said,) = result_of(translator, plain(translator, translator.options(), ["\n one two\r\n---\n\tthree\n"]))
    one, three = translator.translate(["one two", "three"])
    assert said == [f"\n {one}\r\n---\n\t{three}\n"]


def test_tags_scripts_and_entities_stay(translator):
    text = "<p id='a'>one <i>two</i> &amp; three</p>\n<script>let one = 'two';</script>"
    (said,) = result_of(
        translator, html(translator, translator.options(), [text], Linker(translator), src="en", tgt="de")
    )
    assert said[0].startswith("<p id='a'>") and said[0].endswith("</p>\n<script>let one = 'two';</script>")
    assert said[0].count("<i>") == said[0].count("</i>") == 1


def test_alternatives_have_no_equals_and_keep_their_lines(translator):
    options = translator.options(nbest=2)
    work = plain(translator, options, ["one two\nthree", "four"])
    first, second = carried_out(work, lambda parts: translator.find(parts, options))
    best = translator.search(["one two", "three", "four"], nbest=2)
    assert first == ["\n".join(lines) for lines in zip(*([t.text for t in some] for some in best[:2]), strict=True)]
    assert second == [one.text for one in best[2]]


def test_a_page_names_the_language_that_it_is_translated_to(translator):
    texts = ['<html lang="en">one <i lang="en">two</i></html>', '<html lang="fr">one</html>', '<p lang="en">one</p>']
    work = html(translator, translator.options(), texts, Linker(translator), src="en", tgt="de")
    tags = [re.findall("lang=.(..)", said) for (said,) in result_of(translator, work)]
    assert tags == [["de", "en"], ["fr"], ["en"]]


def test_alternatives_of_html_are_whole_pages(translator):
    options = translator.options(nbest=2)
    work = html(translator, options, ["<p>one two</p><hr><p>three</p>", "<hr>"], Linker(translator), src="en", tgt="de")
    pages, empty = carried_out(work, lambda parts: translator.find(parts, options))
    best = translator.search(["one two", "three"], nbest=2)
    assert pages == [f"<p>{one.text}</p><hr><p>{three.text}</p>" for one, three in zip(*best, strict=True)]
    assert empty == ["<hr>"]


def test_documents_keep_their_layout(translator):
    parsed = read_document(b"1\r\n00:00:01,000 --> 00:00:02,000\r\none two\r\n", ".srt")
    said = result_of(translator, document(translator, translator.options(), parsed, Linker(translator)))
    assert said.decode() == f"1\r\n00:00:01,000 --> 00:00:02,000\r\n{translator.translate('one two')}\r\n"
