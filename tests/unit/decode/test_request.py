"""The typed keyword arguments of a translation are the settings of `DecodeConfig`, and reach the search."""

from types import NoneType
from typing import get_args, get_type_hints

import pytest
from toy import number_tokenizer, trained_numbers

from mt.config import DecodeConfig
from mt.decode.constraints.glossary import Entry, Glossary
from mt.decode.request import Sampling, SearchSettings, TranslateOptions, changed
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError

SECTION = get_type_hints(DecodeConfig)


@pytest.fixture(scope="module")
def translator():
    return Translator(CachedStepper(trained_numbers()), number_tokenizer(), DecodeConfig(), max_length=64)


def test_every_setting_of_a_search_is_a_keyword_argument():
    assert set(get_type_hints(SearchSettings)) == set(SECTION)
    assert set(get_type_hints(TranslateOptions)) == {
        *SECTION, "prefixes", "glossary", "sampling", "on_progress",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(SECTION))
def test_its_type_is_that_of_the_setting_or_none(name):
    ours, theirs = get_type_hints(SearchSettings)[name], SECTION[name]
    assert NoneType in get_args(ours)
    members = [value for part in get_args(ours) for value in get_args(part)]  # of a Literal
    if members:
        assert theirs in get_args(ours) and set(members) == {member.value for member in theirs}
    else:
        assert ours == theirs | None


def test_options_of_translate_reach_the_search(translator):
    text = "one two three"
    assert translator.translate(text) == "eins zwei drei"
    assert translator.translate([text, "ten six"], beam=1) == ["eins zwei drei", "zehn sechs"]
    # Cut, without eos. A beam might have kept "eins" too, which is whole.
    assert translator.translate(text, max_length=2, beam=1) == "eins zwei"
    assert translator.translate([text], prefixes=["vier"])[0].startswith("vier ")
    banned = Glossary([Entry("*", ("zwei",), banned=True)])
    assert "zwei" not in translator.translate(text, glossary=banned).split()
    assert len(translator.search([text], sampling=Sampling(samples=3, seed=2))[0]) == 3
    drawn = Sampling(temperature=3.0, seed=2)
    assert translator.translate(text, sampling=drawn) == translator.search([text], sampling=drawn)[0][0].text
    best, second = translator.search([text], nbest=2, beam=3)[0]
    assert best.text == "eins zwei drei" != second.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beem": 3}, r"^a translation has no setting `beem`; this version knows batch_tokens, beam, "),
        ({"beam": "3"}, r"^a translation: `beam` must be a whole number, but is '3'\.$"),
        ({"beam": 0}, r"^`decode\.beam` must be positive, but is 0\.$"),
        (
            {"min_length": 5, "max_length": 5},
            r"^`decode\.min_length` must be below `decode\.max_length` \(5\), which counts the end mark, but is 5\. "
            r"hint: take at most 4, or raise `decode\.max_length`\.$",
        ),
        (
            {"min_ratio": 2.5},
            r"^`decode\.min_ratio` must be at most `decode\.max_ratio` \(2\), but is 2\.5\. hint: lower it, or raise "
            r"`decode\.max_ratio`\.$",
        ),
        (
            {"prefixes": ["a", "b"]},
            r"^there must be one prefix for each text, but the prefixes are 2 and the texts 1\.$",
        ),
    ],
)
def test_a_wrong_option_is_refused_by_name(translator, options, said):
    with pytest.raises(ConfigError, match=said):
        translator.translate("one", **options)
    with pytest.raises(ConfigError, match=said):
        translator.search(["one"], **options)


def test_lengths_that_agree_as_a_hint_says(translator):
    for options in ({"min_length": 4, "max_length": 5}, {"min_ratio": 2.5, "max_ratio": 2.5}, {"min_ratio": 2.0}):
        assert translator.translate("one", **options)


def test_a_model_whose_own_lengths_contradict_each_other_still_translates():
    section = DecodeConfig(min_length=50, max_length=20)
    assert changed(section, {"beam": 2, "min_length": None}).min_length == 50
    with pytest.raises(ConfigError, match=r"^`decode\.min_length` must be below `decode\.max_length` \(30\)"):
        changed(section, {"max_length": 30})


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"nbest": 2}, "`nbest` is 2", "search(texts, nbest=2)"),
        ({"sampling": Sampling(samples=3)}, "`samples` is 3", "search(texts, sampling=...)"),
    ],
)
def test_several_translations_are_refused_where_one_is_returned(translator, options, said, hint):
    for texts in ("one", ["one", "two"]):
        with pytest.raises(ConfigError) as error:
            translator.translate(texts, **options)
        assert str(error.value) == (
            f"`translate` returns one translation of each text, but {said}. hint: `{hint}` returns a list of "
            "translations of each."
        )
    typed = {"search": translator.search, "texts": ["one", "two"]}
    assert len(eval(hint.replace("...", "drawn"), typed | {"drawn": options.get("sampling")})[0]) > 1
    assert translator.translate("one two", nbest=1) == "eins zwei"


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (None, "is None"), (5, "is 5"), (b"one", "is b'one'"), ({"a": "b"}, "is {'a': 'b'}"), ({"one"}, "is {'one'}"),
        (iter(["one"]), "is <list_iterato"), (["one", 2], "item 2 is 2"), (["one", None], "item 2 is None"),
    ],
)  # fmt: skip
def test_what_are_no_texts_is_refused_by_every_function_that_takes_texts(translator, texts, said):
    from mt.alignment.aligner import Aligner
    from mt.alignment.hmm import HmmAligner
    from mt.decode.rerank.mbr import mbr
    from mt.decode.rerank.rank import likelihoods
    from mt.decode.rerank.reverse import rerank
    from mt.decode.rerank.scorer import Scorer
    from mt.decode.rerank.utility import chrf
    from mt.documents.readers import translate_document
    from mt.evaluate import evaluate, judge
    from mt.postprocess.word_alignments import Linker
    from mt.text.metrics import compare, score_all

    scorer, aligner = Scorer(translator), Aligner(translator.stepper.model, translator.tokenizer, max_length=64)
    calls = [
        ("texts", translator.translate),
        ("texts", translator.search),
        ("prefixes", lambda texts: translator.translate(["one"], prefixes=texts)),
        ("sources", lambda texts: scorer.score(texts, ["eins"])),
        ("targets", lambda texts: scorer.score(["one"], texts)),
        ("sources", lambda texts: likelihoods(translator, texts, ["eins"])),
        ("targets", lambda texts: likelihoods(translator, ["one"], texts)),
        ("sources", lambda texts: next(aligner.observe(texts, ["eins"]))),
        ("sources", lambda texts: HmmAligner(texts, ["eins"])),
        ("sources", lambda texts: rerank(texts, [], scorer, weight=0.5)),
        ("candidates", lambda texts: mbr(texts, chrf)),
        ("texts", lambda texts: Linker(translator).link(texts, [])),
        ("targets", lambda texts: next(HmmAligner(["one"], ["eins"]).weights(["one"], texts))),
        ("hypotheses", lambda texts: score_all(texts, ["eins"])),
        ("references", lambda texts: score_all(["eins"], texts)),
        ("references", lambda texts: score_all(["eins"], texts, metrics=["bleu"])),
        ("baseline", lambda texts: compare(texts, ["eins"], ["eins"])),
        ("other", lambda texts: compare(["eins"], texts, ["eins"])),
        ("hypotheses", lambda texts: judge("set", ["one"], texts, ["eins"], tgt="de")),
        ("translations", lambda texts: evaluate("set", lambda sources: texts, ["one"], ["eins"], tgt="de")),
        ("translations", lambda texts: translate_document(b"one\n", ".txt", lambda sources: texts)),
        ("references", lambda texts: evaluate("set", translator.translate, ["one"], texts, tgt="de")),
    ]
    for name, call in calls:
        if name == "prefixes" and texts is None:
            continue  # there are none
        with pytest.raises(ConfigError, match=rf"^`{name}` must be a list of strings, but {said}"):
            call(texts)
    if not isinstance(texts, list):
        with pytest.raises(ConfigError, match=r'hint: write a list, also for one text: `\["Good morning\."\]`\.$'):
            translator.search(texts)


@pytest.mark.usefixtures("unchecked_shapes")
def test_one_text_is_no_list_of_its_letters(translator):
    assert translator.translate("one two") == "eins zwei"
    for call in (lambda: translator.search("one"), lambda: translator.translate(["one"], prefixes="e")):
        with pytest.raises(ConfigError, match=r"^`(texts|prefixes)` must be a list of strings, but is '(one|e)'\."):
            call()


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (["eins"], "must be a list of lists of translations, but item 1 is 'eins'."),
        ([["eins"]], "must be a list of lists of translations, but item 1 is ['eins']."),
        ("eins", "must be a list of lists of translations, but is 'eins'."),
        (None, "must be a list of lists of translations, but is None."),
        ([], "must have a list for each of the 1 text of `{}`, but has 0."),
    ],
)
def test_what_are_no_translations_is_refused_by_what_takes_them(translator, found, said):
    from mt.decode.rerank.reverse import rerank
    from mt.decode.rerank.scorer import Scorer
    from mt.postprocess.word_alignments import Linker

    calls = [
        ("found", "texts", lambda found: Linker(translator).link(["one"], found)),
        ("lists", "sources", lambda found: rerank(["one"], found, Scorer(translator), weight=0.5)),
    ]
    for name, texts, call in calls:
        with pytest.raises(ConfigError) as refused:
            call(found)
        assert refused.value.message == f"`{name}` {said.format(texts)}"
        assert refused.value.hint == f"give what `Translator.search({texts})` returns."
        call(translator.search(["one"]))


def test_lists_of_two_lengths_are_no_pairs(translator):
    from mt.decode.rerank.scorer import Scorer

    with pytest.raises(
        ConfigError, match=r"^`targets` must have as many texts as `sources`, which has 2, but has 1\.$"
    ):
        Scorer(translator).score(["one", "two"], ["eins"])


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"glossary": "a.tsv"}, r"^`glossary` must be a `Glossary`, but is 'a.tsv'\. hint: give `Glossary.read\("),
        ({"sampling": 3}, r"^`sampling` must be a `Sampling`, but is 3\. hint: give `Sampling\(seed=1\)`\.$"),
    ],
)  # fmt: skip
def test_a_glossary_and_sampling_are_objects(translator, options, said, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=said) as error:
        translator.translate("one", **options)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "terms.tsv").write_text("one\teins\n")
    given = eval(
        error.value.hint.removeprefix("give `").removesuffix("`."), {"Glossary": Glossary, "Sampling": Sampling}
    )
    assert translator.translate("one", **dict.fromkeys(options, given))
