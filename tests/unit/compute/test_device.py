"""Which device and which precision, on machines that we do not have."""

import os

import pytest
import torch

import mt.compute.device
from mt.compute.device import autocast_dtype, fast_bf16, pick_device, pick_precision, set_up_cpu
from mt.config import Precision
from mt.errors import ConfigError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture
def machine(monkeypatch):
    """A function that pretends: `machine(cuda=True)`."""

    def pretend(*, cuda=False, mps=False, cuda_bf16=False, avx=False, amx=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0) if cuda_bf16 else (7, 5))
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    return pretend


@pytest.mark.parametrize(
    ("there", "wanted"), [({"cuda": True, "mps": True}, "cuda"), ({"mps": True}, "mps"), ({}, "cpu")]
)
def test_auto_takes_the_fastest_there_is(machine, there, wanted):
    machine(**there)
    assert pick_device("auto") == torch.device(wanted)


def test_a_device_that_is_there_can_be_named(machine):
    machine(cuda=True, mps=True)
    for name in ("cpu", "cuda", "cuda:0", "mps"):
        assert pick_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:-1"])
def test_a_name_that_means_nothing(machine, name):
    machine(cuda=True)
    with pytest.raises(ConfigError) as raised:
        pick_device(name)
    assert str(raised.value) == f"the device must be auto, cpu, cuda, cuda:N or mps, but is {name}."


def test_a_gpu_beyond_the_last(machine):
    machine(cuda=True)
    with pytest.raises(ConfigError, match=r"^the device is cuda:1, but this machine"):
        pick_device("cuda:1")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "meta"])
def test_a_device_that_is_not_there(machine, name):
    machine()
    with pytest.raises(ConfigError) as raised:
        pick_device(name)
    wanted = f"the device is {name}, but this machine or this build of torch has none. hint: use `auto` or `cpu`."
    assert str(raised.value) == wanted


@pytest.mark.parametrize(
    ("device", "there", "fast"),
    [
        (CPU, {}, False),
        (CPU, {"avx": True}, True),
        (CPU, {"amx": True}, True),
        (CPU, {"cuda": True, "cuda_bf16": True}, False),
        (CUDA, {"cuda": True}, False),
        (CUDA, {"cuda": True, "cuda_bf16": True}, True),
        (MPS, {"mps": True, "avx": True}, False),
    ],
)
def test_where_16_bits_are_fast(machine, device, there, fast):
    machine(**there)
    assert fast_bf16(device) is fast
    slow = Precision.fp16 if device is CUDA else Precision.fp32
    assert pick_precision(Precision.auto, device) is (Precision.bf16 if fast else slow)
    for wanted in (Precision.fp32, Precision.bf16, Precision.fp16):
        assert pick_precision(wanted, device) is wanted


def test_int8_needs_a_cpu_that_has_it(monkeypatch):
    monkeypatch.setattr("mt.compute.device.has_int8", lambda: True)
    assert pick_precision(Precision.int8, torch.device("cpu")) is Precision.int8
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert refusal(CUDA) == "the device is cuda; use auto."
    monkeypatch.setattr("mt.compute.device.has_int8", lambda: False)
    assert refusal(CPU) == "this CPU has none; use auto."
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setattr("mt.compute.device.has_vnni", lambda: True)
    assert refusal(CPU) == (
        "the environment variable ONEDNN_MAX_CPU_ISA=AVX2 excludes it; unset the variable, or use auto."
    )
    assert refusal(CUDA) == "the device is cuda; use auto."
    monkeypatch.setattr("mt.compute.device.has_vnni", lambda: False)
    assert refusal(CPU) == "this CPU has none; use auto."


def refusal(device) -> str:
    with pytest.raises(ConfigError) as refused:
        pick_precision(Precision.int8, device)
    return str(refused.value).removeprefix("the precision is int8, which needs a CPU with AVX-512 VNNI, but ")


def test_the_type_of_every_precision():
    assert autocast_dtype(Precision.fp32) is torch.float32
    assert autocast_dtype(Precision.bf16) is torch.bfloat16
    assert autocast_dtype(Precision.fp16) is torch.float16


@pytest.fixture
def calls(monkeypatch):
    """The calls that set up the process, which are not executed."""
    made = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    class Library:
        def __init__(self, name):
            assert name is None

        def mallopt(self, option, value):
            made.append((option, value))

    monkeypatch.setattr(mt.compute.device.ctypes, "CDLL", Library)
    monkeypatch.setattr(torch, "set_num_threads", made.append)
    monkeypatch.setattr(mt.compute.device, "watch_processors", lambda: None)
    return made


def test_threads_and_memory_are_set_where_the_library_is_glibc(calls, monkeypatch):
    monkeypatch.setattr(mt.compute.device.platform, "libc_ver", lambda: ("glibc", "2.36"))
    set_up_cpu(3)
    assert calls == [3, (-4, 0), (-1, 2**31 - 1), (-2, 64 << 20)]


def test_the_users_variable_counts_unless_torchrun_set_it(calls, monkeypatch):
    monkeypatch.setattr(mt.compute.device.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for value in ("3", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        set_up_cpu(None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    set_up_cpu(None, processes=2)
    set_up_cpu(5)
    assert calls == [3, 8, 8, 4, 5]


def test_elsewhere_only_threads_are_set(calls, monkeypatch):
    monkeypatch.setattr(mt.compute.device.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    set_up_cpu(None)
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS and Windows have none
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    set_up_cpu(None)
    set_up_cpu(4)
    set_up_cpu(None, processes=2)
    set_up_cpu(None, processes=20)
    set_up_cpu(4, processes=2)
    assert calls == [3, 7, 4, 3, 1, 4]
