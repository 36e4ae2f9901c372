"""The cached stepper agrees with an uncached one, and a translation does not depend on its batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import UncachedStepper

import mt.decode.search.transformer_stepper as module
from mt.config import Precision
from mt.decode.search.beam import beam_search
from mt.decode.search.greedy import greedy_search
from mt.decode.search.settings import Search
from mt.decode.search.stepper import Stepper
from mt.decode.search.transformer_stepper import CachedStepper

BOS, EOS, PAD, V = 1, 2, 3, 13

cases = given(
    seed=st.integers(0, 10**6),
    positions=st.sampled_from(["sinusoidal", "learned", "rotary"]),
    norm=st.sampled_from(["pre", "post"]),
    kv_heads=st.sampled_from([1, 2, 4]),
    beam=st.integers(1, 4),
    length_penalty=st.sampled_from([0.0, 1.0]),
    source=st.lists(st.lists(st.integers(4, V - 1), max_size=5), min_size=1, max_size=4),
)


def prepared(small_model, seed, positions, norm, kv_heads, beam, length_penalty, source):
    """In 64 bits, so that the order of a sum does not decide a near tie."""
    options = {"seed": seed, "positions": positions, "norm": norm, "kv_heads": kv_heads}
    model = small_model(src_size=V, tgt_size=V, dim=8, encoder_layers=1, decoder_layers=2, **options).double()
    with torch.no_grad():
        model.tgt_weight.mul_(2)  # sharper, so that some hypotheses end early and some late
    search = Search(
        bos=BOS, eos=EOS, pad=PAD, beam=beam, nbest=beam, length_penalty=length_penalty, max_ratio=1.0, max_extra=6
    )
    return model, search, [[*sentence, EOS] for sentence in source]


def same(found, wanted):
    assert [[(h.tokens, h.finished) for h in one] for one in found] == [
        [(h.tokens, h.finished) for h in one] for one in wanted
    ]
    numbers = [[[h.score, h.log_prob, *h.token_log_probs] for one in lists for h in one] for lists in (found, wanted)]
    for ours, theirs in zip(*numbers, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


@cases
@settings(max_examples=15)
def test_cached_and_uncached_search_agree(small_model, **case):
    model, search, source = prepared(small_model, **case)
    for how in (beam_search, greedy_search):
        same(how(CachedStepper(model), source, search=search), how(UncachedStepper(model), source, search=search))


@cases
@settings(max_examples=10)
def test_a_sentence_does_not_depend_on_its_batch(small_model, **case):
    model, search, source = prepared(small_model, **case)
    stepper = CachedStepper(model)  # one for all: `start` forgets the last batch
    together = beam_search(stepper, source, search=search)
    same(together, [beam_search(stepper, [sentence], search=search)[0] for sentence in source])
    same(together[::-1], beam_search(stepper, source[::-1], search=search))


def test_searches_compared_here_end_early_and_late(small_model):
    """The two tests above would say little if every hypothesis ran into its limit."""
    lengths, finished = set(), set()
    for seed in range(12):
        model, search, source = prepared(small_model, seed, "rotary", "pre", 4, 3, 1.0, [[5, 6], [7]])
        for one in beam_search(CachedStepper(model), source, search=search):
            lengths |= {len(h.tokens) for h in one}
            finished |= {h.finished for h in one}
    assert len(lengths) > 3
    assert finished == {False, True}


def test_steps_are_log_probabilities_in_32_bits(small_model):
    steps = CachedStepper(small_model(src_size=V, tgt_size=V))
    assert isinstance(steps, Stepper)
    assert steps.device == torch.device("cpu")
    steps.start([[5, EOS], [6, 7, EOS]])
    with torch.no_grad():
        log_probs = steps.step(torch.tensor([BOS, BOS]))
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(2))
        log_probs.fill_(0)  # the caller may write into the result
        steps.reorder(torch.tensor([1, 1]), torch.tensor([1]))
        after = steps.step(torch.tensor([4, 5]))
    assert after.dtype == torch.float32
    torch.testing.assert_close(after.exp().sum(1), torch.ones(2))


def first_log_probs(stepper):
    with torch.no_grad(), stepper.prepared():
        stepper.start([[5, EOS]])
        return stepper.step(torch.tensor([BOS]))


def test_16_bits_are_optional(small_model):
    model = small_model(src_size=V, tgt_size=V)
    exact, half = (first_log_probs(CachedStepper(model, p)) for p in (Precision.fp32, Precision.bf16))
    assert half.dtype == torch.float32
    assert not torch.equal(exact, half)
    torch.testing.assert_close(exact, half, rtol=0, atol=0.1)
    assert model.tgt_weight.dtype == torch.float32  # the copy is another model


def test_the_copy_in_16_bits_has_the_present_weights(small_model):
    model = small_model(src_size=V, tgt_size=V)
    stepper = CachedStepper(model, Precision.bf16)
    before = first_log_probs(stepper)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW(model.parameters(), lr=0.1, fused=True).step()  # leaves the weights' version counters
    after = first_log_probs(stepper)
    assert not torch.equal(before, after)
    assert torch.equal(after, first_log_probs(CachedStepper(model, Precision.bf16)))


def test_where_onednn_has_no_products_in_16_bits_torch_makes_them(small_model, monkeypatch):
    model = small_model(src_size=V, tgt_size=V)
    exact = first_log_probs(CachedStepper(model, Precision.fp32))
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    stepper = CachedStepper(model, Precision.bf16)
    half = first_log_probs(stepper)
    assert not stepper.uses_prepacked() and half.dtype == torch.float32 and not torch.equal(exact, half)
    torch.testing.assert_close(exact, half, rtol=0, atol=0.1)


@pytest.mark.skipif(not module.has_bf16(), reason="oneDNN has no products in 16 bits here")
def test_the_copy_in_16_bits_lasts_as_long_as_the_search(small_model):
    model = small_model(src_size=V, tgt_size=V)
    stepper = CachedStepper(model, Precision.bf16)
    with stepper.prepared() as copy:
        assert copy is not model and not copy.training
        assert copy.out_weight is copy.tgt_weight is copy.decoder.embedding.weight  # what was tied is tied
        assert {p.dtype for p in copy.parameters()} == {torch.bfloat16}
        with stepper.prepared() as again:
            assert again is copy  # made once
        with stepper.prepared() as again:
            assert again is copy
    with stepper.prepared() as other:
        assert other is not copy
