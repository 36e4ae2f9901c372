"""The optimiser, its state as named tensors, and an EMA of the weights."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from mt.config import OptimConfig, OptimizerKind, Precision
from mt.nn.output import OutputLayer
from mt.nn.transformer import Embedding
from mt.train.muon import Muon

# Measured (docs/LOG.md): with Muon, runs of a few hundred updates learn more with this ratio, and longer ones as much.
EMBEDDING_LR_RATIO = {OptimizerKind.muon: 2.5, OptimizerKind.adamw: 1.0}
SLOTS = ("exp_avg", "exp_avg_sq", "step", "momentum_buffer")  # of AdamW, and of Muon


# Methods that torch's compiler must leave alone import it when they are first called, which takes two seconds. Nothing
# here compiles an optimiser; a method that has `__dynamo_disable` is called as it is (torch/_compile.py).
for _name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
    _method = inspect.unwrap(getattr(torch.optim.Optimizer, _name))
    setattr(_method, "__dynamo_disable", _method)


class AdamW(torch.optim.AdamW):
    """torch's, whose step imports the compiler, too."""

    _own_step: Callable[..., Any] = staticmethod(inspect.unwrap(torch.optim.Adam.step))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._own_step(self, closure)


class Together(torch.optim.Optimizer):
    """Several optimisers, each of its own weights, with one schedule and one state."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = parts
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.param_groups = [group for part in parts for group in part.param_groups]
        for part in parts:
            part.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for part in self.parts:
            part.step()


def make_optimizer(
    model: nn.Module, section: OptimConfig, precision: Precision = Precision.fp32
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or Muon for the matrices of linear layers and AdamW for norms, biases and
    embeddings. Weight decay applies to those matrices only, not to the others, whose scale matters. `lr_ratio` of
    a group is its learning rate as a share of that of the schedule.

    Args: precision: of the training.
    """
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    tables = {id(m.weight) for m in model.modules() if isinstance(m, Embedding | OutputLayer)}
    matrices = [p for p in model.parameters() if id(p) in linear]
    embeddings = [p for p in model.parameters() if id(p) in tables]
    others = [p for p in model.parameters() if id(p) not in linear | tables]
    muon = section.name is OptimizerKind.muon
    ratio = section.embedding_lr_ratio or EMBEDDING_LR_RATIO[section.name]
    groups = [
        {"params": [] if muon else matrices, "weight_decay": section.weight_decay, "lr_ratio": 1.0},
        {"params": embeddings, "weight_decay": 0.0, "lr_ratio": ratio},
        {"params": others, "weight_decay": 0.0, "lr_ratio": 1.0},
    ]
    adamw = AdamW(
        [{**group, "lr": section.lr * group["lr_ratio"]} for group in groups if group["params"]],
        lr=section.lr,
        betas=(section.beta1, section.beta2),
        eps=section.eps,
        fused=is_fused(next(model.parameters())),
    )
    if not muon:
        return adamw
    # fp16 ends at 6e-8, where the squares of small singular values are.
    dtype = torch.bfloat16 if precision is Precision.bf16 else torch.float32
    ours = {"lr": section.lr, "momentum": section.momentum, "weight_decay": section.weight_decay}
    return Together([Muon(matrices, **ours, dtype=dtype), adamw])


def is_fused(parameter: Tensor) -> bool:
    """Whether AdamW has one kernel for all of an update on this device."""
    return parameter.device.type in ("cpu", "cuda")


def step_if(optimizer: torch.optim.Optimizer, wanted: Bool[Tensor, ""]) -> None:
    """A step if `wanted`; otherwise weights, moments and the step count do not change.

    A fused kernel decides on the device, so the host does not wait: it reads `found_inf`, which a GradScaler sets
    (torch/optim/adam.py, `_fused_adam`).
    """
    for part in optimizer.parts if isinstance(optimizer, Together) else (optimizer,):
        if not part.param_groups[0]["fused"]:
            if wanted:
                part.step()
            continue
        part.grad_scale, part.found_inf = None, 1 - wanted.float()  # pyright: ignore[reportAttributeAccessIssue]
        part.step()
        del part.grad_scale, part.found_inf  # pyright: ignore[reportAttributeAccessIssue]


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, named by parameter: `decoder.0.….weight/exp_avg`. Empty before the first update."""
    return {
        f"{name}/{slot}": optimizer.state[parameter][slot]
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for slot in SLOTS
        if slot in optimizer.state[parameter]
    }


def load_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    for name, parameter in model.named_parameters():
        slots = [slot for slot in SLOTS if f"{name}/{slot}" in tensors]
        if slots:
            # As in torch: the step count is on the host unless a fused kernel reads it.
            host = () if is_fused(parameter) else ("step",)
            optimizer.state[parameter] = {
                slot: tensors[f"{name}/{slot}"].to("cpu" if slot in host else parameter.device, copy=True)
                for slot in slots
            }


class Ema:
    """Exponential moving average of the weights (Polyak & Juditsky 1992).

    mean <- decay * mean + (1 - decay) * weights. At update n, decay is at most (1 + n) / (10 + n), so that the random
    initial weights are forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.means = {name: p.detach().clone() for name, p in model.named_parameters()}
        device = next(model.parameters()).device
        # On the device: the host does not know yet whether the last update was skipped. MPS has no 64-bit floats.
        self.updates = torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)

    @torch.no_grad()
    def update(self, model: nn.Module, wanted: Bool[Tensor, ""] | bool = True) -> None:
        """Move the means towards the weights if `wanted`; otherwise nothing changes."""
        weight = 1 - ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        self.updates += wanted
        current = dict(model.named_parameters())
        means = list(self.means.values())
        steps = torch._foreach_sub([current[n].detach() for n in self.means], means)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_mul_(steps, (weight * wanted).float())  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(means, steps)  # pyright: ignore[reportPrivateImportUsage]
