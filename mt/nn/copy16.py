"""A model in 16 bits, for translating.

Under autocast every product converts its weights, or looks up whether it has done so: at a few hundred rows a step that
takes as long as the product. Here weights are converted once.
"""

from copy import deepcopy

import torch
from torch import nn

from mt.nn.transformer import Transformer


def copy_in(model: Transformer, dtype: torch.dtype) -> Transformer:
    """The same model with all numbers of this type, for inference only; what is tied stays tied."""
    with torch.inference_mode(False), torch.no_grad():
        converted: dict[int, torch.Tensor] = {id(buffer): buffer.to(dtype) for buffer in model.buffers()}
        converted |= {id(p): nn.Parameter(p.to(dtype), requires_grad=False) for p in model.parameters()}
        return deepcopy(model, memo=dict(converted)).eval()
