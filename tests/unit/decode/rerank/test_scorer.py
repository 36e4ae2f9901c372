"""What search said of its own output is what scoring says of it; every pair has its score, or a reason."""

import random

import pytest
import torch

from mt.config import DecodeConfig, TokenizerConfig
from mt.decode.rerank.scorer import PairScore, Scorer
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import DataError
from mt.nn.forced import force_batch, token_log_probs
from mt.text.tokenizer_training import train_tokenizer

LONGEST = 24
SYLLABLES = ["ta", "mo", "ly", "er", "in"]


def line(rng, words):
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(words))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    rng = random.Random(0)
    lines = [line(rng, rng.randint(2, 9)) for _ in range(200)]
    section = TokenizerConfig(vocab_size=300)
    return train_tokenizer(lines, lines, section, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def translator(small_model, tokenizer):
    model = small_model(src_size=tokenizer.src_size, tgt_size=tokenizer.tgt_size)
    section = DecodeConfig(beam=3, batch_tokens=40)
    return Translator(CachedStepper(model), tokenizer, section, max_length=LONGEST)


@pytest.fixture(scope="module")
def scorer(translator):
    return Scorer(translator)


@pytest.mark.parametrize("nbest", [1, 3])
def test_search_and_scoring_agree_on_what_search_wrote(translator, tokenizer, scorer, nbest):
    rng = random.Random(1)
    texts = [line(rng, rng.randint(1, 4)) for _ in range(12)]
    found = [(text, t) for text, ts in zip(texts, translator.search(texts, nbest=nbest), strict=True) for t in ts]
    ids = {tokenizer.pieces_target([i])[0]: i for i in range(tokenizer.tgt_size)}
    passes = force_batch(
        translator.stepper.model, tokenizer.encode_source([text for text, _ in found]),
        [[ids[piece] for piece in t.pieces] for _, t in found], bos=tokenizer.bos, eos=tokenizer.eos,
    )  # fmt: skip
    assert {t.finished for _, t in found} == {True, False}
    for (_, t), forced in zip(found, passes, strict=True):
        values = forced.log_probs.tolist()[: None if t.finished else -1]
        assert values == pytest.approx(t.piece_log_probs, abs=1e-5)
        assert sum(values) == pytest.approx(t.log_prob, abs=1e-4)


def test_a_pair_does_not_depend_on_the_others_nor_on_the_order(scorer):
    rng = random.Random(2)
    sources, targets = ([line(rng, rng.randint(0, 5)) for _ in range(30)] for _ in range(2))
    together = scorer.score(sources, targets)
    for source, target, score in zip(sources, targets, together, strict=True):
        [alone] = scorer.score([source], [target])
        assert alone.pieces == score.pieces and len(score.piece_log_probs) == len(score.pieces) + 1
        assert alone.piece_log_probs == pytest.approx(score.piece_log_probs, abs=1e-5)
        assert score.log_prob == sum(score.piece_log_probs) < 0
        assert score.mean == score.log_prob / len(score.piece_log_probs)


def test_every_continuation_of_a_prefix_together_is_certain(translator, tokenizer):
    """All targets of one piece, and none: with the end mark taken away, their probabilities sum to one."""
    [source] = tokenizer.encode_source(["tamo"])
    targets = [[], *([i] for i in range(tokenizer.tgt_size) if i != tokenizer.eos)]
    passes = force_batch(
        translator.stepper.model, [source] * len(targets), targets, bos=tokenizer.bos, eos=tokenizer.eos
    )
    assert torch.stack([forced.log_probs[0] for forced in passes]).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_logits_are_made_a_few_rows_at_a_time(translator, monkeypatch):
    model = translator.stepper.model
    hidden = torch.randn(11, 16)
    targets = torch.arange(11)
    whole = token_log_probs(model, hidden, targets)
    monkeypatch.setattr("mt.nn.forced.CPU_CHUNK_ELEMENTS", 4 * model.out_weight.shape[0])
    assert token_log_probs(model, hidden, targets).tolist() == pytest.approx(whole.tolist(), abs=1e-6)


def test_empty_texts_have_scores_too(scorer):
    for score in scorer.score(["", "tamo", ""], ["", "", "tamo"]):
        assert score.log_prob < 0 and score.piece_log_probs


def test_nothing_scores_nothing(scorer):
    assert scorer.score([], []) == []


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_pair_too_long_for_the_model_is_refused_by_its_number(scorer, tokenizer, side):
    long = " ".join(["tamolyerin"] * 30)
    pieces = len(tokenizer.encode_target([long])[0]) + 1
    sources, targets = ["tamo", "tamo", "er"], ["ly", "tamo", "in"]
    (sources if side == "source" else targets)[1] = long
    short = len(tokenizer.encode_target(["tamo"])[0]) + 1
    lengths = f"{pieces} and {short}" if side == "source" else f"{short} and {pieces}"
    message = rf"^pair 2 has {lengths} tokens, but the model takes at most {LONGEST} a side\.$"
    with pytest.raises(DataError, match=message):
        scorer.score(sources, targets)
    first, problem, last = scorer.score_all(sources, targets)
    assert f"pair 2 {problem}." == message.strip("^$").replace("\\", "")
    assert isinstance(first, PairScore) and isinstance(last, PairScore)
    [alone] = scorer.score([sources[2]], [targets[2]])
    assert last.piece_log_probs == pytest.approx(alone.piece_log_probs, abs=1e-5)


def test_a_pair_as_long_as_the_model_allows_is_scored(translator, tokenizer, small_model):
    text = "tamo ly er"
    length = len(tokenizer.encode_target([text])[0]) + 1
    exact = Translator(translator.stepper, tokenizer, DecodeConfig(batch_tokens=1), max_length=length)
    [score] = Scorer(exact).score([text], [text])
    assert len(score.piece_log_probs) == length
