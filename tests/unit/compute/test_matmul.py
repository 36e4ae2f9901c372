"""Products by oneDNN: the same numbers as torch's, and only where oneDNN is faster."""

import pytest
import torch
from torch.nn import functional as F

import mt.compute.matmul
from mt.compute.matmul import Linear, linear, multiply, onednn_is_faster

HAS_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def library(request, monkeypatch):
    if request.param and not HAS_ONEDNN:
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(mt.compute.matmul, "onednn_is_faster", lambda: request.param)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("rows", [1, 5, 37])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_torchs(rows, bias):
    tensors = [torch.randn(rows, 12), torch.randn(20, 12), *([torch.randn(20)] if bias else [])]
    ours, theirs = ([t.clone().requires_grad_() for t in tensors] for _ in range(2))
    upstream = torch.randn(rows, 20)
    torch.testing.assert_close(linear(*ours), F.linear(*theirs))
    torch.testing.assert_close(
        torch.autograd.grad(linear(*ours), ours, upstream), torch.autograd.grad(F.linear(*theirs), theirs, upstream)
    )
    torch.testing.assert_close(multiply(tensors[0], tensors[1].t()), tensors[0] @ tensors[1].t())
    torch.testing.assert_close(multiply(upstream.t(), tensors[0]), upstream.t() @ tensors[0])
    torch.testing.assert_close(multiply(tensors[0].t(), upstream), tensors[0].t() @ upstream)


@pytest.mark.usefixtures("library")
def test_only_tensors_that_require_a_gradient_get_one():
    x, weight = torch.randn(3, 4), torch.randn(5, 4, requires_grad=True)
    linear(x, weight).sum().backward()
    assert (x.grad, weight.grad.shape) == (None, weight.shape)
    with torch.no_grad():
        assert not linear(x, weight).requires_grad


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("wide", "narrow"), [(8, 3), (3, 8)])
def test_a_gradient_lies_in_memory_as_its_weight_does(wide, narrow):
    x, weight = torch.randn(5, wide), torch.randn(narrow, wide, requires_grad=True)
    [gradient] = torch.autograd.grad(linear(x, weight), [weight], torch.randn(5, narrow))
    assert gradient.stride() == weight.stride()


@pytest.mark.parametrize(("wide", "narrow"), [(8, 3), (3, 8)])
def test_the_smaller_side_of_a_gradient_is_copied(wide, narrow, monkeypatch):
    lefts = []
    monkeypatch.setattr(mt.compute.matmul, "_onednn", lambda *tensors: lefts.append(tensors[0]) or F.linear(*tensors))
    monkeypatch.setattr(mt.compute.matmul, "onednn_is_faster", lambda: True)
    a, b = torch.randn(5, wide), torch.randn(5, narrow)
    torch.testing.assert_close(multiply(a.t(), b), a.t() @ b)
    assert [left.numel() for left in lefts] == [5 * 3]


def test_the_layer_equals_torchs_layer(monkeypatch):
    layer, x = Linear(4, 6), torch.randn(3, 4)
    calls = []
    monkeypatch.setattr(mt.compute.matmul, "_onednn", lambda *tensors: calls.append(tensors) or F.linear(*tensors))
    monkeypatch.setattr(mt.compute.matmul, "onednn_is_faster", lambda: True)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert len(calls) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_use_torchs_default(monkeypatch, dtype):
    def refuse(*_):
        raise AssertionError("only products in 32 bits are moved")

    monkeypatch.setattr(mt.compute.matmul, "_onednn", refuse)
    monkeypatch.setattr(mt.compute.matmul, "onednn_is_faster", lambda: True)
    x, weight = torch.randn(3, 4, dtype=dtype), torch.randn(5, 4, dtype=dtype)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.randn(3, 4), torch.randn(5, 4)).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("capabilities", "wanted"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, HAS_ONEDNN),
        ({"cpu_name": "AMD Ryzen 5 3600", "avx512_f": False}, False),
        ({"cpu_name": "Intel(R) Xeon(R) Platinum", "avx512_f": True}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_processors_on_which_onednn_is_faster(monkeypatch, capabilities, wanted):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    onednn_is_faster.cache_clear()
    try:
        assert onednn_is_faster() is wanted
    finally:
        onednn_is_faster.cache_clear()


@pytest.mark.skipif(not hasattr(torch.ops.onednn, "qlinear_prepack"), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("exact", [True, False])
def test_int8_is_available_where_onednn_is_exact(monkeypatch, exact):
    """Without VNNI two products of 127 * 255 are added up to 32,767, the most that 16 bits hold."""
    matmul = mt.compute.matmul
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True}, raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    sums = torch.full((1, 16), 64 * 127 * 255.0 if exact else 32 * 32767.0)
    monkeypatch.setattr(torch.ops.onednn, "qlinear_pointwise", lambda *_: sums)
    assert matmul.int8_is_exact.__wrapped__() is exact
    monkeypatch.setattr(matmul, "int8_is_exact", lambda: exact)
    assert matmul.has_int8.__wrapped__() is exact
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": False})
    assert matmul.has_int8.__wrapped__() is False


def test_other_processors_than_x86_are_not_asked(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr(torch.ops.onednn, "qlinear_pointwise", lambda *_: 1 / 0, raising=False)
    assert mt.compute.matmul.int8_is_exact.__wrapped__() is True
