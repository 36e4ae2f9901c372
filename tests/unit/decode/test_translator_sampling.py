"""Samples of texts: whatever the batches and the calls, the same; several models that draw as one."""

import random
from dataclasses import replace

import pytest

from mt.config import DecodeConfig, TokenizerConfig
from mt.decode.constraints.glossary import Glossary
from mt.decode.search.ensemble import Ensemble, Mean
from mt.decode.search.sampling import Sampling
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translation import EMPTY
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.text.tokenizer_training import train_tokenizer

unchecked = pytest.mark.usefixtures("unchecked_shapes")

LONGEST = 16


def line(rng, words):
    return " ".join("".join(rng.choices(["ta", "mo", "ly", "er", "in"], k=rng.randint(1, 3))) for _ in range(words))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    rng = random.Random(0)
    lines = [line(rng, rng.randint(2, 9)) for _ in range(200)]
    return train_tokenizer(lines, lines, TokenizerConfig(vocab_size=300), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model(small_model, tokenizer):
    return small_model(src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)


@pytest.fixture
def translator(model, tokenizer):
    return Translator(CachedStepper(model), tokenizer, DecodeConfig(beam=2), max_length=LONGEST)


def texts_of(lists):
    return [[t.text for t in translations] for translations in lists]


def some_texts():
    rng = random.Random(1)
    texts = [line(rng, rng.randint(1, 5)) for _ in range(12)]
    texts[5], texts[9] = "", " ".join(["tamoly"] * 12)  # one is empty, one is cut in parts
    return texts


@pytest.fixture(scope="module")
def whole(model, tokenizer):
    """Three samples of each text, in batches of the default size."""
    translator = Translator(CachedStepper(model), tokenizer, DecodeConfig(beam=2), max_length=LONGEST)
    found = translator.answer(some_texts(), translator.options(sampling=Sampling(samples=3, seed=4, epsilon=0.001)))
    assert [len(translations) for translations in found] == [1 if text == "" else 3 for text in some_texts()]
    assert found[5] == [EMPTY]
    return found


@unchecked
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_samples_do_not_depend_on_the_batches(translator, whole, monkeypatch, batch_tokens):
    sampling = Sampling(samples=3, seed=4, epsilon=0.001)
    translator.section = replace(translator.section, batch_tokens=batch_tokens)
    assert texts_of(translator.answer(some_texts(), translator.options(sampling=sampling))) == texts_of(whole)
    monkeypatch.setattr("mt.decode.translator.MAX_ROWS", 6)
    assert texts_of(translator.answer(some_texts(), translator.options(sampling=sampling))) == texts_of(whole)


@unchecked
def test_samples_do_not_depend_on_where_a_text_is_cut(translator):
    sampling, texts = Sampling(samples=2, seed=4), some_texts()
    whole = texts_of(translator.answer(texts, translator.options(sampling=sampling)))
    cut = [
        found
        for first in range(0, len(texts), 5)
        for found in texts_of(
            translator.answer(texts[first : first + 5], translator.options(sampling=sampling, first_text=first))
        )
    ]
    assert cut == whole
    assert texts_of(translator.answer(texts, translator.options(sampling=replace(sampling, seed=5)))) != whole


@unchecked
def test_more_rows_than_sentences_fit_in_a_batch(translator, monkeypatch):
    sizes = []
    start = translator.stepper.start
    monkeypatch.setattr(translator.stepper, "start", lambda source: (sizes.append(len(source)), start(source)))
    monkeypatch.setattr("mt.decode.translator.MAX_ROWS", 12)
    translator.answer(["ta", "mo", "ly", "er", "in"], translator.options(sampling=Sampling(samples=6)))
    assert sizes == [2, 2, 1]
    sizes.clear()
    translator.answer(["ta", "mo"], translator.options(sampling=Sampling(samples=13)))
    assert sizes == [1, 1]


def test_rules_hold_for_samples_too(translator, tokenizer):
    drawn = translator.answer(["ta mo"], replace(translator.options(min_length=5), sampling=Sampling(samples=20)))
    assert min(len(t.pieces) for t in drawn[0]) >= 5


def test_terms_that_must_appear_are_for_beam_search(translator, tmp_path):
    (tmp_path / "terms.tsv").write_text("ta\tmoly\n")
    glossary = Glossary.read(str(tmp_path / "terms.tsv"))
    with pytest.raises(
        ConfigError, match=r"^samples cannot be made to contain a glossary's terms\. hint: leave out one of the"
    ):
        translator.answer(["ta mo"], replace(translator.options(glossary=glossary), sampling=Sampling()))


@unchecked
@pytest.mark.parametrize("mean", Mean)
def test_an_ensemble_of_a_model_with_itself_is_the_model(model, tokenizer, translator, mean):
    twice = Translator(
        translator.stepper, tokenizer, translator.section, max_length=LONGEST,
        searcher=Ensemble([CachedStepper(model), CachedStepper(model)], mean=mean),
    )  # fmt: skip
    texts = some_texts()
    for options in (translator.options(beam=3, nbest=3), replace(translator.options(), sampling=Sampling(samples=2))):
        alone, together = (which.answer(texts, options) for which in (translator, twice))
        assert texts_of(together) == texts_of(alone)
        scores = [[t.score for lists in found for t in lists] for found in (alone, together)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-5)


@unchecked
def test_an_ensemble_of_two_models_is_neither(model, small_model, tokenizer, translator):
    other = small_model(seed=7, src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)
    both = Translator(
        translator.stepper, tokenizer, translator.section, max_length=LONGEST,
        searcher=Ensemble([CachedStepper(model), CachedStepper(other)]),
    )  # fmt: skip
    alone = Translator(CachedStepper(other), tokenizer, translator.section, max_length=LONGEST)
    texts = some_texts()
    found = [texts_of(which.search(texts)) for which in (both, translator, alone)]
    assert found[0] != found[1] and found[0] != found[2]
