"""Dropout from bytes: which probability, which scale, and the same mask both ways."""

import math

import pytest
import torch

from mt.nn.dropout import LEVELS, drop_rows, dropout, random_bytes

COUNT = 100_000


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_as_many_bytes_as_requested(count):
    drawn = random_bytes(count)
    assert (drawn.dtype, tuple(drawn.shape)) == (torch.uint8, (count,))


def test_bytes_are_uniform_in_every_place_of_a_word():
    drawn = random_bytes(8 * 2**16).view(-1, 8)
    for place in range(8):
        counts = torch.bincount(drawn[:, place].int(), minlength=256)  # 256 expected, deviation 16
        assert 256 - 6 * 16 < int(counts.min()) <= int(counts.max()) < 256 + 6 * 16


@pytest.mark.parametrize("p", [0.002, 0.05, 0.1, 0.3, 0.5, 0.9])
def test_share_scale_and_mean(p):
    x = torch.ones(COUNT)
    y = dropout(x, p, training=True)
    actual = round(p * LEVELS) / LEVELS
    assert abs(actual - p) <= 0.5 / LEVELS
    kept = y != 0
    assert (y[kept] == LEVELS / (LEVELS - round(p * LEVELS))).all()
    deviation = math.sqrt(actual * (1 - actual) / COUNT)
    assert abs(1 - kept.float().mean().item() - actual) < 6 * deviation
    assert abs(y.mean().item() - 1) < 6 * deviation / (1 - actual)


@pytest.mark.parametrize("p", [0.001, 0.999])
def test_a_probability_that_bytes_cannot_express_is_still_kept(p):
    y = dropout(torch.ones(COUNT), p, training=True)
    dropped = int((y == 0).sum())
    assert abs(dropped - p * COUNT) < 6 * math.sqrt(p * (1 - p) * COUNT)
    assert torch.allclose(y[y != 0], torch.tensor(1 / (1 - p)))


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5])
def test_the_backward_pass_uses_the_mask_of_the_forward_pass(p):
    x = torch.randn(50, 40).add_(10).requires_grad_()
    y = dropout(x, p, training=True)
    upstream = torch.randn(50, 40)
    y.backward(upstream)
    torch.testing.assert_close(x.grad, (y / x).detach() * upstream)


def test_every_call_draws_new_numbers_and_a_seed_repeats_them():
    x = torch.ones(1000)
    torch.manual_seed(3)
    first, second = dropout(x, 0.5, training=True), dropout(x, 0.5, training=True)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5, training=True), first)


def test_nothing_happens_without_training_or_without_probability():
    x = torch.randn(4, 3)
    assert dropout(x, 0.0, training=True) is x
    assert dropout(x, 0.7, training=False) is x
    assert drop_rows(x, 0.0, training=True) is x
    assert drop_rows(x, 0.7, training=False) is x


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_precision_and_shape_are_kept(dtype):
    x = torch.ones(6, 4, 5, dtype=dtype).transpose(0, 2)
    y = dropout(x, 0.5, training=True)
    assert (y.dtype, y.shape) == (dtype, x.shape)
    assert set(y.flatten().tolist()) == {0.0, 2.0}


def test_word_dropout_zeroes_whole_rows_and_keeps_the_others():
    x = torch.randn(2000, 3)
    y = drop_rows(x, 0.25, training=True)
    gone = (y == 0).all(1)
    assert torch.equal(y[~gone], x[~gone])
    assert abs(int(gone.sum()) - 500) < 6 * math.sqrt(2000 * 0.25 * 0.75)
