"""A model whose weights, gradients and moments are sharded over all processes (FSDP2; Rajbhandari et al. 2020).

A layer's weights are gathered while it computes. Checkpoints hold whole tensors, so the number of processes may change.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

from mt.compute.distributed import Group
from mt.nn.transformer import Layer, Transformer

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def shard(model: Transformer, group: Group) -> None:
    """Shard every weight over the processes, in place: each layer is one unit, everything outside of layers another.

    The outer unit has the embedding, which may also be the output matrix: it stays gathered from the model's `forward`
    to the end of the backward pass, so the loss after `forward` can use it.
    """
    # Imported here: 600 modules, which few runs need.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(next(model.parameters()).device.type, (group.world,))
    for layer in list(model.modules()):
        if isinstance(layer, Layer):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # sums: the updater divides by the tokens of all processes
            module.set_force_sum_reduction_for_comms(True)


def is_sharded(model: Transformer) -> bool:
    return any(_is_shard(parameter) for parameter in model.parameters())


def _is_shard(tensor: Tensor | None) -> "TypeGuard[DTensor]":
    """Whether a tensor is a `DTensor`, without importing that class."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The full tensor; every process must call it, in the same order."""
    return tensor.full_tensor() if _is_shard(tensor) else tensor


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Full tensors, gathered one by one into host memory; empty unless `keep`. Every process must call it."""
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if keep:
            found[name] = full.cpu() if _is_shard(tensor) else full
    return found


def like(tensors: Mapping[str, Tensor], model: Transformer) -> dict[str, Tensor]:
    """Full tensors sharded like the model's parameters. Args: tensors: by `name` of a parameter, or `name/slot`."""
    parameters = dict(model.named_parameters())
    return {name: sharded_like(tensor, parameters.get(name.split("/")[0])) for name, tensor in tensors.items()}


def sharded_like(tensor: Tensor, parameter: Tensor | None) -> Tensor:
    """A full tensor, equal in every process, sharded like a parameter of the same shape."""
    if not _is_shard(parameter) or tensor.shape != parameter.shape:
        return tensor  # a step count, or a shape that the loader will refuse
    from torch.distributed.tensor import distribute_tensor  # as in `shard`

    mesh, placements = parameter.device_mesh, parameter.placements
    # Every process has read the same file, so nothing has to be sent.
    return distribute_tensor(tensor.to(parameter.device), mesh, placements, src_data_rank=None)
