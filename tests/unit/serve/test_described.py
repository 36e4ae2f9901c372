"""What the server says of itself: languages, counts, and its description."""

import json
from pathlib import Path

import pytest
from toy import number_tokenizer, tiny_model

from mt.checkpoint.folder import write_folder
from mt.config import DecodeConfig
from mt.decode.load import load
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError
from mt.serve.engine import Engine
from mt.serve.language_names import language_name
from mt.serve.limits import Batching
from mt.serve.links import next_word
from mt.serve.metrics import Metrics
from mt.serve.refusal import RefusedError
from mt.serve.served import Directory, Served, check_directions

GOLDEN = Path(__file__).resolve().parents[2] / "golden/schema-1/runs/golden"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("de", "German"),
        ("deu", "German"),
        ("pt-BR", "Portuguese (pt-BR)"),
        ("zho_Hans", "Chinese"),
        ("xx", "xx"),
        ("mul", "Multiple languages"),
    ],
)
def test_names_of_languages(code, name):
    assert language_name(code) == name


def test_counts_of_a_histogram_add_up():
    metrics = Metrics()
    for seconds in (0.001, 0.01, 0.02, 100.0):
        metrics.add("/translate", 200, seconds)
    lines = metrics.text(Engine([], batching=Batching(), queue=1)).split("\n")
    assert 'mt_request_seconds_bucket{le="0.01"} 2' in lines and 'mt_request_seconds_bucket{le="0.025"} 3' in lines
    assert 'mt_request_seconds_bucket{le="60.0"} 3' in lines and 'mt_request_seconds_bucket{le="+Inf"} 4' in lines
    assert 'mt_requests_total{path="/translate",status="200"} 4' in lines and "mt_request_seconds_count 4" in lines


def test_directions():
    directory = Directory.load([GOLDEN], lambda path: load(path, device="cpu", precision="fp32"))
    assert (directory.sources, directory.languages, directory.targets("en"), directory.targets("de")) == (
        ["en"], ["en", "de"], ["de"], [],
    )  # fmt: skip
    assert directory.find("EN", "De").path == GOLDEN
    for source, target, error in (
        ("de", "en", "English (en) is not available as a target language from German (de)"),
        ("en-US", "en", "English (en) is not available as a target language from English (en)"),
        ("en", "fr", "fr is not supported"),
        ("en-", "de", "en- is not supported"),
        ("en", "de_DE.UTF-8", "de_DE.UTF-8 is not supported"),
    ):
        with pytest.raises(RefusedError) as refused:
            directory.find(source, target)
        assert (refused.value.status, refused.value.message) == (400, error)
    with pytest.raises(ConfigError, match="both translate from en to de; a server has one model for each direction"):
        check_directions([(("en", "de"), GOLDEN)] * 2)


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("en-US", "pt", "en pt"), ("EN_gb", "PT-br", "en pt-BR"), ("eng", "pt-PT", "en pt"),
        ("pt-PT", "en", "pt-BR en"), ("pt", "en-US", "pt-BR en"),
        ("zh", "en", "zh-Hans en"), ("zh-CN", "en", "zh-Hans en"), ("zh-Hant", "en", ""),
    ],
)  # fmt: skip
def test_another_variety_of_a_language_is_that_of_the_model(source, target, found):
    """Clients send what a browser or a system calls its language. A model's very code comes first, and a language that
    is there in another script alone is not there."""
    directions = [("en", "pt-BR"), ("en", "pt"), ("pt-BR", "en"), ("zh-Hans", "en")]
    directory = Directory([Served(GOLDEN, *pair, None, None) for pair in directions])
    if not found:
        with pytest.raises(RefusedError, match=f"^{source} is not supported$"):
            directory.find(source, target)
        return
    served = directory.find(source, target)
    assert f"{served.src} {served.tgt}" == found


def test_a_language_is_found_among_those_that_are_translated_to_a_variety_of_the_target():
    directory = Directory([Served(GOLDEN, *pair, None, None) for pair in (("de", "fr"), ("en", "pt-BR"))])
    assert [code for code, _ in directory.detect(["der alte Hund"], "pt")] == ["en"]


def test_a_model_with_a_tag_for_each_language_serves_a_direction_for_each(monkeypatch):
    def tagged(path):
        tokenizer, model = number_tokenizer(">>deu<<", "<2fr>", "<x>"), tiny_model(tags=(">>deu<<", "<2fr>", "<x>"))
        return Translator(CachedStepper(model), tokenizer, DecodeConfig(beam=2), max_length=64, src="en")

    monkeypatch.setattr("mt.serve.served.tags", lambda path: frozenset(tagged(path).tokenizer.tags))
    directory = Directory.load([GOLDEN], tagged)
    assert directory.targets("en") == ["fr", "de"] and directory.sources == ["en"]
    plain = tagged(GOLDEN)
    for language, tag in (("de", ">>deu<<"), ("fr", "<2fr>")):
        served = directory.find("en", language)
        [[found]] = served.translator.answer(["one two three"], served.options(1))
        [[typed]] = plain.search([f"{tag} one two three"])
        assert (found.text, found.log_prob) == (typed.text, typed.log_prob)
    assert len({id(served.translator.stepper) for served in directory.models}) == 1  # the weights are there once
    monkeypatch.setattr("mt.serve.served.languages", lambda path: ("en", path.name))
    with pytest.raises(ConfigError, match="both translate from en to fr; a server has one model for each direction"):
        Directory.load([GOLDEN, GOLDEN / "model"], lambda path: pytest.fail(f"{path} was loaded"))


def test_two_models_for_several_languages_share_a_server_when_their_tags_differ(tmp_path):
    """Both are from en to mul."""
    known = {"north": ("<2da>", "<2sv>"), "south": ("<2es>",)}
    described = json.dumps({**json.loads((GOLDEN / "model/config.json").read_text()), "tgt": "mul"}).encode()
    for name, tags in known.items():
        write_folder(tmp_path / name, {"config.json": described, **number_tokenizer(*tags).files()})

    def tagged(path):
        tags = known[path.name]
        stepper = CachedStepper(tiny_model(tags=tags))
        return Translator(stepper, number_tokenizer(*tags), DecodeConfig(beam=2), max_length=64, src="en")

    directory = Directory.load([tmp_path / name for name in known], tagged)
    assert directory.targets("en") == ["da", "sv", "es"]
    assert directory.find("en", "es").path == tmp_path / "south"


@pytest.mark.parametrize(
    ("text", "prefix", "word"),
    [
        ("Zwei Hunde rennen.", "Zwei", "Hunde"), ("Zwei Hunde", "", "Zwei"), ("Zwei", "Zwei", ""),
        ("Zwei, drei", "Zwei", ","), ("Drei Hunde", "Zwei", ""), ("犬が走る", "犬", "が"),
    ],
)  # fmt: skip
def test_the_word_after_a_prefix(text, prefix, word):
    assert next_word(text, prefix) == word
