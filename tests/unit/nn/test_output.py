"""A bias of the output layer: in the logits, the loss, the prepacked copies and the files."""

import pytest
import torch
from torch.nn import functional as F
from toy import number_corpus, stream_of, tiny_model

from mt.compute.matmul import has_int8
from mt.config import Precision
from mt.nn.output import BIAS_COLUMNS
from mt.nn.prepacked import prepacked
from mt.train.objective import batch_loss


@pytest.fixture
def model():
    made = tiny_model(output_bias=True)
    torch.nn.init.normal_(made.decoder.output.bias)
    return made


def test_the_bias_is_added_to_the_logits(model):
    hidden = torch.randn(5, 16)
    wanted = hidden @ model.out_weight.t() + model.decoder.output.bias
    torch.testing.assert_close(model.logits(hidden), wanted)
    rows, weight = model.decoder.output.factors(hidden)
    assert rows.shape == (5, 16 + BIAS_COLUMNS)
    torch.testing.assert_close(rows @ weight.t(), wanted)


def test_it_starts_at_zero_and_is_named_in_files():
    made = dict(tiny_model(output_bias=True).named_parameters())
    assert not made["out_bias"].any()
    assert made.keys() - dict(tiny_model().named_parameters()).keys() == {"out_bias"}


def test_without_a_bias_nothing_is_joined():
    made, hidden = tiny_model(), torch.randn(5, 16)
    rows, weight = made.decoder.output.factors(hidden)
    assert rows is hidden and weight is made.out_weight


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_the_formula(model, smoothing):
    batch = next(stream_of(number_corpus(40)))
    found = batch_loss(model, batch, Precision.fp32, smoothing).smoothed
    gradients = torch.autograd.grad(found, list(model.parameters()))
    logits = model.logits(model(batch.source, batch.target_in, batch.target_layout))
    wanted = F.cross_entropy(logits, batch.target_out, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(gradients, torch.autograd.grad(wanted, list(model.parameters())), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("int8, near", [(False, 1e-5), *([(True, 0.1)] if has_int8() else [])])
def test_prepacked_copies_have_it(model, int8, near):
    hidden = torch.randn(7, 16)
    with torch.no_grad():
        found = prepacked(model, torch.float32, int8=int8).logits(hidden)
        torch.testing.assert_close(found, model.logits(hidden), atol=near, rtol=near)
