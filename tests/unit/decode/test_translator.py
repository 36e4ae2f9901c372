"""As many out as in, in order, whatever goes in; nothing is lost of what is too long."""

import itertools
import math
import random
import re
from copy import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.config import DecodeConfig, LengthNorm, Split, TokenizerConfig, Unknown
from mt.decode.constraints.glossary import Constraints, Entry, Glossary
from mt.decode.cutting import LEAST, Cutter
from mt.decode.request import Sampling
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translation import EMPTY, Segment, Translation, join
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.text.sentences import Usual
from mt.text.tokenizer_training import train_tokenizer
from mt.text.words import occurs

LONGEST = 16


def line(rng, words):
    return " ".join("".join(rng.choices(["ta", "mo", "ly", "er", "in"], k=rng.randint(1, 3))) for _ in range(words))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    rng = random.Random(0)
    lines = [line(rng, rng.randint(2, 9)) for _ in range(200)]
    section = TokenizerConfig(vocab_size=300)
    return train_tokenizer(lines, lines, section, tmp_path_factory.mktemp("cache"))


class Echo(CachedStepper):
    """Returns its source as the translation, and keeps every batch."""

    def __init__(self, model):
        super().__init__(model)
        self.batches = []

    def start(self, source):
        self.batches.append(source)
        self.source, self.rows, self.place = source, len(source), 0

    def step(self, tokens):
        log_probs = torch.full((self.rows, self.model.tgt_weight.shape[0]), -20.0)
        width = self.rows // len(self.source)
        for row in range(self.rows):
            sentence = self.source[row // width]
            log_probs[row, sentence[min(self.place, len(sentence) - 1)]] = -0.5
        self.place += 1
        return log_probs

    def reorder(self, rows, sentences=None):
        self.rows = len(rows)
        if sentences is not None:
            self.source = [self.source[i] for i in sentences.tolist()]


@pytest.fixture(scope="module")
def model(small_model, tokenizer):
    return small_model(src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)


@pytest.fixture
def echo(model, tokenizer):
    return Translator(Echo(model), tokenizer, DecodeConfig(beam=2, batch_tokens=40), max_length=LONGEST)


@pytest.fixture
def translator(model, tokenizer):
    return Translator(CachedStepper(model), tokenizer, DecodeConfig(beam=4), max_length=LONGEST)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_texts_keep_their_order_through_batches_sorted_by_length(echo, caplog):
    rng = random.Random(1)
    texts = [line(rng, rng.randint(1, 5)) for _ in range(30)]
    texts[3] = texts[17] = ""
    texts[8] = "   "
    assert echo.translate(texts) == [text.strip() for text in texts]
    batches = echo.stepper.batches
    assert len(batches) > 2
    assert all(sum(map(len, batch)) <= 40 for batch in batches)
    lengths = [len(ids) for batch in batches for ids in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert min(lengths) > 1  # the model never sees an empty text
    assert warnings_of(caplog) == []


def test_progress_counts_the_parts_of_all_texts(echo):
    told = []
    texts = ["tamo ly", "", "ly", "tamo"]
    echo.translate(texts, batch_tokens=1, on_progress=lambda *now: told.append(now))
    assert told[-1] == (3, 3)  # an empty text has no part
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_one_text_in_is_one_text_out(echo):
    assert echo.translate("tamo ly") == "tamo ly"
    assert echo.translate(["tamo ly"]) == ["tamo ly"]
    assert echo.translate("") == ""
    assert echo.translate([]) == []


@pytest.mark.parametrize("text", ["", " ", "\t", "\u3000 "])
def test_an_empty_text_has_one_empty_translation(translator, text):
    assert translator.search([text], nbest=3) == [[EMPTY]]


@pytest.mark.parametrize("words", [20, 41])
def test_a_sentence_too_long_is_translated_in_parts_and_nothing_is_lost(echo, tokenizer, caplog, words):
    text = line(random.Random(2), words)
    ids = tokenizer.encode_source([text])[0]
    assert echo.translate(["tamo", text, "ly"]) == ["tamo", text, "ly"]
    parts = [part for batch in echo.stepper.batches for part in batch if len(part) > 3]
    assert warnings_of(caplog) == [
        f"input 2: a sentence of {len(ids)} tokens is translated in {len(parts)} parts, because the model reads at "
        f"most {LONGEST}: {text[:40]!r}. Shorter sentences are translated better."
    ]
    assert all(len(part) <= LONGEST and part[-1] == tokenizer.eos for part in parts)
    assert sum(len(part) - 1 for part in parts) == len(ids) - 1  # cut between words, each piece is there once


def test_a_word_too_long_is_cut_too(echo, caplog):
    text = "xyzw" * 20  # unknown to the tokenizer: a piece for every byte
    assert echo.translate(text) == text
    assert len(warnings_of(caplog)) == 1


def test_many_signs_are_copied_without_a_word_about_parts(echo, caplog):
    assert echo.translate("!" * 500) == "!" * 500
    assert not echo.stepper.batches and not warnings_of(caplog)


def test_a_text_that_just_fits_is_not_cut(echo, tokenizer, caplog):
    text = next(t for n in range(60) if len(tokenizer.encode_source([t := "ta " * n + "mo"])[0]) == LONGEST)
    assert echo.translate([text]) == [text]
    assert len(echo.stepper.batches[-1]) == 1
    longer = text + " mo"
    assert echo.translate([longer]) == [longer]
    assert len(echo.stepper.batches[-1]) == 2
    assert len(warnings_of(caplog)) == 1


def test_a_character_that_alone_is_too_long_is_cut_with_a_warning(model, tokenizer, caplog):
    stepper = Echo(model)
    tiny = Translator(stepper, tokenizer, DecodeConfig(beam=2), max_length=3)
    tiny.translate(["tamo \U00020000"])
    assert warnings_of(caplog)[-1] == "input 1: '\U00020000' has 6 tokens and is cut short."
    assert max(len(part) for batch in stepper.batches for part in batch) <= 3


PARAGRAPH = "  Tamo ly er.   Mo in ta ly!\tEr ta in mo?\u3000Ly mo er in ta. "


def test_a_long_text_goes_sentence_by_sentence_and_keeps_its_spaces(echo, tokenizer, caplog):
    normal = tokenizer.decode_target(tokenizer.encode_source([PARAGRAPH])[0])
    assert len(tokenizer.encode_source([PARAGRAPH])[0]) > LONGEST
    said = echo.translate(PARAGRAPH)
    assert said == "  Tamo ly er.   Mo in ta ly!\tEr ta in mo?\u3000Ly mo er in ta. " and said != normal
    assert sorted(len(batch) for batch in echo.stepper.batches)[-1] >= 2
    assert warnings_of(caplog) == []


@pytest.fixture(scope="module")
def tagged(tmp_path_factory, small_model):
    """A translator whose model reads two kinds of tags."""
    rng = random.Random(0)
    lines = [line(rng, rng.randint(2, 9)) for _ in range(200)]
    section = TokenizerConfig(vocab_size=300, tags=["<2de>", "<2nl>", "<2n>"])
    t = train_tokenizer(lines, lines, section, tmp_path_factory.mktemp("cache"))
    model = small_model(src_size=t.src_size, tgt_size=t.tgt_size)
    return Translator(Echo(model), t, DecodeConfig(beam=2), max_length=LONGEST, src="en")


@pytest.mark.parametrize("tags", ["<2de> ", "<2nl>", "<2nl> <2n>  "])
@pytest.mark.parametrize("text", [PARAGRAPH.strip(), "ta mo, " * 15, "xyzw" * 9, "Ta. Mo."])
def test_every_part_is_read_with_the_tags_of_its_text(tagged, tags, text, caplog):
    t, batches = tagged.tokenizer, tagged.stepper.batches
    batches.clear()
    [[found]] = tagged.search([f" {tags}{text}"])
    first = t.encode_source([tags])[0][:-1]
    parts = [part for batch in batches for part in batch]
    assert len(parts) == len(found.segments) and (len(parts) > 1) == (text != "Ta. Mo.")
    assert all(part[: len(first)] == first and len(first) + 1 < len(part) <= LONGEST for part in parts)
    if tags.endswith(" ") and "xyzw" not in text:  # cut between words: each piece is there once
        pieces = [piece for part in parts for piece in part[len(first) : -1]]
        assert sorted(pieces) == sorted(t.encode_source([f"{tags}{text}"])[0][len(first) : -1])
    assert not any("tags" in said for said in warnings_of(caplog))


@pytest.mark.parametrize(
    ("text", "tags"),
    [("<2de> ta", "<2de> "), ("  <2nl><2n>\tta <2de>", "<2nl><2n>\t"), ("<2n>l", "<2n>"), ("ta <2de>", ""), ("", "")],
)
def test_tags_are_those_at_the_beginning(tagged, text, tags):
    assert tagged.tokenizer.tags_of(text) == tags
    assert tagged.tokenizer.tags_of(text, 2) == text.lstrip()[: max(0, 2 - len(text) + len(text.lstrip()))][: len(tags)]


def test_short_text_is_split_only_when_asked(echo, tokenizer):
    text = "Ta. Mo. "
    for split, num_parts, said in (("auto", 1, "Ta. Mo."), ("never", 1, "Ta. Mo."), ("always", 2, text)):
        echo.stepper.batches.clear()
        [[found]] = echo.answer([text], echo.options(split=split))
        assert found.text == said
        assert sum(map(len, echo.stepper.batches)) == num_parts
    [[found]] = echo.answer(["  \t"], echo.options(split=Split.always))
    assert found == EMPTY


@pytest.mark.parametrize(
    ("usual", "text", "parts"),
    [
        (None, "Tamo. Lyer. Inta.", 1),  # not known: only what cannot be read is split
        (Usual(LONGEST, 1), "Tamo. Lyer. Inta.", 3),
        (Usual(LONGEST, 2), "Tamo. Lyer. Inta.", 3),
        (Usual(LONGEST, 3), "Tamo. Lyer. Inta.", 1),
        (Usual(3, 3), "Ta. Mo.", 2),  # no more sentences than usual, but longer
        (Usual(3, 1), "Ta mo ly er in.", 2),  # one sentence, but longer than any that is cut
        (Usual(3, 1), "Ta mo ly er.", 1),
        (Usual(3, 1, 0.29), "Tamo. Lyer. Inta.", 1),  # of three sentences there is one summary
        (Usual(3, 1, 0.3), "Tamo. Lyer. Inta.", 3),
    ],
)
def test_more_than_the_model_is_used_to_goes_sentence_by_sentence(model, tokenizer, caplog, usual, text, parts):
    stepper = Echo(model)
    echo = Translator(stepper, tokenizer, DecodeConfig(beam=2), max_length=LONGEST, src="en", usual=usual)
    assert 3 < len(tokenizer.encode_source([text])[0]) <= LONGEST
    assert echo.translate(text) == text
    assert sum(map(len, stepper.batches)) == parts
    stepper.batches.clear()
    [[found]] = echo.answer([text], echo.options(split=Split.never))
    assert found.text == text and sum(map(len, stepper.batches)) == 1, stepper.batches
    assert warnings_of(caplog) == []


def test_a_long_text_without_full_stops_is_read_at_the_usual_length_and_nothing_is_lost(model, tokenizer, caplog):
    """The model could read all of it at once, but loses most of a line so much longer than those it was trained on."""
    text, stepper = line(random.Random(5), 60), Echo(model)
    echo = Translator(stepper, tokenizer, DecodeConfig(beam=2), max_length=1000, src="en", usual=Usual(9, 1))
    assert echo.translate(["tamo", text]) == ["tamo", text]
    assert all(len(part) <= LEAST for batch in stepper.batches for part in batch)
    assert warnings_of(caplog) == []


def used_to(model, tokenizer, usual, stepper=Echo):
    return Translator(stepper(model), tokenizer, DecodeConfig(beam=2), max_length=64, src="en", usual=usual)


@given(st.lists(st.sampled_from(["ta", "mo,", "lyer", "in;", "er"]), min_size=1, max_size=60), st.integers(1, 40))
def test_no_part_is_longer_than_usual_and_together_they_are_the_text(tokenizer, words, usual):
    cutter = Cutter(tokenizer, max_length=64, src="en", usual=Usual(usual))
    text = " ".join(words)
    [layout] = cutter.lay_out([text], Split.auto, 0)
    assert layout.text == text
    assert max(len(ids) for ids in tokenizer.encode_source(layout.parts)) <= max(usual, LEAST)
    if len(tokenizer.encode_source([text])[0]) <= max(usual, LEAST):
        assert layout.parts == [text]


def test_a_part_is_never_longer_than_the_model_can_read(tokenizer):
    cutter = Cutter(tokenizer, max_length=5, src="en", usual=Usual(3))
    for split in Split:
        [layout] = cutter.lay_out(["ta mo er in ly ta mo er in ly"], split, 0)
        assert max(map(len, tokenizer.encode_source(layout.parts))) <= 5


@pytest.mark.parametrize(
    ("long", "whole"), [("tamoerinly" * 3, True), ("ta.mo/er-in." * 3, True), ("tamo" * 40, False)]
)
def test_a_word_that_the_model_may_read_whole_is_not_torn(tokenizer, long, whole):
    """In a text with few marks parts are shorter than an address, or than a word of another script in bytes; torn, it
    would be translated as several words without spaces between them."""
    cutter = Cutter(tokenizer, max_length=200, src="en", usual=Usual(40))
    words = " ".join(["ta mo er in ly"] * 12)
    [layout] = cutter.lay_out([text := f"{words} {long} {words}"], Split.auto, 0)
    assert len(tokenizer.encode_source([long])[0]) > LEAST and layout.text == text
    assert (long in layout.parts) is whole
    assert max(map(len, tokenizer.encode_source(layout.parts))) <= 40


def test_a_text_with_few_marks_is_cut_into_smaller_parts(tokenizer):
    cutter = Cutter(tokenizer, max_length=200, src="en", usual=Usual(40))
    marked, plain = " ".join(["ta mo er in ly,"] * 12), " ".join(["ta mo er in ly"] * 12)
    longest = [
        max(map(len, tokenizer.encode_source(cutter.lay_out([text], Split.auto, 0)[0].parts)))
        for text in (marked, plain)
    ]
    assert 10 < longest[0] <= 20 and longest[1] <= 10


class Hasty(Echo):
    """Says three pieces of a source that has more than eight, and no more."""

    def start(self, source):
        super().start(source)
        self.source = [ids if len(ids) <= LEAST else [*ids[:3], ids[-1]] for ids in source]


@pytest.mark.parametrize("split", Split)
def test_a_summary_is_not_too_short(model, tokenizer, caplog, split):
    """Neither cut again nor warned of: the text has two more words for each that is said of it."""
    hasty = used_to(model, tokenizer, Usual(60, 1, 0.2), Hasty)
    [[found]] = hasty.answer([" ".join(["ta mo er in ly"] * 4)], hasty.options(split=split))
    assert found.text == "ta mo er"
    assert warnings_of(caplog) == []


def test_what_is_translated_far_too_short_is_cut_until_nothing_is_lost(model, tokenizer, caplog):
    hasty = used_to(model, tokenizer, Usual(60, 1, 1.0), Hasty)
    texts = ["ta mo", " ".join(["ta mo er in ly"] * 4), "er"]
    assert hasty.translate(texts) == texts
    assert hasty.translate(texts[1]) == texts[1]  # the same alone
    assert warnings_of(caplog) == []
    [[found]] = hasty.answer([texts[1]], hasty.options(split=Split.always))
    assert found.text == texts[1] and len(found.segments) > 2
    assert len(found.piece_log_probs) == len(found.pieces) + len(found.segments)


def test_validation_takes_translations_as_they_are(model, tokenizer, caplog):
    hasty = used_to(model, tokenizer, Usual(60, 1, 1.0), Hasty)
    [[found]] = hasty.answer(["ta mo er in ly " * 4], replace(hasty.options(), recut=False))
    assert len(found.pieces) == 3 and warnings_of(caplog) == []


class Endless(Echo):
    """Begins again where the source ends."""

    def step(self, tokens):
        self.source = [[*(ids[:-1] * 20), ids[-1]] if self.place == 0 else ids for ids in self.source]
        return super().step(tokens)


def test_what_was_cut_at_the_maximum_length_is_named(model, tokenizer, caplog):
    endless = Translator(Endless(model), tokenizer, DecodeConfig(beam=1), max_length=LONGEST)
    [[found]] = endless.answer(["ta mo"], endless.options(first_text=7))
    length = len(found.pieces)
    assert not found.finished
    assert warnings_of(caplog) == [
        f"input 8: the translation was cut at its maximum length of {length} tokens, and may repeat itself: "
        f"{found.text[-40:]!r}"
    ]
    caplog.clear()
    endless.translate(["ta mo"] * 5)
    assert warnings_of(caplog)[3:] == ["2 more parts with a translation that was cut at its maximum length"]
    caplog.clear()
    endless.answer(["ta mo"], replace(endless.options(), recut=False))
    assert warnings_of(caplog) == []


def test_what_stays_far_too_short_is_named(model, tokenizer, caplog):
    hasty = used_to(model, tokenizer, Usual(60, 1, 1.0), Hasty)
    long = " ".join(["ta mo er in ly"] * 4)
    hasty.answer([long], hasty.options(split=Split.never, first_text=4))
    word = "xyzwxyzwxyzw"  # no cut may divide it
    hasty.translate(["ta", *[word] * 7])
    said, about = warnings_of(caplog), "tokens has a translation of 3, which may leave out some of it"
    assert re.fullmatch(rf"input 5: a part of \d+ {about}: '{long[:40]}'", said[0])
    assert [re.sub(r"\d+ tokens", "9 tokens", one) for one in said[1:]] == [
        *(f"input {number}: a part of 9 {about}: '{word}'" for number in (2, 3, 4)),
        "4 more parts with a translation that may leave out some of the text",
    ]


def test_a_full_stop_that_the_model_adds_within_a_sentence_is_taken_away(model, tokenizer):
    class Stopping(Echo):
        def start(self, source):
            super().start(source)
            stop = tokenizer.encode_source(["ta."])[0][-2:]
            self.source = [ids if ids[-2:] == stop else [*ids[:-1], *stop] for ids in source]

    stopping = used_to(model, tokenizer, Usual(10), Stopping)
    text = " ".join(["ta mo er in ly"] * 4)
    [[found]] = stopping.answer([text], stopping.options())
    assert found.text == text + "." and len(found.segments) > 1
    assert len(found.piece_log_probs) == len(found.pieces) + len(found.segments)
    for segment in found.segments:
        assert found.text[slice(*segment.target)].rstrip(".") == text[slice(*segment.source)]
    assert sum(found.piece_log_probs) == pytest.approx(found.log_prob, abs=1e-4)


def test_parts_that_are_stand_ins_and_signs_alone_are_copied(model, tokenizer):
    class Mumbling(Echo):
        def start(self, source):
            super().start(source)
            self.source = tokenizer.encode_source(["ly"] * len(source))

    mumbling = used_to(model, tokenizer, Usual(64), Mumbling)
    texts = ["Ta mo. Xa! ...", "Ta mo. Xa!", "Xa!", "Ta. --"]
    options = mumbling.options(nbest=2)
    found = mumbling.answer(texts, replace(options, stand_ins=[["Xa"], ["Xa"], ["Xa"], []]))
    assert [len(some) for some in found] == [2] * 4
    said = [some[0].text for some in found]
    assert said[2] == "Xa!" and found[2][0].pieces == tokenizer.pieces_target(tokenizer.encode_target(["Xa!"])[0])
    assert said[0] == "ly Xa! ..." and said[1] == "ly Xa!" and said[3] == "ly --"
    assert mumbling.translate(["Xa!", "Ta mo. Xa!"]) == ["ly", "ly ly"]
    assert mumbling.translate("Ta mo. --") == "ly --"  # a fragment without text, always
    alone = ["***", "--", "🙂", "\u2060", "", "  ", "ta"]
    assert mumbling.translate(alone) == ["***", "--", "🙂", "\u2060", "", "", "ly"]
    assert [one.text for one in mumbling.search(["***"], nbest=2)[0]] == ["***", "***"]
    assert mumbling.translate(["***"], prefixes=["ta"]) != ["***"]  # what is asked for is said


def test_options_are_settings_by_name_and_value(echo):
    options = echo.options(length_norm="gnmt", unknown="ban", length_penalty=None)
    assert (options.section.length_norm, options.section.unknown) == (LengthNorm.gnmt, Unknown.ban)
    assert options.section.length_penalty == 1.0
    assert options.section.patience == 1.0 and echo.options(patience=math.inf).section.patience is None
    with pytest.raises(ConfigError, match=r"^a translation has no setting `baem`; this version knows"):
        echo.options(baem=3)
    with pytest.raises(ConfigError, match=r"`split` must be one of auto, never, always, but is 'yes'\.$"):
        echo.options(split="yes")


def test_a_text_that_is_never_split_is_still_not_lost(echo, caplog):
    [[found]] = echo.answer([PARAGRAPH], echo.options(split=Split.never))
    assert found.text.split() == PARAGRAPH.split()
    assert len(warnings_of(caplog)) == 1


def test_a_prefix_begins_the_translation(translator, tokenizer):
    texts = [line(random.Random(7), 3)] * 2 + [""]
    [[one]], [[two]], [[empty]] = (
        [lists] for lists in translator.answer(texts, translator.options(prefixes=["tamo ly", "", "er"]))
    )
    assert one.text.startswith("tamo ly")
    assert two.text == translator.search(texts[:1])[0][0].text
    assert empty == EMPTY
    with pytest.raises(
        ConfigError, match=r"^there must be one prefix for each text, but the prefixes are 1 and the texts 3"
    ):
        translator.answer(texts, translator.options(prefixes=["x"]))


@pytest.mark.parametrize("beam", [1, 3])
def test_a_prefix_is_whole_also_where_it_has_what_rules_forbid(translator, beam):
    prefix = "tamo tamo tamo tamo"
    banned = Glossary([Entry("*", ("tamo",), True)])
    for options in ({"no_repeat_ngram": 1}, {"glossary": banned}, {"sampling": Sampling()}):
        [found] = translator.search([line(random.Random(7), 3)], prefixes=[prefix], beam=beam, **options)
        assert found[0].text.startswith(prefix)


def test_lengths_are_kept_within_their_bounds(translator):
    texts = [line(random.Random(8), words) for words in (1, 2, 3)]
    for found in translator.answer(texts, translator.options(min_length=9, max_length=12)):
        assert 9 <= len(found[0].pieces) <= 12
    sources = translator.tokenizer.encode_source(texts)
    for found, source in zip(translator.answer(texts, translator.options(min_ratio=1.5)), sources, strict=True):
        assert len(found[0].pieces) >= min(int(1.5 * len(source)), LONGEST - 1)
    [[one]] = translator.answer(texts[:1], translator.options(min_length=99))  # the end mark keeps its place
    limit = 2 * len(sources[0]) + 10
    assert limit - 1 <= len(one.pieces) <= limit


def test_the_unknown_piece_is_banned_by_name(model, tokenizer):
    class Lost(Echo):
        """Is sure that nothing but the unknown piece will do, then of the end."""

        def step(self, tokens):
            log_probs = super().step(tokens)
            log_probs[:, tokenizer.unk] = -0.1 if self.place == 1 else -30.0
            return log_probs

    translator = Translator(Lost(model), tokenizer, DecodeConfig(beam=2), max_length=LONGEST)
    [[kept]] = translator.answer(["tamo"], translator.options())
    [[banned]] = translator.answer(["tamo"], translator.options(unknown=Unknown.ban))
    assert "<unk>" in kept.pieces and "<unk>" not in banned.pieces


def test_no_ngram_comes_twice_where_that_is_asked(translator):
    texts = [line(random.Random(seed), 4) for seed in range(5)]
    for [found] in translator.answer(texts, translator.options(no_repeat_ngram=2)):
        pairs = list(itertools.pairwise(found.pieces))
        assert len(set(pairs)) == len(pairs)


def test_a_glossary_is_obeyed(translator, caplog):
    texts = [line(random.Random(seed), 3) for seed in range(6)]
    entries = [Entry(text.split()[0], ("lymoer",), False) for text in texts]
    entries += [Entry("*", ("ta",), True)]
    for [found] in translator.answer(texts, translator.options(glossary=Glossary(entries))):
        assert occurs("lymoer", found.text)
        assert not occurs("ta", found.text) or not found.finished
    assert warnings_of(caplog) == []


def test_a_free_translation_that_satisfies_a_glossary_is_kept(model, tokenizer, monkeypatch):
    translator = used_to(model, tokenizer, Usual(64))
    texts = [line(random.Random(n), 4) for n in range(12)]
    free = translator.search(texts)
    entries = [Entry(word, (word,), False) for word in " ".join(texts).split()]  # what it says anyway
    banned = [Entry("*", ("notthere",), True)]
    search, asked = translator._search_sorted, []
    monkeypatch.setattr(
        translator, "_search_sorted",
        lambda parts, options: asked.append([part.owner for part in parts if part.constraints != Constraints()])
        or search(parts, options),
    )  # fmt: skip
    wanted = Glossary([*entries, *banned])
    assert translator.answer(texts, translator.options(glossary=wanted)) == free
    assert all(not owners for owners in asked)
    missing = Glossary([Entry(texts[3].split()[0], ("lymoer",), False)])
    found = translator.answer(texts, translator.options(glossary=missing))
    changed = [n for n, text in enumerate(texts) if missing.constraints(text).required]
    assert 3 in changed and asked[-1] == changed
    assert [some for n, some in enumerate(found) if n not in changed] == [
        some for n, some in enumerate(free) if n not in changed
    ]
    assert all(occurs("lymoer", found[n][0].text) for n in changed)
    asked.clear()
    translator.answer(texts, translator.options(glossary=Glossary([Entry("*", (texts[5].split()[0],), True)]), nbest=2))
    assert 5 in asked[-1] and len(asked[-1]) < len(texts)


def test_a_term_that_does_not_fit_is_reported(translator, caplog):
    glossary = Glossary([Entry("ta", ("lymoer tamoin erly",), False, "g.tsv:4")])
    [[found]] = translator.answer(["Ta mo"], translator.options(glossary=glossary, max_length=3))
    assert not found.finished
    assert warnings_of(caplog) == [
        "input 1: `lymoer tamoin erly` (g.tsv:4) is missing from the translation, which reached its maximum "
        "length; raise `decode.max_extra`, or see whether the term contradicts another rule."
    ]


def test_the_best_come_first_and_their_numbers_agree(translator):
    rng = random.Random(4)
    texts = [line(rng, words) for words in (1, 3, 2)]
    lists = translator.search(texts, nbest=4)
    assert [len(found) for found in lists] == [4, 4, 4]
    for found in lists:
        finished = [t for t in found if t.finished]
        assert [t.score for t in finished] == sorted((t.score for t in finished), reverse=True)
        assert len({tuple(t.pieces) for t in found}) == 4
        for t in found:
            assert t.log_prob == pytest.approx(sum(t.piece_log_probs), abs=1e-4)
            assert t.score == pytest.approx(t.log_prob / len(t.piece_log_probs), abs=1e-4)
            assert len(t.piece_log_probs) == len(t.pieces) + t.finished
            assert len(t.piece_log_probs) <= LONGEST
    assert [found[0].text for found in lists] == translator.translate(texts)
    assert [found[:1] for found in lists] == translator.search(texts)


def test_settings_of_a_call_stand_in_for_those_of_the_model(translator):
    text = [line(random.Random(5), 3)]
    (sums,) = translator.search(text, beam=2, nbest=2, length_penalty=0.0)
    assert [t.score for t in sums] == [t.log_prob for t in sums]
    assert translator.section == DecodeConfig(beam=4)
    with pytest.raises(ConfigError, match=r"^`decode\.nbest` must lie between 1 and `decode\.beam` \(2\), but is 3\.$"):
        translator.search(text, beam=2, nbest=3)
    with pytest.raises(ConfigError, match=r"^`decode\.beam` must be positive, but is 0\.$"):
        translator.search(text, beam=0)


def test_groups_of_the_model_and_a_beam_of_the_call(translator):
    grouped = copy(translator)
    grouped.section = DecodeConfig(beam=4, groups=2)
    sections = [grouped.options(beam=beam, groups=groups).section for beam, groups in ((1, None), (6, None), (3, 1))]
    assert [(section.beam, section.groups) for section in sections] == [(1, 1), (6, 2), (3, 1)]
    hint = "take a beam that is a multiple of 2, or 1 group."
    for refused in ({"beam": 3}, {"beam": 1, "groups": 2}):
        words = f"`decode.groups` must be positive and divide `decode.beam` ({refused['beam']}), but is 2. hint: {hint}"
        with pytest.raises(ConfigError, match=f"^{re.escape(words)}$"):
            grouped.translate("one", **refused)


def test_a_model_left_in_training_is_put_to_work_first(translator):
    text = line(random.Random(6), 4)
    wanted = translator.translate(text)
    translator.stepper.model.train()
    assert translator.translate(text) == wanted
    assert not translator.stepper.model.training


def part(text, score, log_prob, finished=True):
    return Translation(text, score, log_prob, [text], [log_prob], finished)


def test_parts_are_joined_by_rank():
    first = [part("a", -1.0, -2.0), part("b", -2.0, -3.0), part("c", -9.0, -9.0)]
    second = [part("x", -3.0, -4.0), part("y", -4.0, -5.0, finished=False)]
    assert join([first, second]) == [
        Translation("a x", -2.0, -6.0, ["a", "x"], [-2.0, -4.0], True),
        Translation("b y", -3.0, -8.0, ["b", "y"], [-3.0, -5.0], False),
    ]
    assert join([first]) == first
    assert join([]) == [EMPTY]


def test_a_part_that_says_nothing_leaves_no_gap():
    parts = [[part("a", -1.0, -1.0)], [part("", -1.0, -1.0)], [part("b", -1.0, -1.0)]]
    assert join(parts)[0].text == "a b"
    assert join(parts, ["  ", "\t", "\n", " "])[0].text == "  a\nb "


@pytest.mark.parametrize(
    ("left", "gap", "right", "text"),
    [
        ("Good.", "", "Bye.", "Good. Bye."),  # from a script that needs no space after a full stop
        ("好。", " ", "再见。", "好。再见。"),  # into one
        ("好。", "\n", "再见。", "好。\n再见。"),  # a line stays a line
        ("Good.", "", "再见。", "Good.再见。"),
        ("Good", "", "bye", "Goodbye"),  # a word that was cut in two
        ("Good.", "  ", "Bye.", "Good.  Bye."),
        ("", "", "Bye.", "Bye."),
    ],
)
def test_a_space_stands_where_the_script_wants_one(left, gap, right, text):
    assert join([[part(left, -1.0, -1.0)], [part(right, -1.0, -1.0)]], ["", gap, ""])[0].text == text


@given(
    st.lists(st.tuples(st.text("ab.", max_size=3), st.text(" \n", max_size=2)), min_size=1, max_size=4),
    st.text(" ", max_size=1),
)
def test_segments_stand_where_the_parts_came_to_stand(parts, before):
    lists = []
    for n, (text, _) in enumerate(parts):
        segment = Segment((n, n + 1), (0, len(text)), (0, len(text)))
        lists.append([Translation(text, 0.0, 0.0, list(text), [], True, (segment,))])
    [whole] = join(lists, [before, *(gap for _, gap in parts)])
    assert [whole.text[slice(*s.target)] for s in whole.segments] == [text for text, _ in parts]
    assert [whole.pieces[slice(*s.pieces)] for s in whole.segments] == [list(text) for text, _ in parts]
    assert [s.source for s in whole.segments] == [(n, n + 1) for n in range(len(parts))]


def test_a_translation_knows_which_part_of_the_text_each_stretch_is(echo):
    text = "  tamo ly. " + line(random.Random(2), 20) + "\n er "
    [[found]] = echo.answer([text], echo.options(split=Split.always))
    assert len(found.segments) > 2
    for segment in found.segments:
        assert found.text[slice(*segment.target)].split() == text[slice(*segment.source)].split()
