"""Sentences that are run together are cut where their translations are likelier, and nothing else is."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import number_tokenizer

from mt.config import DecodeConfig, Split
from mt.decode.constraints.glossary import Constraints
from mt.decode.cutting import LEAST_WORDS, MOST_BORDERS, Cutter
from mt.decode.parts import Part, carried_out
from mt.decode.recutting import LEFT_OUT, MARGIN, Recutter, likeliest_cut, mean_log_prob
from mt.decode.request import Options
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translation import Translation
from mt.decode.translator import Translator
from mt.text.sentences import Usual, whole

TOKENIZER = number_tokenizer()
USUAL = Usual(40, 1, 1.0)
FIRST, SECOND, THIRD = "one two three four five", "two two one three", "five four five four one"


def said(text: str, each: float, *, finished: bool = True) -> Translation:
    """The text as its own translation, of tokens with this log-probability."""
    pieces = text.split()
    return Translation(text, each, each * (len(pieces) + 1), pieces, [], finished)


def recut(
    texts: list[str], likely, *, usual: Usual | None = USUAL, split=Split.always, **changes: object
) -> tuple[list[list[str]], list[str]]:
    """The parts of each text at the end, and the drafts that were asked for. Args: likely: the translation of a text;
    changes: of the first parts."""
    cutter = Cutter(TOKENIZER, max_length=64, src="en", usual=usual)
    drafts: list[str] = []

    def parts_of(layouts):
        return [
            Part(n, owner, span, text, TOKENIZER.encode_source([text])[0], [], Constraints(), copied=False)
            for owner, layout in enumerate(layouts)
            for n, (text, span) in enumerate(zip(layout.parts, layout.spans(), strict=True))
        ]

    def answer(parts):
        drafts.extend(part.text for part in parts if part.draft)
        return [[likely(part.text)] for part in parts]

    layouts = [whole(text) for text in texts]
    parts = [replace(part, **changes) for part in parts_of(layouts)]
    options = Options(section=DecodeConfig(split=split))
    work = Recutter(cutter, options, parts_of, layouts, parts, answer(parts))
    carried_out(work.run(), answer)
    assert [layout.text for layout in work.layouts] == texts
    assert [best.text for (best,) in work.found] == [part.text for part in work.parts]
    return [layout.parts for layout in work.layouts], drafts


def knows(text: str) -> Translation:
    """A model that knows three sentences, and nothing else well."""
    return said(text, -0.2 if text in (FIRST, SECOND, THIRD) else -1.0)


def test_sentences_run_together_are_cut_where_each_ends():
    texts = [f"{FIRST} {SECOND}", FIRST, f"{THIRD} {FIRST} {SECOND}", f"{SECOND}  {THIRD}"]
    parts, drafts = recut(texts, knows)
    assert parts == [[FIRST, SECOND], [FIRST], [THIRD, FIRST, SECOND], [SECOND, THIRD]]
    assert all(len(draft.split()) >= LEAST_WORDS for draft in drafts)


def test_a_sentence_that_is_as_likely_in_parts_stays_whole():
    parts, drafts = recut([f"{FIRST} {SECOND}"], lambda text: said(text, -0.5))
    assert parts == [[f"{FIRST} {SECOND}"]] and len(drafts) == 2 * 4  # 9 words are cut after 3, 4, 5 and 6


@given(st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=40), st.integers(0, 1000))
def test_whatever_the_model_says_no_word_is_lost(words, seed):
    def likely(text: str) -> Translation:
        return said(text, -hashlib.sha256(f"{seed} {text}".encode()).digest()[0] / 256)

    [parts], drafts = recut([" ".join(words)], likely)
    assert len(parts) == 1 or min(len(part.split()) for part in parts) >= LEAST_WORDS
    assert len(drafts) <= 2 * MOST_BORDERS * (2 * len(parts) - 1)


LINE = f"{FIRST} {SECOND}"


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (f"{FIRST}, {SECOND}", {}),
        (f"{LINE}.", {}),
        (f"{FIRST} one two", {}),  # of 8 tokens
        (LINE, {"usual": None}),  # not known
        (LINE, {"usual": Usual(40, 1, 1.0, marked=False)}),
        (LINE, {"split": Split.never}),
        (LINE, {"split": Split.auto}),  # of single sentences without marks, one in ten would be cut
        (LINE, {"prefix": [5]}),
        (LINE, {"copied": True}),
    ],
)
def test_what_has_marks_or_needs_none_is_not_searched_twice(text, settings):
    assert recut([text], knows, **settings) == ([[text]], [])


def test_both_sides_are_drafted_with_the_tags_of_their_text(monkeypatch):
    monkeypatch.setattr(TOKENIZER, "tags", ["one"])
    encoded, encode = [], TOKENIZER.encode_source
    monkeypatch.setattr(TOKENIZER, "encode_source", lambda texts: encoded.extend(texts) or encode(texts))
    [parts], drafts = recut([f"one {SECOND} {THIRD}"], lambda text: said(text, -0.2 if text == THIRD else -1.0))
    assert parts == [f"one {SECOND}", THIRD] and THIRD in drafts
    assert encoded.count(f"one {THIRD}") == 1 and THIRD not in encoded[: encoded.index(f"one {THIRD}")]


def test_what_was_cut_short_is_not_compared():
    assert recut([LINE], lambda text: replace(knows(text), finished=False)) == ([[LINE]], [])


@pytest.mark.parametrize(
    ("source", "target", "length", "lacking"),
    [(10, 9, 0.25, 0.0), (10, 14, 0.25, 0.0), (20, 14, 0.5, 0.25), (40, 19, 1.0, 0.5)],
)
def test_the_margin_falls_with_the_length_and_with_what_is_left_out(source, target, length, lacking):
    cutter = Cutter(TOKENIZER, max_length=64, src="en", usual=USUAL)
    assert cutter.compared(range(source), ["x"] * target) == (length, lacking)
    work = Recutter(cutter, Options(section=DecodeConfig()), lambda layouts: [], [], [], [])
    part = Part(0, 0, (0, 1), "x", list(range(source)), [], Constraints(), copied=False)
    margin = work.margin(part, said("x " * target, -1.0))
    assert margin == pytest.approx(MARGIN * (1 - length) - LEFT_OUT * lacking)


def test_the_likeliest_cut_is_better_than_asked_for_and_has_two_finished_sides():
    sides = [
        (said("a b c", -0.5), said("d", -0.1)),  # (4 * -0.5 + 2 * -0.1) / 6
        (said("a b", -0.2), said("c d", -0.4)),  # -0.3
        (said("a", -0.1), said("b", -0.1, finished=False)),
        (said("", -0.1), said("a b", -0.1)),
        (said("a", -9.0), said("a", -9.0)),
    ]
    assert mean_log_prob(*sides[0]) == pytest.approx(-2.2 / 6)
    assert mean_log_prob(*sides[1]) == pytest.approx(-0.3)
    for least, place in ((-0.31, 20), (-0.29, None)):
        rest = iter(sides)
        assert likeliest_cut([10, 20, 30, 40], rest, least) == place
        assert next(rest) == sides[4]  # of the next text
    assert likeliest_cut([], iter(sides), -1.0) is None


def test_many_borders_are_an_even_sample():
    cutter = Cutter(TOKENIZER, max_length=200, src="en", usual=Usual(200))
    text = " ".join(["one"] * 100)
    borders = cutter.borders(text)
    assert len(borders) == MOST_BORDERS and all(text[place] == " " for place in borders)
    assert len(text[: borders[0]].split()) >= 3 and len(text[borders[-1] :].split()) >= 3
    assert cutter.borders("one two three four five") == []
    assert cutter.borders("one  two three four five six") == [14]


def test_drafts_are_greedy_and_have_one_translation(small_model):
    model = small_model(src_size=TOKENIZER.src_size, tgt_size=TOKENIZER.tgt_size)
    section = DecodeConfig(beam=4, min_length=2, coverage_penalty=0.1)
    translator = Translator(CachedStepper(model), TOKENIZER, section, max_length=64)
    source = TOKENIZER.encode_source([LINE])[0]
    part = Part(0, 0, (0, len(LINE)), LINE, source, [], Constraints(), copied=False)
    draft, full = translator.find([replace(part, draft=True), part], translator.options(nbest=3))
    [[greedy]] = translator.search([LINE], beam=1, min_length=0, coverage_penalty=0.0)
    assert len(full) == 3 and [one.text for one in draft] == [greedy.text]
    assert draft[0].log_prob == pytest.approx(greedy.log_prob)
