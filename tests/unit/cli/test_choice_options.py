"""Sampling, minimum Bayes risk, reranking and ensembles on the command line: what goes together, what comes of it."""

from functools import partial
from math import log
from types import SimpleNamespace

import pytest
import torch

from mt.cli import choice_options as module
from mt.cli.choice_options import Chooser, load_models
from mt.cli.translate import parse
from mt.config import DecodeConfig
from mt.decode.request import Options
from mt.decode.search.ensemble import Mean
from mt.decode.search.sampling import Sampling
from mt.decode.translation import EMPTY, Translation
from mt.errors import ConfigError


def said(text, score=-1.0):
    return Translation(text, score, score, [text], [score], True)


class Chatter:
    """Says of every text three things, two of them alike."""

    def __init__(self):
        self.asked = []

    def answer(self, texts, options):
        self.asked.append(options)
        return [[said("ein Hund"), said("der Hund"), said("ein Hund")] if text else [EMPTY] for text in texts]


def chooser(*argv):
    return Chooser(Chatter(), parse(["model", *argv]))


def options(nbest=1, first_text=0):
    return Options(section=DecodeConfig(beam=5), nbest=nbest, first_text=first_text)


def texts_of(lists):
    return [[t.text for t in translations] for translations in lists]


# ---------------------------------------------------------------- what goes together


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--sample", "--mbr", "chrf"], "--sample and --mbr cannot be combined; choose one of them"),
        (["--mbr", "chrf", "--rerank", "back"], "--mbr and --rerank cannot be combined"),
        (["--top-k", "3"], "--top-k needs --sample, or --mbr from samples"),
        (["--seed", "3", "--mbr", "chrf", "--mbr-from", "beam"], "--seed needs --sample, or --mbr from"),
        (["--sample", "--beam", "4"], "--beam has no effect on sampling; leave it out"),
        (["--sample", "--nbest", "2"], "--nbest has no effect on sampling; --samples gives the number"),
        (["--mbr", "bleu", "--nbest", "33"], "--nbest 33 needs at least as many --samples"),
        (["--mbr-from", "beam"], "--mbr-from needs --mbr"),
        (["--rerank-weight", "0"], "--rerank-weight needs --rerank"),
        (["--ensemble-mean", "log_probs"], "--ensemble-mean needs --ensemble"),
        (["--sample", "--groups", "2"], "--groups has no effect on sampling; leave it out"),
        (["--mbr", "chrf", "--patience", "2"], "--patience has no effect on sampling; leave it out"),
        (["--sample", "--coverage-penalty", "0.1"], "--coverage-penalty has no effect on sampling; leave it out"),
        (["--sample", "--temperature", "0"], "argument --temperature: must be above 0 (the limit, always the like"),
        (["--sample", "--top-p", "0"], "argument --top-p: must be a number above 0 and at most 1, but is 0"),
        (["--sample", "--epsilon", "1"], "argument --epsilon: must be a number of at least 0 and below 1, but is 1"),
        (["--sample", "--epsilon", "2"], "argument --epsilon: must be a number of at least 0 and below 1, but is 2"),
        (["--sample", "--top-p", "much"], "argument --top-p: must be a number above 0 and at most 1, but is much"),
        (["--mbr", "meteor"], "--mbr must be one of chrf, chrf++, bleu, but is meteor"),
    ],
)  # fmt: skip
def test_what_cannot_go_together_is_refused(argv, message):
    with pytest.raises(ConfigError) as refused:
        parse(["model", *argv])
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("argv", "drawn"),
    [
        ([], None),
        (["--mbr", "chrf", "--mbr-from", "beam"], None),
        (["--sample"], Sampling()),
        (["--sample", "--top-k", "5", "--seed", "7", "--samples", "2"], Sampling(samples=2, top_k=5, seed=7)),
        (["--mbr", "chrf"], Sampling(samples=32, epsilon=0.02)),
        (["--mbr", "chrf", "--epsilon", "0", "--top-p", "0.9", "--samples", "8"], Sampling(samples=8, top_p=0.9)),
    ],
)
def test_what_is_drawn(argv, drawn):
    assert module.sampling(parse(["model", *argv])) == drawn


# ---------------------------------------------------------------- what comes of it


def test_without_a_choice_the_search_is_what_was_asked_for():
    plain = chooser("--nbest", "2")
    plain.answer(["a"], options(nbest=2))
    assert plain.translator.asked == [options(nbest=2)] and plain.gives_many


def test_samples_know_how_many_texts_came_before():
    drawing = chooser("--sample", "--samples", "3")
    assert drawing.gives_many and not chooser("--sample").gives_many
    batches = [(["a", "b"], 0), (["c"], 2), (["d"], 3)]
    found = [drawing.answer(texts, options(first_text=first)) for texts, first in batches]
    assert texts_of(found[1]) == [["ein Hund", "der Hund", "ein Hund"]]  # as they were drawn
    assert [asked.first_text for asked in drawing.translator.asked] == [0, 2, 3]
    assert {asked.sampling for asked in drawing.translator.asked} == {Sampling(samples=3)}


@pytest.mark.parametrize("utility", ["chrf", "chrf++", "bleu"])
def test_mbr_takes_what_is_most_like_all(utility, monkeypatch):
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("en", "de"))
    best = chooser("--mbr", utility, "--nbest", "2")
    first, empty = best.answer(["a", ""], options(nbest=2))
    assert [t.text for t in first] == ["ein Hund", "der Hund"]  # two of three; equal ones once
    assert 100 > first[0].score > first[1].score > 0
    assert first[0].log_prob == -1.0 and empty == [EMPTY]
    assert best.translator.asked == [
        Options(section=DecodeConfig(beam=5), sampling=Sampling(samples=32, epsilon=0.02))
    ]  # fmt: skip
    assert texts_of(chooser("--mbr", utility).answer(["a"], options())) == [["ein Hund"]]


def test_mbr_can_choose_from_all_that_the_beam_holds():
    best = chooser("--mbr", "chrf", "--mbr-from", "beam")
    assert texts_of(best.answer(["a"], options())) == [["ein Hund"]]
    assert best.translator.asked == [options(nbest=5)]


def test_what_the_beam_holds_counts_as_it_is_likely(monkeypatch):
    """By hand, with 1 for equal texts and 0.5 for others: shares 0.2, 0.6 and 0.2 give 0.6, 0.8 and 0.6; unweighted,
    all would have 2 / 3 and the first would win."""
    monkeypatch.setattr("mt.decode.rerank.utility.chrf", lambda texts: torch.eye(len(texts)).double() * 0.5 + 0.5)
    held = [said("a", log(0.002)), said("b", log(0.006)), said("c", log(0.002))]
    best = chooser("--mbr", "chrf", "--mbr-from", "beam", "--nbest", "3")
    monkeypatch.setattr(best.translator, "answer", lambda texts, options: [held])
    (found,) = best.answer(["x"], options(nbest=3))
    assert [(t.text, round(t.score, 9)) for t in found] == [("b", 0.8), ("a", 0.6), ("c", 0.6)]
    samples = chooser("--mbr", "chrf", "--samples", "3", "--nbest", "3")
    monkeypatch.setattr(samples.translator, "answer", lambda texts, options: [held])
    (found,) = samples.answer(["x"], options(nbest=3))
    assert [(t.text, round(t.score, 9)) for t in found] == [(x, round(2 / 3, 9)) for x in "abc"]  # as often as drawn


def test_bleu_splits_words_as_the_target_language_needs(monkeypatch):
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("en", "ja"))
    chosen = module.utility(parse(["model", "--mbr", "bleu"]))
    assert isinstance(chosen, partial) and chosen.keywords == {"tokenize": "char"}


def test_reranking_asks_the_reverse_model_of_all_that_the_beam_holds(monkeypatch):
    told = {"back": ("de", "en")}
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: told.get(path.name, ("en", "de")))
    monkeypatch.setattr("mt.checkpoint.model_folder.table_columns", lambda path: ([], "de"))
    loaded = []
    monkeypatch.setattr(
        "mt.decode.load.load", lambda path, **settings: loaded.append((path.name, settings)) or "translator"
    )
    calls = []
    monkeypatch.setattr(
        "mt.decode.rerank.reverse.rerank",
        lambda texts, lists, reverse, weight: calls.append((texts, reverse, weight)) or [x[::-1] for x in lists],
    )
    monkeypatch.setattr("mt.decode.rerank.scorer.Scorer", lambda translator: f"scorer of {translator}")
    back = chooser("--rerank", "back", "--rerank-weight", "0.3", "--nbest", "2", "--device", "cpu")
    assert texts_of(back.answer(["a"], options(nbest=2))) == [["ein Hund", "der Hund"]]
    assert loaded == [("back", {"device": "cpu", "precision": "auto"})]
    assert calls == [(["a"], "scorer of translator", 0.3)] and back.translator.asked == [options(nbest=5)]


def test_a_reverse_model_must_go_the_other_way(monkeypatch):
    monkeypatch.setattr("mt.checkpoint.model_folder.languages", lambda path: ("en", "de"))
    monkeypatch.setattr("mt.checkpoint.model_folder.table_columns", lambda path: ([], "de"))
    with pytest.raises(
        ConfigError, match="--rerank back translates from en to de, but a model from de to en is needed here"
    ):
        chooser("--rerank", "back")


def test_one_model_or_several(monkeypatch):
    monkeypatch.setattr("mt.decode.load.load", lambda path, **settings: (path, settings))
    monkeypatch.setattr("mt.decode.load.load_ensemble", lambda paths, **settings: (paths, settings))
    settings = {"device": "cpu", "precision": "auto"}
    _, told = load_models(parse(["one", "--ensemble", "two", "--device", "cpu"]))
    assert told == {**settings, "mean": Mean.probabilities}
    asked = parse(["one", "--device", "cpu"])
    assert load_models(asked) == (asked.model, settings)
    paths, told = load_models(
        parse(["one", "--ensemble", "two", "three", "--ensemble-mean", "log_probs", "--device", "cpu"])
    )
    assert [path.name for path in paths] == ["one", "two", "three"] and told == {**settings, "mean": Mean.log_probs}
    with pytest.raises(ConfigError, match=r"^--ensemble needs a first model: mt translate MODEL "):
        load_models(SimpleNamespace(model=None, ensemble=["two"]))
