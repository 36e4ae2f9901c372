"""Batches filled up to whole blocks: the same sentences, the same loss and gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mt.batching.blocks
from mt.batching import fill_up, make_batch
from mt.batching.blocks import ROWS, SENTENCES
from mt.config import ModelConfig, Precision
from mt.nn.transformer import Transformer
from mt.train.update import batch_loss


def batch_of(lengths):
    """A batch of sentences with so many source and target rows each."""
    generator = torch.Generator().manual_seed(7)
    source = [torch.randint(4, 30, (s,), generator=generator).tolist() for s, _ in lengths]
    target = [torch.randint(4, 30, (t - 1,), generator=generator).tolist() for _, t in lengths]
    return make_batch(source, target, range(len(lengths)), bos=1, eos=2)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(15, 60)), min_size=90, max_size=120))
def test_rows_and_sentences_are_whole_blocks_and_the_sentences_come_first(lengths):
    batch = batch_of(lengths)
    filled = fill_up(batch)
    for before, after, ids in (
        (batch.source_rows, filled.source_rows, (batch.source, filled.source)),
        (batch.target_rows, filled.target_rows, (batch.target_in, filled.target_in)),
    ):
        assert (after.num_rows % ROWS, after.num_sentences % SENTENCES) == (0, 0)
        assert after.num_rows == int(after.lengths.sum()) == len(ids[1])
        assert after.num_rows - before.num_rows < 2 * ROWS + SENTENCES
        assert after.max_length == before.max_length == int(after.lengths.max())
        assert int(after.lengths.min()) > 0
        assert torch.equal(after.lengths[: before.num_sentences], before.lengths)
        assert torch.equal(ids[1][: before.num_rows], ids[0])
    assert filled.source_rows.num_sentences == filled.target_rows.num_sentences
    assert torch.equal(filled.target_out, batch.target_out)


@pytest.mark.parametrize("lengths", [[(5, 6)] * 100, [(1, 1)] * 125 + [(1, 2)] * 1026], ids=["small", "words"])
def test_what_is_not_worth_it_or_does_not_work_out_stays_as_it_is(lengths):
    batch = batch_of(lengths)
    assert fill_up(batch) is batch


@pytest.mark.parametrize("lengths", [[(12, 12)] * 96, [(16, 16)] * 128], ids=["ragged", "whole"])
def test_loss_and_gradient_are_those_of_the_batch_as_it_came(monkeypatch, lengths):
    torch.manual_seed(0)
    shape = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1, dropout=0.0)
    model, batch = Transformer(shape, src_size=30, tgt_size=30), batch_of(lengths)

    def gradients():
        loss = batch_loss(model, batch, Precision.fp32, 0.1)
        return [*(x.detach() for x in loss), *torch.autograd.grad(loss.smoothed, list(model.parameters()))]

    filled = gradients()
    monkeypatch.setattr(mt.batching.blocks, "WORTH_IT", 1 << 30)
    torch.testing.assert_close(filled, gradients(), rtol=1e-4, atol=1e-4)
