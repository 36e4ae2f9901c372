"""A copy of a model whose products are ready for a search on the CPU.

Under autocast every product converts its weights, or looks up whether it has done so, and even without it oneDNN lays
weights out anew for each: at a few hundred rows that takes a tenth of a product in 32 bits and more in 16. Here it is
done once, and the bend between the feed-forward layers is made by the product before it where that is a ReLU.

`Int8Linear` serves the output layer alone. It is the widest product by far; at the others, rounding the rows takes as
long as 8 bits save over bfloat16.
"""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mt.nn.attention import FeedForward
from mt.nn.transformer import Transformer

LARGEST = 127
ZERO = 128  # what stands for 0 in rows: oneDNN is fast at unsigned ones only


class PackedLinear(nn.Module):
    """A linear layer in the precision of its weight, with a bend behind it or `none`."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None) -> None:
        super().__init__()
        self.bend = "none"
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(weight, None))
        self.register_buffer("bias", bias)

    def forward(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.bend, [], "")


class Int8Linear(nn.Module):
    """`x @ weight.T` as a product of whole numbers, times the scale of the row, times the scale of the output.

    Every row has a scale of its own, so that it does not know its company.
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


def packed(model: Transformer, dtype: torch.dtype, *, int8: bool = False) -> Transformer:
    """`copied` with its products made ready; `int8`: the output layer is of 8 bits."""
    with torch.inference_mode(False), torch.no_grad():
        copy = copied(model, dtype)
        copy.output = Int8Linear(model.out_weight.float()) if int8 else PackedLinear(copy.out_weight, None)
        for module in list(copy.modules()):
            for name, layer in list(module.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(module, name, PackedLinear(layer.weight, layer.bias))
            if isinstance(module, FeedForward) and module.bend is nn.functional.relu and module.gate is None:
                inner = module.inner
                assert isinstance(inner, PackedLinear)
                inner.bend, module.bend = "relu", nn.Identity()
        return copy
