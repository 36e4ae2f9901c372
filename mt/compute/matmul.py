"""Matrix products by the faster of the two libraries in torch.

On an x86 CPU torch computes products in 32 bits with MKL and those in 16 bits with oneDNN. MKL does not use AVX-512 on
processors of other makers than Intel, where oneDNN is twice as fast (on a Zen 5 core: 91 against 213 GFLOP/s for
[4096, 256] x [256, 1024]). There, products in 32 bits use oneDNN too. Both compute the same sums in 32 bits, in a
different order.
"""

import platform
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

X86 = ("x86_64", "AMD64")


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN is faster than torch's default for 32-bit products on this CPU."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    intel = "intel" in str(capabilities.get("cpu_name", "intel")).lower()
    there = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return there and bool(capabilities.get("avx512_f")) and not intel and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def has_int8() -> bool:
    """Whether products in 8 bits are fast on this CPU, and exact in oneDNN."""
    return has_vnni() and hasattr(torch.ops.onednn, "qlinear_prepack") and int8_is_exact()


def has_vnni() -> bool:
    """Whether the CPU has AVX-512 VNNI, which oneDNN may be configured not to use."""
    return bool(getattr(torch.cpu, "get_capabilities", dict)().get("avx512_vnni", False))


@cache
def int8_is_exact() -> bool:
    """Whether a product of the largest numbers in 8 bits is correct; true where torch cannot compute one.

    Without VNNI, because the CPU has none or ONEDNN_MAX_CPU_ISA excludes it, sums of two products saturate at 16 bits.
    """
    if not hasattr(torch.ops.onednn, "qlinear_prepack") or platform.machine() not in X86:
        return True
    inner, outer = 64, 16
    weight = torch.ops.onednn.qlinear_prepack(torch.full((outer, inner), 127, dtype=torch.int8), None)
    product = torch.ops.onednn.qlinear_pointwise(
        torch.full((1, inner), 255, dtype=torch.uint8), 1.0, 0, weight, torch.ones(outer),
        torch.zeros(outer, dtype=torch.long), None, 1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return bool((product == inner * 127 * 255).all())


@cache
def has_bf16() -> bool:
    """Whether oneDNN can compute products in bfloat16 here, fast or not. It needs AVX-512."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and supported()


def _applies(x: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return False  # a compiler chooses the library itself
    exact = x.dtype is torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return exact and torch.backends.mkldnn.enabled and onednn_is_faster()


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def multiply(a: Float[Tensor, "M K"], b: Float[Tensor, "K N"]) -> Float[Tensor, "M N"]:
    """`a @ b`, not differentiable."""
    if not _applies(a):
        return torch.mm(a, b)
    # oneDNN copies a left side that is not contiguous; the transposed product copies the smaller side.
    if not a.is_contiguous() and b.numel() < a.numel():
        return _onednn(b.t(), a, None).t()
    return _onednn(a, b.t(), None)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _onednn(grad, weight.t(), None) if for_x else None,
            # The fused AdamW needs a gradient with the strides of its weight.
            multiply(grad.t(), x).contiguous() if for_weight else None,
            grad.sum(0) if for_bias else None,
        )


def linear(
    x: Float[Tensor, "N I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None = None
) -> Float[Tensor, "N O"]:
    """`x @ weight.T + bias`: `torch.nn.functional.linear` for rows."""
    if not _applies(x) or weight.dtype is not x.dtype:
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
        return _Linear.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return _onednn(x, weight, bias)


class Linear(torch.nn.Linear):
    """torch's layer with `linear`."""

    def forward(self, input: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        return linear(input, self.weight, self.bias)
