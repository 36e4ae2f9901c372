"""A model whose weights, gradients and moments lie in pieces on all processes (FSDP2; Rajbhandari et al. 2020).

A layer's weights are put together for the moment in which it computes. On disk everything is whole: a checkpoint does
not tell how many processes wrote it.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mt.dist import Group
from mt.nn.transformer import Layer, Transformer


def shard(model: Transformer, group: Group) -> None:
    """Leave this process its piece of every weight: of each layer by itself, and of all that is outside of layers.

    The embedding, which may be the output matrix too, belongs to the whole model: it stays put together from the
    model's `forward` to the end of its backward pass, so the loss that follows `forward` may use it.
    """
    mesh = init_device_mesh(next(model.parameters()).device.type, (group.world,))
    for layer in list(model.modules()):
        if isinstance(layer, Layer):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # sums: the trainer has divided by the tokens of all processes
            module.set_force_sum_reduction_for_comms(True)


def is_sharded(model: Transformer) -> bool:
    return isinstance(model, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """The tensor put together; every process must call it, in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Tensors put together one by one, in the memory of the host; nothing where not `keep`. Every process calls it."""
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            found[name] = full.cpu() if isinstance(tensor, DTensor) else full
    return found


def like(tensors: Mapping[str, Tensor], model: Transformer) -> dict[str, Tensor]:
    """Whole tensors, named by parameter (`name` or `name/slot`), as the model has its own: this process's piece."""
    parameters = dict(model.named_parameters())
    return {name: _like(tensor, parameters.get(name.split("/")[0])) for name, tensor in tensors.items()}


def _like(tensor: Tensor, parameter: Tensor | None) -> Tensor:
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor  # a count of steps, or what the loader will refuse
    mesh, placements = parameter.device_mesh, parameter.placements
    # Every process has read the same file, so none has to be sent anything.
    return distribute_tensor(tensor.to(parameter.device), mesh, placements, src_data_rank=None)
