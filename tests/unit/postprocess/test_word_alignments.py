"""Links of a model that has learned to translate number words one by one: each word links to the one in its place."""

from dataclasses import replace

import pytest
import torch
from linear import in_linear_time
from toy import number_pairs, number_tokenizer, trained_numbers

from mt.alignment.aligner import Aligner, choose
from mt.alignment.heads import AlignmentHeads
from mt.config import DecodeConfig, Split, TokenizerConfig
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translation import Segment, Translation
from mt.decode.translator import Translator
from mt.postprocess.quality_flags import Flag, Measures, coverage, measure, warning
from mt.postprocess.unknown_words import replace_unknown, words_of_pieces
from mt.postprocess.word_alignments import LinkedSegment, LinkedTranslation, Linker, contribution
from mt.text.sentences import Usual
from mt.text.tokenizer_training import train_tokenizer
from mt.text.words import spaced_words

PAIRS = number_pairs(60, seed=5)
TEXTS = [p.src for p in PAIRS]


@pytest.fixture(scope="module")
def translator():
    stepper = CachedStepper(trained_numbers())
    return Translator(stepper, number_tokenizer(), DecodeConfig(beam=2), max_length=24, src="en", usual=Usual(24, 1))


@pytest.fixture(scope="module")
def linker(translator):
    aligner = Aligner(translator.stepper.model, translator.tokenizer, max_length=64)
    choose(aligner, TEXTS, [p.tgt for p in PAIRS])
    return Linker(translator, aligner.heads)


def given(tokenizer, sources, targets):
    """Texts as if they were translations."""
    found = []
    for source, ids in zip(sources, tokenizer.encode_target(targets), strict=True):
        text = tokenizer.decode_target(ids)
        segment = Segment((0, len(source)), (0, len(text)), (0, len(ids)))
        found.append([Translation(text, 0.0, 0.0, tokenizer.pieces_target(ids), [], True, (segment,))])
    return found


def straight(links):
    """The share of links between words of the same number."""
    return sum(i == j for i, j in links) / max(1, len(links))


def test_words_are_linked_to_those_in_their_place(translator, linker):
    lists = linker.link(TEXTS, translator.search(TEXTS, beam=3, nbest=3))
    assert [len(found) for found in lists] == [3] * len(TEXTS)
    assert sum(straight(found[0].links()) for found in lists) / len(lists) > 0.9
    assert all(len({j for _, j in found[2].links()}) == len(found[2].text.split()) for found in lists)


def test_links_are_those_that_align_finds(translator, linker):
    found = translator.answer(TEXTS, translator.options())
    aligner = Aligner(translator.stepper.model, translator.tokenizer, max_length=64, heads=linker.heads)
    again = list(aligner.weights(TEXTS, [some[0].text for some in found]))
    for [one], weights in zip(linker.link(TEXTS, found), again, strict=True):
        own = translator.tokenizer.pieces_target(translator.tokenizer.encode_target([one.text])[0])
        if own == one.translation.pieces:  # written as it would be read
            [(first, place, grid)] = one.grids(spaced_words(one.source), spaced_words(one.text))
            assert (first, place) == (0, 0)
            assert torch.allclose(grid, weights, atol=1e-5)


def test_words_of_a_text_in_parts_are_counted_over_the_whole(translator, linker):
    text = "  one two.   three four five. " + " ".join(["six", "seven"] * 20)
    options = translator.options(split=Split.always)
    [[found]] = translator.answer([text], options)
    assert len(found.segments) > 3
    for segment in found.segments:
        assert text[slice(*segment.source)].strip() == text[slice(*segment.source)]
        pieces = found.pieces[slice(*segment.pieces)]
        written = "".join(pieces).replace("▁", " ").strip()
        assert found.text[slice(*segment.target)].replace(" ⁇ ", "<unk>").split() == written.split()
    [[linked]] = linker.link([text], [[found]])
    links = linked.links()
    for segment in found.segments:  # no link leaves its segment
        source, target = (
            {n for n, span in enumerate(spans) if begin <= span[0] < end}
            for spans, (begin, end) in (
                (spaced_words(text), segment.source),
                (spaced_words(found.text), segment.target),
            )
        )
        assert all(i in source for i, j in links if j in target)
    last = found.segments[-1]
    assert max(i for i, _ in links) >= len(text[: last.source[0]].split()) > 10
    assert max(j for _, j in links) >= len(found.text[: last.target[0]].split()) > 10


def test_a_part_is_linked_as_it_was_read_with_the_tags_of_its_text(small_model, tmp_path):
    section = TokenizerConfig(vocab_size=60, byte_fallback=False, tags=["<2nl>"])
    tokenizer = train_tokenizer(TEXTS, TEXTS, section, tmp_path)
    model = small_model(src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)
    tagged = Translator(CachedStepper(model), tokenizer, DecodeConfig(beam=2, split=Split.always), max_length=24)
    text = "<2nl> one two. three."
    [[linked]] = Linker(tagged, AlignmentHeads(0, (0,), shifted=False)).link([text], tagged.search([text]))
    first, second = linked.segments
    tag = tokenizer.encode_source(["<2nl>"])[0][:-1]
    assert [number for number, *_ in first.source[: len(tag)]] == tag and first.source[len(tag) - 1][1:] == (0, 5)
    assert [number for number, *_ in second.source] == tokenizer.encode_source(["<2nl> three."])[0][:-1]
    assert {(begin, end) for _, begin, end in second.source[: len(tag)]} == {(15, 15)}  # no part of the text
    assert "".join(text[begin:end] for _, begin, end in second.source) == "three."
    assert linked.links() <= {(i, j) for i in range(5) for j in range(len(spaced_words(linked.text)))}


def test_an_empty_text_has_no_links(translator, linker):
    lists = linker.link(["", "one"], translator.answer(["", "one"], translator.options()))
    assert lists[0][0].links() == set() and lists[0][0].soft([], []) == []
    assert measure(linker, [lists[0][0]]) == [Measures(None, None)]
    assert linker.link([], []) == []


def test_a_segment_without_tokens_on_one_side_has_no_links(translator, linker):
    sources, targets = ["one two", "", "one"], ["", "eins", "eins"]
    linked = [some[0] for some in linker.link(sources, given(translator.tokenizer, sources, targets))]
    assert [len(one.segments) for one in linked] == [1, 1, 1]
    assert [one.links() for one in linked] == [set(), set(), {(0, 0)}]
    nothing_said, from_nothing, _ = measure(linker, linked)
    assert nothing_said == Measures(None, 0.0) and nothing_said.flags == [Flag.under_translation]
    assert from_nothing == Measures(pytest.approx(0.0, abs=1e-5), None)
    assert from_nothing.flags == [Flag.hallucination]
    [marks] = measure(linker, [replace(linked[2], source="***")])
    assert marks.contribution is None and Flag.hallucination not in marks.flags  # a line of signs alone is copied


def test_without_a_choice_heads_are_guessed_once(translator, linker):
    guessing = Linker(translator)
    assert guessing.link([""], translator.answer([""], translator.options()))[0][0].links() == set()
    assert guessing.heads is None
    lists = guessing.link(TEXTS, translator.answer(TEXTS, translator.options()))
    first = guessing.heads
    assert first is not None and len(first.heads) == 1
    assert sum(straight(found[0].links()) for found in lists) / len(lists) > 0.5
    guessing.link(TEXTS[:1], translator.answer(TEXTS[:1], translator.options()))
    assert guessing.heads is first


def test_translating_makes_no_teacher_forced_pass(translator, monkeypatch):
    monkeypatch.setattr(
        "mt.postprocess.word_alignments.force", lambda *args, **given: pytest.fail("no links are wanted")
    )
    translator.translate(TEXTS)


# ---------------------------------------------------------------- flags


def test_what_a_translation_owes_and_covers_tells_right_from_wrong(translator, linker):
    t = translator.tokenizer
    rights = [p.tgt for p in PAIRS]
    halves = [" ".join(text.split()[: len(text.split()) // 2]) for text in rights]
    sets = {"right": rights, "shuffled": [*rights[1:], rights[0]], "half": halves}
    found = {}
    for name, targets in sets.items():
        linked = [some[0] for some in linker.link(TEXTS, given(t, TEXTS, targets))]
        found[name] = linked, contribution(linker, linked)
    more = sum(
        (right or 0.0) > (wrong or 0.0) for right, wrong in zip(found["right"][1], found["shuffled"][1], strict=True)
    )
    assert more >= 0.95 * len(PAIRS)
    covered = {name: [coverage(one) or 0.0 for one in linked] for name, (linked, _) in found.items()}
    assert sum(covered["right"]) / len(PAIRS) > 0.9
    assert sum(half < right for half, right in zip(covered["half"], covered["right"], strict=True)) > 0.9 * len(PAIRS)


def test_contribution_is_a_difference_of_two_scores(translator, linker):
    """As the sum over pieces of log p(piece | source) - log p(piece | nothing), by two forced passes of one pair."""
    from mt.nn.forced import force

    t, model = translator.tokenizer, translator.stepper.model
    [source], [target] = t.encode_source(TEXTS[:1]), t.encode_target([PAIRS[0].tgt])
    marks = {"bos": t.bos, "eos": t.eos, "uses": ()}
    [both], [alone] = force(model, [source], [target], **marks), force(model, [[t.eos]], [target], **marks)
    [[one]] = linker.link(TEXTS[:1], given(t, TEXTS[:1], [PAIRS[0].tgt]))
    wanted = float((both.log_probs[:-1] - alone.log_probs[:-1]).mean())
    assert contribution(linker, [one]) == [pytest.approx(wanted, abs=1e-4)]


def test_flags_by_their_thresholds():
    assert Measures(5.0, 1.0).flags == [] == Measures(None, None).flags
    assert Measures(1.9, 0.6).flags == [Flag.hallucination]
    assert Measures(2.1, 0.5).flags == [Flag.under_translation]
    assert warning(Measures(5.0, 1.0)) == ""
    assert warning(Measures(-0.5, 0.25)) == (
        "the translation may be a hallucination: the source changes the log-probability of its tokens by -0.50 each, "
        "and usually by more than +2; words may be missing (under-translation): 25% of the source words were attended "
        "to, and usually more than 55%"
    )


# ---------------------------------------------------------------- unknown words


def written(translator, linker, source, pieces):
    """A translation of these pieces, linked."""
    t = translator.tokenizer
    text = t.decode_target([offset[0] for offset in t.offsets_written(pieces)])
    segment = Segment((0, len(source)), (0, len(text)), (0, len(pieces)))
    [[one]] = linker.link([source], [[Translation(text, 0.0, 0.0, pieces, [], True, (segment,))]])
    return one


def looking_at(one, words_looked_at):
    """The same with attention by hand: each target piece looks at one source word."""
    [part] = one.segments
    weights = torch.zeros_like(part.weights)
    for row, word in enumerate(words_looked_at):
        begin = one.source.index(word)
        for column, (_, first, last) in enumerate(part.source):
            weights[row, column] = float(first < begin + len(word) and last > begin)
    return replace(one, segments=[replace(part, weights=weights)])


def test_a_word_with_an_unknown_piece_becomes_the_source_word(translator, linker):
    t = translator.tokenizer
    assert t.pieces_target([t.unk]) == ["<unk>"]
    ids = t.encode_target(["eins zwei"])[0]
    first = t.pieces_target(ids)
    one = written(translator, linker, "one Żółw two", [*first[:1], "▁", "<unk>", *first[1:]])
    assert " ⁇ " in one.text
    looks = [*["one"] * 1, "Żółw", "Żółw", *["two"] * (len(first) - 1)]
    replaced = replace_unknown(looking_at(one, looks), t.unk)
    assert "⁇" not in replaced.text and "Żółw" in replaced.text.split()
    [segment] = replaced.translation.segments
    assert segment.target == (0, len(replaced.text))
    begin = replaced.text.index("Żółw")
    assert [piece[1:] for piece in replaced.segments[0].target if piece[0] == t.unk] == [(begin, begin + 4)]
    assert replaced.translation.pieces == one.translation.pieces


def test_nothing_unknown_nothing_changed(translator, linker):
    [[one]] = linker.link(["one two"], translator.answer(["one two"], translator.options()))
    assert replace_unknown(one, translator.tokenizer.unk) is one


def test_words_of_pieces():
    assert words_of_pieces(["▁a", "b", "▁", "<unk>", "c", "▁d"]) == [(0, 2), (2, 5), (5, 6)]
    assert words_of_pieces(["a", "▁b"]) == [(0, 1), (1, 2)]
    assert words_of_pieces([]) == []


@pytest.mark.parametrize(
    ("source", "offsets", "said", "places"),
    [
        ("Żółw", [(7, 0, 4)], "Żółw.", [(0, 4), (0, 4), (4, 5)]),
        ("", [], ".", [(0, 0), (0, 0), (0, 1)]),  # nothing to put there
    ],
)
def test_signs_after_an_unknown_word_stay(source, offsets, said, places):
    segment = Segment((0, len(source)), (0, 2), (0, 3))
    translation = Translation("⁇.", 0.0, 0.0, ["▁", "<unk>", "."], [], True, (segment,))
    weights = torch.zeros(3, len(offsets) + 1)
    weights[:, 0] = 1.0
    part = LinkedSegment(offsets, [(5, 0, 0), (0, 0, 1), (6, 1, 2)], weights, torch.zeros(4))
    replaced = replace_unknown(LinkedTranslation(source, translation, [part]), 0)
    assert replaced.text == said
    assert [piece[1:] for piece in replaced.segments[0].target] == places
    assert replaced.translation.segments[0].target == (0, len(said))


def test_links_of_many_parts_do_not_take_long(unchecked_shapes):
    """A long line is translated in parts, each with links of its own."""
    tokens = [[(0, 5 * n, 5 * n + 1), (1, 5 * n + 2, 5 * n + 4)] for n in range(14_000)]
    segments = [LinkedSegment(some, some, torch.eye(2, 3), torch.zeros(3)) for some in tokens]
    text = "a b. " * 14_000
    linked = LinkedTranslation(text, Translation(text, 0.0, 0.0, [], [], True), segments)
    with in_linear_time():
        assert linked.links() == {(n, n) for n in range(28_000)}
