"""The likelihoods of all sources with all targets are those of `Scorer`, pair by pair; ranks are by hand."""

import math

import pytest
import torch
from toy import number_pairs, number_tokenizer, tiny_model

from mt.compute.matmul import has_bf16, has_int8
from mt.config import DecodeConfig, NormPlacement, Positions, Precision
from mt.decode.rerank.rank import Likelihoods, likelihoods, match_scores, ranked, recall
from mt.decode.rerank.scorer import Scorer
from mt.decode.search.transformer_stepper import CachedStepper
from mt.decode.translator import Translator
from mt.errors import ConfigError, DataError
from mt.nn.ragged import pack
from mt.nn.source import TokenSource


@pytest.fixture(scope="module")
def translator():
    return Translator(CachedStepper(tiny_model()), number_tokenizer(), DecodeConfig(batch_tokens=40), max_length=30)


SHAPES = {
    "two layers": {"decoder_layers": 2},
    "rotary, grouped": {"decoder_layers": 2, "positions": Positions.rotary, "kv_heads": 1},
    "post-norm": {"decoder_layers": 2, "norm": NormPlacement.post, "output_bias": True},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shelf", [1 << 17, 50])
def test_every_pair_has_the_score_of_a_pass_of_its_own(shape, shelf, monkeypatch):
    monkeypatch.setattr("mt.decode.rerank.rank.SHELF", shelf)
    model = tiny_model(**SHAPES[shape])
    translator = Translator(CachedStepper(model), number_tokenizer(), DecodeConfig(batch_tokens=70), max_length=30)
    pairs = number_pairs(7)
    sources, targets = [*(pair.src for pair in pairs), ""], [*(pair.tgt for pair in pairs[:5]), ""]
    done = []
    found = likelihoods(translator, sources, targets, done.append)
    assert done == sorted(done) and done[-1] == 8 and len(done) > 1
    for source, row in zip(sources, found.log_probs, strict=True):
        alone = Scorer(translator).score([source] * len(targets), targets)
        assert row.tolist() == pytest.approx([score.log_prob for score in alone], abs=1e-4)
        assert found.tokens.tolist() == [len(score.piece_log_probs) for score in alone]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_matching_head_judges_every_pair_as_alone(shape):
    model, tokenizer = tiny_model(**SHAPES[shape], matching=1.0), number_tokenizer()
    translator = Translator(CachedStepper(model), tokenizer, DecodeConfig(batch_tokens=70), max_length=30)
    pairs = number_pairs(7)
    sources, targets = [*(pair.src for pair in pairs), ""], [*(pair.tgt for pair in pairs[:5]), ""]
    done = []
    found = match_scores(translator, sources, targets, done.append)
    assert found.shape == (8, 6) and done[-1] == 8
    for source, row in zip(tokenizer.encode_source(sources), found, strict=True):
        for target, logit in zip(tokenizer.encode_target(targets), row.tolist(), strict=True):
            rows, layout = pack([[tokenizer.bos, *target, tokenizer.eos]])
            last = model.logits(model(TokenSource.pack([source]), rows, layout))[-1]
            assert logit == pytest.approx((last[tokenizer.eos] - last[tokenizer.bos]).item(), abs=1e-4)


@pytest.mark.skipif(not has_bf16(), reason="this processor multiplies no 16-bit numbers")
@pytest.mark.parametrize("precision", [Precision.bf16, *([Precision.int8] if has_int8() else [])])
@pytest.mark.parametrize("bias", [False, True])
def test_the_matching_head_of_a_prepacked_copy_judges_alike(precision, bias):
    model = tiny_model(matching=1.0, output_bias=bias)
    if bias:
        torch.nn.init.normal_(model.decoder.output.bias)
    exact, packed = (CachedStepper(model, each) for each in (Precision.fp32, precision))
    assert packed.uses_prepacked()
    sources, targets = [pair.src for pair in number_pairs(3)], [pair.tgt for pair in number_pairs(2, seed=3)]
    found = [
        match_scores(Translator(stepper, number_tokenizer(), DecodeConfig(), max_length=30), sources, targets)
        for stepper in (exact, packed)
    ]
    assert found[1] == pytest.approx(found[0], abs=0.1) and found[0].std() > 0.1


def test_a_model_without_a_matching_head_is_refused(translator):
    with pytest.raises(ConfigError) as refused:
        match_scores(translator, ["one"], ["eins"])
    assert str(refused.value) == (
        "this model has no matching head. hint: train one with `model.matching=2`, or go on from this model: "
        "`mt train init=MODEL model.matching=2`."
    )


def test_no_source_is_read_twice_and_no_target_embedded_twice(monkeypatch):
    monkeypatch.setattr(CachedStepper, "uses_prepacked", lambda self: False)  # the copy would have other modules
    model = tiny_model(decoder_layers=2)
    rows = {"encoder": 0, "memory": 0, "first": 0, "second": 0}

    def count(module, name):
        module.register_forward_pre_hook(lambda _, given: rows.update({name: rows[name] + len(given[0])}))

    first, second = model.decoder.layers
    count(model.encoder.layers[0], "encoder")
    count(second.cross_attention.key_value, "memory")
    count(first.self_attention, "first")
    count(second.self_attention, "second")
    translator = Translator(CachedStepper(model), number_tokenizer(), DecodeConfig(batch_tokens=60), max_length=30)
    sources, targets = [pair.src for pair in number_pairs(6)], [pair.tgt for pair in number_pairs(9, seed=3)]
    found = likelihoods(translator, sources, targets)
    ids = number_tokenizer().encode_source(sources)
    assert rows["encoder"] == rows["memory"] == sum(map(len, ids))
    assert rows["first"] == found.tokens.sum() and rows["second"] == 6 * rows["first"]


def test_scores_by_hand():
    found = Likelihoods(torch.tensor([[0.5, 0.125], [0.25, 0.125]]).log(), torch.tensor([1.0, 3.0]))
    assert found.mean()[0].tolist() == pytest.approx([math.log(0.5), math.log(0.5)])
    assert found.marginal().exp().tolist() == pytest.approx([0.375, 0.125])
    assert found.against(found.marginal()).exp()[0].tolist() == pytest.approx([4 / 3, 1])


def test_the_best_comes_first_and_of_equal_ones_the_first():
    assert ranked(torch.tensor([-2.0, -1.0, -1.0 - 1e-7, -3.0])) == [(1, -1.0), (2, -1.0), (0, -2.0), (3, -3.0)]


def test_recall_by_hand():
    assert [recall([1, 3, 5, 11], at) for at in (1, 5, 10)] == [25, 75, 75]


@pytest.mark.parametrize(
    ("sources", "targets", "side"),
    [(["one", "one " * 40], ["eins"], "source"), (["one"], ["eins", "eins " * 40], "target")],
)
def test_too_long(translator, sources, targets, side):
    with pytest.raises(DataError, match=rf"{side} 2 has \d+ tokens, but the model takes at most 30"):
        likelihoods(translator, sources, targets)
    names = [[f"{name}:{number}" for number in (1, 2)] for name in ("source", "target")]
    with pytest.raises(DataError, match=rf"^{side}:2: the {side} has \d+ tokens, but the model takes at most 30\.$"):
        likelihoods(translator, sources, targets, names=names)
