"""A copy of a model with prepacked weights, for search on the CPU.

oneDNN lays weights out anew for each product, and autocast converts them: at a few hundred rows that takes a tenth of
a product in 32 bits, and more in 16. Here it is done once, and a ReLU between the feed-forward layers is fused into the
product before it.

`Int8Linear` is used for the output layer only, the widest product. For the others, quantizing the rows takes as long as
8 bits save over bfloat16.
"""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mt.nn.attention import FeedForward
from mt.nn.output import OutputLayer
from mt.nn.replace import replaced
from mt.nn.transformer import Transformer

LARGEST = 127
ZERO_POINT = 128  # of the rows, which are unsigned since oneDNN is fast only then


class PrepackedLinear(nn.Module):
    """A linear layer in the precision of its weight, with an activation that oneDNN can fuse: `relu` or `none`."""

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
    """`x @ weight.T` in 8-bit integers, with a scale for each row of x and each row of the weight.

    The result of a row does not depend on the other rows.
    """

    weight: Tensor
    scale: Tensor
    zeros: Tensor
    bias: Tensor | None

    def __init__(self, weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None = None) -> None:
        super().__init__()
        scale = weight.float().abs().amax(dim=1).clamp(min=1e-30) / LARGEST
        quantized = (weight / scale[:, None]).round().to(torch.int8)
        self.register_buffer("weight", torch.ops.onednn.qlinear_prepack(quantized, None))
        self.register_buffer("scale", scale)
        self.register_buffer("zeros", torch.zeros(len(scale), dtype=torch.long))
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        x = x.float()
        scale = x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-30).div_(LARGEST)
        quantized = x.div(scale).add_(ZERO_POINT + 0.5).to(torch.uint8)  # truncation rounds, since nothing is negative
        product = torch.ops.onednn.qlinear_pointwise(
            quantized, 1.0, ZERO_POINT, self.weight, self.scale, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        product = product.mul_(scale)
        return product if self.bias is None else product.add_(self.bias)


def copied(model: Transformer, dtype: torch.dtype) -> Transformer:
    """The model in this type, for inference only. Tied parameters stay tied; those of this type already are shared."""
    with torch.inference_mode(False), torch.no_grad():
        converted: dict[int, Tensor] = {id(buffer): buffer.to(dtype) for buffer in model.buffers()}
        converted |= {id(p): nn.Parameter(p.to(dtype), requires_grad=False) for p in model.parameters()}
        return deepcopy(model, memo=dict(converted)).eval()


def prepacked(model: Transformer, dtype: torch.dtype, *, int8: bool = False) -> Transformer:
    """`copied`, with prepacked weights. Args: int8: whether the output layer is in 8 bits."""

    def replacement(module: nn.Module) -> nn.Module | None:
        if isinstance(module, OutputLayer):
            if int8:
                bias = model.decoder.output.bias
                return Int8Linear(model.out_weight.float(), None if bias is None else bias.float())
            return PrepackedLinear(module.weight, module.bias)
        if isinstance(module, FeedForward) and module.activation is nn.functional.relu and module.gate is None:
            inner, outer = module.inner, module.outer
            first = PrepackedLinear(inner.weight, inner.bias, "relu")
            return nn.Sequential(first, PrepackedLinear(outer.weight, outer.bias))
        return PrepackedLinear(module.weight, module.bias) if isinstance(module, nn.Linear) else None

    with torch.inference_mode(False), torch.no_grad():
        return replaced(copied(model, dtype), replacement)
