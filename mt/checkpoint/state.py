"""Restoring a checkpoint: weights into a model, random states into the process; and averages of checkpoints."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mt.checkpoint.folder import verify_folder
from mt.checkpoint.run import EMA, MODEL
from mt.checkpoint.tensors import read_tensors
from mt.errors import CheckpointError

SHOWN = 5


def average(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints, or of their EMA weights if they have them, in float64.

    Raises `CheckpointError` when there is none, one is damaged, or their tensors do not agree.
    """
    if not checkpoints:
        raise CheckpointError("`checkpoints` must name at least one folder to average, but is empty.")
    first: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    for path in checkpoints:
        verify_folder(path)
        tensors = read_tensors(path / EMA if (path / EMA).exists() else path / MODEL)
        first = first or tensors
        require_fit(tensors, first, str(path), f"`{checkpoints[0]}`")
        sums = {name: tensor.double() + sums.get(name, 0) for name, tensor in tensors.items()}
    return {name: (total / len(checkpoints)).to(first[name].dtype) for name, total in sums.items()}


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy `tensors`, read from `where`, into `module`, if all names, shapes and types agree.

    Raises `CheckpointError` naming up to five tensors that differ; the module is then unchanged.
    """
    parameters = dict(module.named_parameters())
    require_fit(tensors, parameters, where, "the model")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def require_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str, what: str) -> None:
    """Raise `CheckpointError` naming up to five tensors whose name, type or shape differs."""
    problems = [f"`{name}` is missing" for name in expected if name not in tensors]
    problems += [f"`{name:.80}` is unknown" for name in tensors if name not in expected]
    for name, tensor in tensors.items():
        if name in expected and (found := _kind(tensor)) != (must := _kind(expected[name])):
            problems.append(f"`{name}` must be {must}, but is {found}")
    if problems:
        shown = "; ".join(problems[:SHOWN])
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise CheckpointError(f"`{where}` does not fit {what}: {shown}{more}.")


def random_state() -> dict[str, Any]:
    """The states of Python's and PyTorch's random number generators as JSON values."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "torch": _to_hex(torch.get_rng_state()),
        "cuda": [_to_hex(state) for state in gpus],
        "mps": _to_hex(torch.mps.get_rng_state()) if torch.backends.mps.is_available() else None,
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore a `random_state`; states of GPUs that are missing here or there are ignored. Raises: CheckpointError."""
    try:
        version, words, spare = state["python"]
        gpus = [_from_hex(text) for text in state["cuda"]]
        torch.set_rng_state(_from_hex(state["torch"]))
        random.setstate((version, tuple(words), spare))
        for device, gpu in zip(range(torch.cuda.device_count()), gpus, strict=False):
            torch.cuda.set_rng_state(gpu, device)
        if state["mps"] is not None and torch.backends.mps.is_available():
            torch.mps.set_rng_state(_from_hex(state["mps"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the random state of the checkpoint cannot be restored: {error}.") from error


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _to_hex(state: Tensor) -> str:
    return bytes(state.tolist()).hex()


def _from_hex(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
