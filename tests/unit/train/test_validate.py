"""Validation: the loss on all of the dev set, the scores of a real translation, and a model left as it was."""

import math
import re
from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from toy import number_corpus, number_pairs, number_tokenizer, tiny_model

from mt.cli.compose import compose
from mt.config import DecodeConfig, Precision, Subset, Watch
from mt.data.batching import TokenizedCorpus
from mt.data.prepare import some_of
from mt.text.metrics import score_all
from mt.train.objective import batch_loss
from mt.train.optim import Ema
from mt.train.validate import Validation, Validator, ema_weights


def make(corpus, translate, pairs=3, tokens=40, subset=Subset.spread, watch=Watch.bleu):
    return Validator(
        corpus, lambda texts, on_progress: translate(texts), precision=Precision.fp32, tokens=tokens,
        shown=some_of(corpus.pairs, pairs, subset), bleu_tokenizer="13a", watch=watch,
    )  # fmt: skip


def test_the_loss_is_that_of_all_pairs_and_has_no_smoothing():
    corpus, model = number_corpus(9), tiny_model(dropout=0.5)
    found = make(corpus, list)(model)
    assert not model.training
    rows = sum(len(target) + 1 for target in corpus.target)
    assert found.loss == pytest.approx(batch_loss(model, corpus.batch(range(9)), Precision.fp32, 0.0).nll.item() / rows)
    assert make(corpus, list, tokens=1000)(model).loss == pytest.approx(found.loss)
    characters = sum(len(f"{pair.tgt}\n") for pair in number_pairs(9))
    assert found.bits_per_char == pytest.approx(found.loss * rows / characters / math.log(2))


def test_where_no_ratio_allows_the_references_a_number_of_pieces_does(caplog):
    validator = make(number_corpus(9), list)
    caplog.clear()
    validator.dev = MagicMock(unit="rows", __len__=lambda dev: 2)
    validator.dev.source.lengths.return_value = np.ones(2, np.int64)  # as of features of one row
    validator.dev.target.lengths.return_value = np.array([7, 149])
    validator.tell_limits(DecodeConfig())
    validator.tell_limits(DecodeConfig(max_extra=148))
    assert caplog.messages == [
        "1 of 2 dev references are longer than a translation may be (`decode.max_ratio=2` times the rows of its "
        "source, and 10); `decode.max_extra=148` allows them"
    ]


@pytest.mark.parametrize(("subset", "places"), [(Subset.spread, [1, 4, 7]), (Subset.first, [0, 1, 2])])
def test_some_pairs_are_translated_and_scored(subset, places):
    corpus, translated, pairs = number_corpus(9), [], [number_pairs(9)[place] for place in places]

    def translate(texts):
        translated.extend(texts)
        return [pair.tgt for pair in pairs]

    found = make(corpus, translate, subset=subset)(tiny_model())
    assert translated == found.sources == [pair.src for pair in pairs]
    assert found.references == found.hypotheses == [pair.tgt for pair in pairs]
    assert (found.bleu, found.chrf) == (pytest.approx(100), pytest.approx(100))
    assert make(corpus, lambda texts: ["" for _ in texts])(tiny_model()).bleu == 0


def test_the_score_is_higher_for_the_better_model():
    found = Validation(2.5, 30.0, 50.0, [], [], [])
    assert [found.rank(watch)[0] for watch in (Watch.loss, Watch.bleu, Watch.chrf)] == [-2.5, 30.0, 50.0]


def test_inside_the_ema_weights_the_model_has_the_mean_and_after_it_its_own():
    model = tiny_model()
    ema = Ema(model, 0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    own = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ZeroDivisionError), ema_weights(model, ema):
        assert all(torch.equal(p, ema.means[name]) for name, p in model.named_parameters())
        assert not torch.equal(next(model.parameters()), own[0])
        raise ZeroDivisionError
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), own, strict=True))
    with ema_weights(model, None):
        assert all(torch.equal(p, old) for p, old in zip(model.parameters(), own, strict=True))


def test_no_random_number_is_drawn():
    model = tiny_model(dropout=0.5)
    state = torch.get_rng_state()
    assert math.isfinite(make(number_corpus(9), list)(model).loss)
    assert torch.equal(torch.get_rng_state(), state)


# ---------------------------------------------------------------- scores that can tell


def test_equal_scores_are_decided_by_chrf_and_then_the_loss():
    found = Validation(2.5, 30.0, 50.0, [], [], [])
    ranks = [found.rank(watch) for watch in (Watch.loss, Watch.bleu, Watch.chrf)]
    assert ranks == [(-2.5, 50.0), (30.0, 50.0, -2.5), (50.0, -2.5)]
    assert Validation(math.nan, 30.0, 50.0, [], [], []).rank(Watch.bleu) == (30.0, 50.0)


def test_bleu_that_cannot_tell_counts_as_0_and_chrf_decides():
    smoothed = Validation(2.5, 0.7, 20.0, [], [], [], bleu_tells=False)
    better = Validation(2.9, 0.3, 25.0, [], [], [], bleu_tells=False)
    assert smoothed.rank(Watch.bleu) == (0.0, 20.0, -2.5) < better.rank(Watch.bleu)
    assert better.rank(Watch.bleu) < Validation(9.0, 0.1, 1.0, [], [], []).rank(Watch.bleu)


def test_a_validation_knows_whether_bleu_can_tell():
    corpus = number_corpus(9)
    right = [pair.tgt for pair in make(corpus, list).shown]
    assert make(corpus, lambda texts: right)(tiny_model()).bleu_tells
    assert not make(corpus, lambda texts: ["never seen"] * 3)(tiny_model()).bleu_tells


def test_chrf_is_watched_instead_of_bleu_where_the_references_are_single_words():
    pairs = [replace(pair, tgt=pair.tgt.split()[0]) for pair in number_pairs(9)]
    corpus = TokenizedCorpus(pairs, number_tokenizer())
    words = make(corpus, lambda texts: [pair.tgt for pair in words.shown])
    assert [words.watched(watch) for watch in Watch] == [Watch.chrf if w is Watch.bleu else w for w in Watch]
    assert words.blind_spot == "most references have fewer than four words"
    assert not words(tiny_model()).bleu_tells
    assert make(number_corpus(9), list).watched(Watch.bleu) is Watch.bleu


# ---------------------------------------------------------------- other scores


@pytest.mark.parametrize(
    ("watch", "best", "worst"),
    [(Watch.ter, 0, 100), (Watch.wer, 0, 100), (Watch.cer, 0, 100), (Watch.rouge, 100, 0), (Watch.exact, 100, 0)],
)
def test_any_score_can_be_watched_and_the_better_translation_ranks_higher(watch, best, worst):
    corpus = number_corpus(9)
    right = make(corpus, lambda texts: [pair.tgt for pair in right.shown], watch=watch)
    found, wrong = right(tiny_model()), make(corpus, lambda texts: ["" for _ in texts], watch=watch)(tiny_model())
    assert (found.other, wrong.other) == ({watch: pytest.approx(best)}, {watch: pytest.approx(worst)})
    assert found.rank(watch) > wrong.rank(watch) and found.rank(watch)[1:] == (found.chrf, -found.loss)
    assert found.extra() == {watch.value: pytest.approx(best)}
    assert right.watched(watch) is watch


def test_scores_that_are_not_watched_are_not_computed():
    corpus = number_corpus(9)
    for watch in (Watch.loss, Watch.bleu, Watch.chrf):
        assert make(corpus, lambda texts: texts, watch=watch)(tiny_model()).other == {}


def test_rouge_is_that_of_the_longest_common_subsequence():
    corpus = number_corpus(9)
    turned = make(corpus, lambda texts: [" ".join(pair.tgt.split()[::-1]) for pair in turned.shown], watch=Watch.rouge)
    assert 0 < turned(tiny_model()).other[Watch.rouge] < 100  # ROUGE-1 would be 100


@pytest.mark.parametrize(
    "text", ["これはとても古い橋です。", "这是一座非常古老的桥。", "นี่คือสะพานที่เก่าแก่มาก", "eins zwei"]
)
@pytest.mark.parametrize("watch", [Watch.wer, Watch.cer, Watch.rouge])
def test_wer_of_text_without_spaces_is_told_before_training(text, watch, caplog):
    pairs = [replace(pair, tgt=text) for pair in number_pairs(9)]
    make(TokenizedCorpus(pairs, number_tokenizer()), list, watch=watch).tell(watch)
    note = "the references have no spaces between words, so a sentence is one word; CER counts characters"
    said = f"WER cannot tell on this dev set: {note} (`train.watch=cer`)"
    assert caplog.messages == ([said] if watch is Watch.wer and " " not in text else [])
    assert score_all([text], [text], metrics=["wer"])[0].note == (note if " " not in text else "")
    assert compose(re.findall("`(.*)`", said)).train.watch is Watch.cer
