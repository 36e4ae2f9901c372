"""Attention maps are captured on request only, and the pass does not change for it; log-probabilities by token."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from toy import number_corpus, number_tokenizer, stream_of, tiny_model, updater_of

import mt.nn.forced as module
from mt.config import ModelConfig
from mt.config.from_json import from_plain
from mt.nn import attention
from mt.nn.encoders import text_model
from mt.nn.forced import USES, attentions, capture_attention, force
from mt.nn.ragged import pack
from mt.nn.source import TokenSource

PRESETS = sorted((Path(__file__).parents[3] / "configs/model").glob("*.yaml"))
SOURCES = [[5, 6, 2], [7, 8, 9, 10, 2], [2]]
TARGETS = [[6, 7, 8], [9], []]


def inputs():
    return (TokenSource.pack(SOURCES), *pack([[1, *pieces] for pieces in TARGETS]))


def small_preset(path):
    values = yaml.safe_load(path.read_text())["model"]
    small = {"dim": 4 * values["heads"], "ffn_dim": 24, "max_length": 64}
    small |= {name: min(values[name], 2) for name in ("encoder_layers", "decoder_layers")}
    config = from_plain(ModelConfig, {**asdict(ModelConfig()), **values, **small}, str(path))
    return text_model(config, src_size=19, tgt_size=19).eval()


@torch.no_grad()
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_captured_weights_reproduce_the_output_in_every_preset(path, monkeypatch):
    model, mixed = small_preset(path), []
    fused = attention.attend
    monkeypatch.setattr(
        attention, "attend", lambda *args, **options: mixed.append(fused(*args, **options)) or mixed[-1]
    )
    explicit, slow = module.attend_explicit, []

    def listening(q, kv, **options):
        rows, maps = explicit(q, kv, **options)
        slow.append(rows)
        return rows, maps

    monkeypatch.setattr(module, "attend_explicit", listening)
    with capture_attention(model) as captured:
        model(*inputs())
    assert len(mixed) == len(slow) == len(model.encoder.layers) + 2 * len(model.decoder.layers)
    for fast, obvious in zip(mixed, slow, strict=True):
        torch.testing.assert_close(fast, obvious, atol=1e-5, rtol=0)
    for maps, source, target in zip(captured.maps(), SOURCES, TARGETS, strict=True):
        layers, heads = len(model.decoder.layers), model.decoder.layers[0].cross_attention.heads
        assert maps.cross.shape == (layers, heads, len(target) + 1, len(source))
        assert maps.encoder.shape == (len(model.encoder.layers), heads, len(source), len(source))
        assert maps.decoder.shape == (layers, heads, len(target) + 1, len(target) + 1)
        for weights in (maps.cross, maps.encoder, maps.decoder):
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert torch.equal(maps.decoder, maps.decoder.tril())


@torch.no_grad()
def test_the_pass_is_the_same_to_the_last_bit(small_model):
    model = small_model()
    before = model(*inputs())
    with capture_attention(model):
        during = model(*inputs())
    assert torch.equal(before, during)


def test_training_makes_no_weights(monkeypatch):
    """Whoever wants weights by sentence calls `attend_explicit`; a layer, in training or not, never does."""

    def refuse(*_, **__):
        raise AssertionError("weights were made")

    monkeypatch.setattr(attention, "attend_explicit", refuse)
    monkeypatch.setattr(module, "attend_explicit", refuse)
    model = tiny_model()
    assert all(layer.listener is None for use in attentions(model).values() for layer in use)
    updater_of(model)([next(stream_of(number_corpus(30)))], 1e-3)
    with pytest.raises(AssertionError, match="weights were made"), capture_attention(model):
        model(*inputs())


def test_earlier_listeners_are_restored_even_after_an_error(small_model):
    model, calls = small_model(), []
    first = attentions(model)["cross"][0]
    first.listener = lambda *_: calls.append("called")
    with pytest.raises(ValueError, match="stop"), capture_attention(model):
        raise ValueError("stop")
    model(*inputs())
    assert calls == ["called"]
    assert all(layer.listener is None for use in USES for layer in attentions(model)[use] if layer is not first)


@torch.no_grad()
def test_only_requested_uses_are_kept_over_several_passes(small_model):
    model = small_model()
    with capture_attention(model, ["cross"]) as captured:
        model(*inputs())
        model(*inputs())
    found = captured.maps()
    assert len(found) == 2 * len(SOURCES)
    assert torch.equal(found[1].cross, found[4].cross)
    assert found[0].encoder.numel() == found[0].decoder.numel() == 0


@torch.no_grad()
def test_forced_pairs_come_in_order_however_they_are_batched(small_model, monkeypatch):
    model = small_model().train()
    together = list(force(model, SOURCES, TARGETS, bos=1, eos=2))
    monkeypatch.setattr(module, "MAX_ROWS", 1)
    alone = list(force(model, SOURCES, TARGETS, bos=1, eos=2))
    assert model.training
    for a, b, source, target in zip(together, alone, SOURCES, TARGETS, strict=True):
        torch.testing.assert_close(a.maps.cross, b.maps.cross)
        torch.testing.assert_close(a.log_probs, b.log_probs)
        model.eval()
        hidden = model(TokenSource.pack([source]), *pack([[1, *target]]))
        logits = model.logits(hidden).log_softmax(-1)
        expected = torch.stack([logits[row, piece] for row, piece in enumerate([*target, 2])])
        torch.testing.assert_close(a.log_probs, expected)
    model.train()


def test_without_uses_there_are_log_probs_and_no_maps(small_model):
    (done,) = force(small_model(), SOURCES[:1], TARGETS[:1], bos=1, eos=2, uses=())
    assert done.maps.cross.numel() == 0
    assert done.log_probs.shape == (4,)
    assert number_tokenizer().eos == 2
