"""Batches filled up to whole blocks: the same sentences, the same loss and gradient."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mt.data.batching.blocks
from mt.config import ModelConfig, Precision
from mt.data.batching import Shape, common_shape, fill_to, fill_up, make_batch
from mt.data.batching.batch import cut_sorted
from mt.data.batching.blocks import ROWS, SENTENCES
from mt.nn.encoders import text_model
from mt.train.objective import batch_loss


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
        (batch.source.layout, filled.source.layout, (batch.source.rows, filled.source.rows)),
        (batch.target_layout, filled.target_layout, (batch.target_in, filled.target_in)),
    ):
        assert (after.num_rows % ROWS, after.num_sentences % SENTENCES) == (0, 0)
        assert after.num_rows == int(after.lengths.sum()) == len(ids[1])
        assert after.num_rows - before.num_rows < 2 * ROWS + SENTENCES
        assert after.max_length == before.max_length == int(after.lengths.max())
        assert int(after.lengths.min()) > 0
        assert torch.equal(after.lengths[: before.num_sentences], before.lengths)
        assert torch.equal(ids[1][: before.num_rows], ids[0])
    assert filled.source.layout.num_sentences == filled.target_layout.num_sentences
    assert torch.equal(filled.target_out, batch.target_out)


@pytest.mark.parametrize("lengths", [[(5, 6)] * 100, [(1, 1)] * 125 + [(1, 2)] * 1026], ids=["small", "words"])
def test_what_is_not_worth_it_or_does_not_work_out_stays_as_it_is(lengths):
    batch = batch_of(lengths)
    assert fill_up(batch) is batch


@pytest.mark.parametrize("lengths", [[(12, 12)] * 96, [(16, 16)] * 128], ids=["ragged", "whole"])
def test_loss_and_gradient_are_those_of_the_batch_as_it_came(monkeypatch, lengths):
    torch.manual_seed(0)
    shape = ModelConfig(dim=16, heads=2, ffn_dim=24, encoder_layers=1, decoder_layers=1, dropout=0.0)
    model, batch = text_model(shape, src_size=30, tgt_size=30), batch_of(lengths)

    def gradients():
        loss = batch_loss(model, batch, Precision.fp32, 0.1)
        return [*(x.detach() for x in loss), *torch.autograd.grad(loss.smoothed, list(model.parameters()))]

    filled = gradients()
    monkeypatch.setattr(mt.data.batching.blocks, "WORTH_IT", 1 << 30)
    torch.testing.assert_close(filled, gradients(), rtol=1e-4, atol=1e-4)


SHAPE = Shape(num_source_rows=40, num_target_rows=48, sentences=5, width=12)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(2, 9)), min_size=2, max_size=4))
def test_every_batch_gets_the_shape_asked_for(lengths):
    batch = batch_of(lengths)
    filled, count = fill_to(batch, SHAPE), SHAPE.sentences - len(lengths)
    missing = SHAPE.num_source_rows - len(batch.source.rows), SHAPE.num_target_rows - len(batch.target_in)
    if not all(count <= more <= 12 * count for more in missing):
        assert filled is None
        return
    assert filled is not None and torch.equal(filled.target_out, batch.target_out)
    for before, after, ids, rows in (
        (batch.source.layout, filled.source.layout, (batch.source.rows, filled.source.rows), 40),
        (batch.target_layout, filled.target_layout, (batch.target_in, filled.target_in), 48),
    ):
        assert (after.num_rows, len(ids[1]), int(after.lengths.sum())) == (rows, rows, rows)
        assert (after.num_sentences, after.max_length) == (5, 12)
        assert int(after.lengths.min()) >= 1 and int(after.lengths.max()) <= 12
        assert torch.equal(after.lengths[: before.num_sentences], before.lengths)
        assert torch.equal(ids[1][: before.num_rows], ids[0])


def test_a_batch_that_is_whole_only_gets_the_width():
    filled = fill_to(batch_of([(8, 10), (8, 9), (8, 9), (8, 10), (8, 10)]), SHAPE)
    assert filled is not None and filled.source.layout.lengths.tolist() == [8] * 5
    assert (filled.source.layout.width, filled.target_layout.max_length) == (16, 12)


@pytest.mark.parametrize(
    "lengths",
    [
        [(2, 3)] * 6,
        [(13, 12), (8, 9)],
        [(11, 12), (9, 12), (10, 11), (10, 12)],
        [(10, 12), (10, 12), (9, 12), (10, 12)],
        [(1, 9), (1, 9), (1, 9), (1, 9)],
        [(8, 10), (8, 9), (8, 9), (8, 10), (8, 9)],
    ],
    ids=["sentences", "long", "no source row left", "no target row left", "more than they hold", "no sentence left"],
)
def test_what_cannot_have_the_shape_is_told(lengths):
    assert fill_to(batch_of(lengths), SHAPE) is None


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(2, 30)), min_size=20, max_size=120), st.sampled_from([60, 200])
)
def test_the_common_shape_holds_as_many_batches_as_it_says(lengths, budget):
    src, tgt = np.array(lengths, np.int64).T
    shape, share = common_shape(src, tgt, budget)
    assert shape.width == max(src.max(), tgt.max())
    order = np.lexsort((src, tgt))
    ends = cut_sorted(src[order], tgt[order], budget)
    batches = [batch_of([lengths[i] for i in order[a:b]]) for a, b in pairwise(ends)]
    fits = [fill_to(batch, shape) is not None for batch in batches]
    assert share == pytest.approx(sum(fits) / len(fits))


def test_the_common_shape_by_hand():
    """Budget 100, 20 sentences of 5 and 5 of 20: two batches, of 20 and of 5 sentences."""
    lengths = np.array([5] * 20 + [20] * 5, np.int64)
    shape, share = common_shape(lengths, lengths, 100)
    assert shape == Shape(num_source_rows=256, num_target_rows=256, sentences=32, width=20)
    assert share == 1.0  # 100 rows and 12 sentences of 13 rows; 100 and 27 of 5 or 6
