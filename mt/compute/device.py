"""Devices and precisions of this machine, and the set-up of this process."""

import ctypes
import os
import platform

import torch

from mt.compute.host import processors
from mt.compute.matmul import has_int8, has_vnni
from mt.compute.waiting import watch_processors
from mt.config import Precision
from mt.errors import ConfigError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc, malloc.h


def pick_device(name: str) -> torch.device:
    """The device of this name; `auto` is CUDA, MPS or the CPU, the first that exists.

    Raises: ConfigError: when the device does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"the device must be auto, cpu, cuda, cuda:N or mps, but is {name}.") from None
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    exists = {"cpu": True, "cuda": (device.index or 0) < gpus, "mps": torch.backends.mps.is_available()}
    if not exists.get(device.type, False):
        raise ConfigError(
            f"the device is {name}, but this machine or this build of torch has none.", hint="use `auto` or `cpu`."
        )
    return device


def copied_ahead(device: torch.device) -> bool:
    """Whether copies to a device may be `non_blocking`: a GPU makes them in the order of its other work, from pinned
    memory while the program goes on. MPS may copy after the memory is used again; a copy to the CPU must be waited for.
    """
    return device.type == "cuda"


def fast_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in 32 bits; a CPU needs AMX or AVX-512 BF16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def pick_precision(wanted: Precision, device: torch.device) -> Precision:
    """The precision to use; `auto` is bf16 where it is fast, fp16 on older CUDA devices, else fp32.

    Raises: ConfigError: for int8 without fast products in 8 bits.
    """
    if wanted is Precision.int8 and not (device.type == "cpu" and has_int8()):
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
        if device.type != "cpu":
            cause = f"the device is {device}; use auto"
        elif limit and has_vnni():
            cause = f"the environment variable ONEDNN_MAX_CPU_ISA={limit} excludes it; unset the variable, or use auto"
        else:
            cause = "this CPU has none; use auto"
        raise ConfigError(f"the precision is int8, which needs a CPU with AVX-512 VNNI, but {cause}.")
    if wanted is not Precision.auto:
        return wanted
    if fast_bf16(device):
        return Precision.bf16
    return Precision.fp16 if device.type == "cuda" else Precision.fp32


def autocast_dtype(precision: Precision) -> torch.dtype:
    return {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}.get(precision, torch.float32)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which products run in `precision`; does nothing in 32 bits."""
    dtype = autocast_dtype(precision)
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


def set_up_cpu(threads: int | None, *, processes: int = 1) -> None:
    """Set the number of threads, by default all processors of this process, and keep freed memory.

    A training step frees and allocates the same sizes again and again, and page faults of fresh memory cost more than
    the arithmetic.

    Args: processes: of the run on this machine, which share the processors.
    """
    if not threads and processes == 1:  # torchrun sets the variable to 1
        value = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(value) if value.isdecimal() else None
    torch.set_num_threads(threads or max(1, processors() // processes))
    watch_processors()
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 64 << 20)
