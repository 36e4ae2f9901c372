"""Named tensors in a safetensors file: first their description, then, once that is checked, their values."""

import struct
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mt.errors import CheckpointError
from mt.files import explained

MAX_HEADER = 4 << 20  # bytes, for 40,000 tensors; safetensors takes minutes to parse the 100 MB that it allows
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def describe_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file on the `meta` device: names, types and shapes without memory.

    safetensors checks all offsets against the size of the file. Raises `CheckpointError` as `read_tensors`.
    """
    _check_header(path)
    found = {}
    try:
        with explained(f"`{path}` cannot be read"), safetensors.safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                part = file.get_slice(name)
                dtype, shape = part.get_dtype(), part.get_shape()
                if dtype not in DTYPES:
                    raise CheckpointError(f"`{path}`: `{name:.80}` has the type {dtype}, which no model of mt has.")
                found[name] = torch.empty(shape, dtype=DTYPES[dtype], device="meta")
    except (safetensors.SafetensorError, RuntimeError) as error:  # RuntimeError: dimensions that torch cannot make
        raise _unreadable(path, error) from error
    return found


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """The tensors of a file. Raises `CheckpointError` when it is missing or damaged."""
    _check_header(path)
    try:
        with explained(f"`{path}` cannot be read"):
            return safetensors.torch.load_file(path, device=device)
    except (safetensors.SafetensorError, RuntimeError) as error:  # RuntimeError: gone before torch opens it once more
        raise _unreadable(path, error) from error


def _check_header(path: Path) -> None:
    with explained(f"`{path}` cannot be read"), path.open("rb") as file:
        head = file.read(8)
    if len(head) == 8 and (size := struct.unpack("<Q", head)[0]) > MAX_HEADER:
        raise CheckpointError(f"`{path}` must have a header of at most {MAX_HEADER:,} bytes, but has {size:,}.")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip().partition("\n")[0]
    return CheckpointError(f"`{path}` cannot be read as safetensors: {reason[:200].rstrip('.')}.")
