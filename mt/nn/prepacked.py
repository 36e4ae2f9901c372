"""A copy of a model with its weights laid out for a search on the CPU.

Under autocast every product converts its weights, or looks up whether it has done so, and even without it oneDNN lays
weights out anew for each: at a few hundred rows that takes a tenth of a product in 32 bits and more in 16. Here it is
done once, and a ReLU between the feed-forward layers is part of the product before it.

`Int8Linear` serves the output layer alone. It is the widest product by far; at the others, rounding the rows takes as
long as 8 bits save over bfloat16.
"""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mt.nn.attention import FeedForward
from mt.nn.replace import replaced
from mt.nn.transformer import OutputLayer, Transformer

LARGEST = 127
ZERO = 128  # what stands for 0 in rows: oneDNN is fast at unsigned ones only


class PrepackedLinear(nn.Module):
    """A linear layer in the precision of its weight, and what oneDNN can do to its result: `relu`, or `none`."""

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self, weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None, activation: str = "none"
    ) -> None:
        super().__init__()
        self.activation = activation
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(weight, None))
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.activation, [], "")


class Int8Linear(nn.Module):
    """`x @ weight.T` as a product of integers, times the scale of the row, times the scale of the output.

    Every row has its own scale, so its result does not depend on the other rows.
    """

    weight: Tensor
    scale: Tensor
    zeros: Tensor

    def __init__(self, weight: Float[Tensor, "O I"]) -> None:
        super().__init__()
        scale = weight.float().abs().amax(dim=1).clamp(min=1e-30) / LARGEST
        whole = (weight / scale[:, None]).round().to(torch.int8)
        self.register_buffer("weight", torch.ops.onednn.qlinear_prepack(whole, None))
        self.register_buffer("scale", scale)
        self.register_buffer("zeros", torch.zeros(len(scale), dtype=torch.long))

    def forward(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        x = x.float()
        scale = x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-30).div_(LARGEST)
        whole = x.div(scale).add_(ZERO + 0.5).to(torch.uint8)  # cutting off rounds, for nothing is negative
        product = torch.ops.onednn.qlinear_pointwise(
            whole, 1.0, ZERO, self.weight, self.scale, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return product.mul_(scale)


def copied(model: Transformer, dtype: torch.dtype) -> Transformer:
    """The same model with all numbers of this type, for inference only. What is tied stays tied; numbers that are of
    this type already are shared."""
    with torch.inference_mode(False), torch.no_grad():
        converted: dict[int, Tensor] = {id(buffer): buffer.to(dtype) for buffer in model.buffers()}
        converted |= {id(p): nn.Parameter(p.to(dtype), requires_grad=False) for p in model.parameters()}
        return deepcopy(model, memo=dict(converted)).eval()


def prepacked(model: Transformer, dtype: torch.dtype, *, int8: bool = False) -> Transformer:
    """`copied`, with prepacked weights in its products. Args: int8: the output layer is of 8 bits."""

    def replacement(module: nn.Module) -> nn.Module | None:
        if isinstance(module, OutputLayer):
            return Int8Linear(model.out_weight.float()) if int8 else PrepackedLinear(module.weight, None)
        if isinstance(module, FeedForward) and module.activation is nn.functional.relu and module.gate is None:
            inner, outer = module.inner, module.outer
            first = PrepackedLinear(inner.weight, inner.bias, "relu")
            return nn.Sequential(first, PrepackedLinear(outer.weight, outer.bias))
        return PrepackedLinear(module.weight, module.bias) if isinstance(module, nn.Linear) else None

    with torch.inference_mode(False), torch.no_grad():
        return replaced(copied(model, dtype), replacement)
