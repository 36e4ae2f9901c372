"""The typed keyword arguments of a translation are the settings of `DecodeConfig`, and reach the search."""

from types import NoneType
from typing import get_args, get_type_hints

import pytest
from toy import number_tokenizer, trained_numbers

from mt.config import DecodeConfig
from mt.decode.constraints.glossary import Entry, Glossary
from mt.decode.request import Sampling, SearchSettings, TranslateOptions
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
    assert translator.translate([text, "ten"], beam=1) == ["eins zwei drei", "zehn"]
    # Cut, without eos. A beam might have kept "eins" too, which is whole.
    assert translator.translate(text, max_length=2, beam=1) == "eins zwei"
    assert translator.translate([text], prefixes=["vier"])[0].startswith("vier ")
    banned = Glossary([Entry("*", ("zwei",), banned=True)])
    assert "zwei" not in translator.translate(text, glossary=banned).split()
    drawn = Sampling(samples=3, seed=2)
    found = translator.search([text], sampling=drawn)
    assert len(found[0]) == 3 and translator.translate(text, sampling=drawn) == found[0][0].text
    best, second = translator.search([text], nbest=2, beam=3)[0]
    assert best.text == "eins zwei drei" != second.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beem": 3}, r"^a translation has no setting `beem`; this version knows batch_tokens, beam, "),
        ({"beam": "3"}, r"^a translation: `beam` must be int, but is '3'\.$"),
        ({"beam": 0}, r"^`decode\.beam` must be positive, but is 0\.$"),
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
