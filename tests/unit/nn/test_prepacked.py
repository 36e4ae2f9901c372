"""A copy made ready for the CPU computes what the model computes."""

import pytest
import torch

from mt.compute.matmul import has_int8, onednn_is_faster
from mt.nn.prepacked import Int8Linear, PrepackedLinear, prepacked
from mt.nn.ragged import pack
from mt.nn.source import TokenSource
from mt.nn.transformer import OutputLayer

there = pytest.mark.skipif(not onednn_is_faster(), reason="no fast oneDNN products here")
there8 = pytest.mark.skipif(not has_int8(), reason="no AVX-512 VNNI here")


@there
@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_a_packed_model_is_the_model(small_model, activation):
    model = small_model(src_size=13, tgt_size=13, activation=activation)
    source, (target, layout) = TokenSource.pack([[4, 5, 2], [6, 2]]), pack([[1, 7], [1, 8, 9]])
    with torch.inference_mode():
        copy = prepacked(model, torch.float32)
        wanted, found = (m.logits(m(source, target, layout)) for m in (model, copy))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, PrepackedLinear) for module in model.modules())  # the copy is another model
    left = [module for module in copy.modules() if isinstance(module, torch.nn.Linear | OutputLayer)]
    assert not left


@there8
def test_products_of_8_bits_round_by_no_more_than_half_a_step_of_each_side():
    weight, x = torch.randn(40, 24), torch.randn(7, 24) * torch.logspace(-3, 3, 7)[:, None]
    found = Int8Linear(weight)(x)
    w_step, x_step = weight.abs().amax(1) / 127, x.abs().amax(1, keepdim=True) / 127
    bound = (x_step * weight.abs().sum(1) + w_step * (x.abs() + x_step).sum(1, keepdim=True)) / 2
    assert ((found - x @ weight.T).abs() <= 1.01 * bound).all()
    assert torch.equal(Int8Linear(weight)(torch.zeros(2, 24)), torch.zeros(2, 40))


@there8
def test_a_row_of_8_bits_does_not_depend_on_other_rows():
    layer, x = Int8Linear(torch.randn(40, 24)), torch.randn(7, 24)
    assert torch.equal(layer(x)[3:4], layer(x[3:4]))
