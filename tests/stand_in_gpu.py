"""A stand-in for a GPU: tensors on device `cuda`. torch checks devices, types and shapes; a CPU computes the values.

Every tensor is a fake one (`torch._subclasses.FakeTensorMode`), to which torch applies its rules for CUDA, and has a
*twin*: a tensor on the CPU, on which the same operation runs. So the code takes its branches for CUDA, an operation on
tensors of two devices fails as on a GPU, and results can be compared. Where the host asks for a value or for a shape
that depends on values, the twin answers, and the question is counted with the function of mt that asked.

Needs a CUDA build of torch, a C compiler for the stand-in driver that torch's autograd engine asks for devices, and no
GPU. What it cannot show: speed, CUDA graphs, kernels' own arithmetic, and waiting that is no question (a copy from
memory that is not pinned).
"""

import ctypes
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import MagicMock

VARIABLE = "MT_TEST_STAND_IN_GPU"  # workers and their processes inherit it
SOURCE = Path(__file__).with_name("stand_in_driver.c")
PACKAGE = f"{os.sep}mt{os.sep}"


def load_driver_if_wanted():
    """Load the stand-in driver for `pytest -m fake_gpu`. Must come before the first import of torch."""
    if "fake_gpu" in sys.argv:
        os.environ[VARIABLE] = "1"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if os.environ.get(VARIABLE) and compiler and "torch" not in sys.modules:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "libcuda.so.1"
            name = f"-Wl,-soname,{library.name}"
            subprocess.run([compiler, "-shared", "-fPIC", name, "-o", library, SOURCE], check=True)
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


load_driver_if_wanted()

import pytest  # noqa: E402
import torch  # noqa: E402
from torch._subclasses.fake_tensor import (  # noqa: E402
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten  # noqa: E402

HAS_CUDA = torch.version.cuda is not None
HAS_DRIVER = HAS_CUDA and torch.cuda.is_available()
aten = torch.ops.aten


class Twins(TorchDispatchMode):
    """Runs every operation on the twins, too. Entered inside of a `FakeTensorMode`."""

    def __init__(self):
        super().__init__()
        self.fakes = FakeTensorMode()
        self.questions = Counter()  # by the function of mt that asked

    def __enter__(self):
        self.fakes.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(FakeTensor, "tolist", lambda x: self.tolist(x))
        self.patch.setattr(FakeTensor, "__deepcopy__", deepcopied)
        self.patch.setattr(FakeTensor, "data_ptr", lambda x: x.twin.data_ptr())
        return super().__enter__()

    def tolist(self, x):
        """One copy, as on a GPU; a fake tensor would ask for each number."""
        if on_gpu(x):
            self.count()
        with _disable_current_modes():
            return x.twin.tolist()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.patch.undo()
        self.fakes.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        flat, form = tree_flatten((args, kwargs or {}))
        flat = [self.as_fake(x) for x in flat]
        args, kwargs = tree_unflatten(flat, form)
        asks_device = any(on_gpu(x) for x in flat)
        try:
            with self.fakes:
                result = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            result = None
            if asks_device:
                self.count()
        twin_args, twin_kwargs = tree_unflatten([twin(x) for x in flat], form)
        with _disable_current_modes():
            answer = run(func, twin_args, {**twin_kwargs, **on_cpu(func, kwargs)})
        if result is None:
            return tree_map(lambda x: self.fake_of(x, flat) if isinstance(x, torch.Tensor) else x, answer)
        copied = asks_device and isinstance(result, FakeTensor) and not on_gpu(result)
        if copied and not argument(func, args, kwargs, "non_blocking"):
            self.count()
        for ours, theirs in zip(leaves(result), leaves(answer), strict=True):
            if isinstance(ours, FakeTensor):
                assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, f"{func}: {ours}, but {theirs}"
                ours.twin = theirs
        return result

    def as_fake(self, x):
        """A tensor of the host that was made without an operation, such as one from numpy, as a fake one."""
        if not isinstance(x, torch.Tensor) or isinstance(x, FakeTensor):
            return x
        assert x.device.type == "cpu"
        with _disable_current_modes():
            made = self.fakes.from_tensor(x)
        made.twin = x
        return made

    def fake_of(self, x, arguments):
        device = next(a.device for a in arguments if isinstance(a, torch.Tensor))
        with self.fakes:
            made = torch.empty(x.shape, dtype=x.dtype, device=device)
        made.twin = x
        return made

    def count(self):
        frame = sys._getframe(1)
        while frame and (PACKAGE not in frame.f_code.co_filename or "site-packages" in frame.f_code.co_filename):
            frame = frame.f_back
        self.questions[frame.f_code.co_qualname if frame else "a test"] += 1


def leaves(x):
    return [x] if isinstance(x, torch.Tensor) else tree_flatten(x)[0]


def on_gpu(x):
    return isinstance(x, FakeTensor) and x.device.type == "cuda"


def argument(func, args, kwargs, name):
    """The value of an argument that has a default, given by place or by name."""
    given = dict(zip((one.name for one in func._schema.arguments), args, strict=False))
    return {**given, **kwargs}.get(name)


def deepcopied(x, memo):
    """By operations; a tensor's own method copies the memory that a fake one lacks."""
    with torch.no_grad():
        made = x.detach().clone()
    memo[id(x)] = torch.nn.Parameter(made, x.requires_grad) if isinstance(x, torch.nn.Parameter) else made
    return memo[id(x)]


def twin(x):
    """What a CPU computes with instead of this argument."""
    if isinstance(x, FakeTensor):
        assert hasattr(x, "twin"), f"made outside of the stand-in: {x}"
        return x.twin
    return torch.device("cpu") if isinstance(x, torch.device) else x


def on_cpu(func, kwargs):
    """The arguments of a new tensor on the host."""
    return {"pin_memory": False} if kwargs.get("pin_memory") else {}


def run(func, args, kwargs):
    if func is torch.ops.torch_attn._varlen_attn.default:
        return varlen(*args)
    if func is torch.ops.torch_attn._varlen_attn_backward.default:
        return varlen_backward(*args)
    if func in (aten._softmax.default, aten._log_softmax.default) and args[2]:
        return func(args[0].float(), args[1], False)  # half to float in one kernel, which a CPU lacks
    if func is aten.native_layer_norm.default and args[0].dtype is args[2].dtype:  # a GPU keeps its sums in 32 bits
        out, *sums = func(*args)
        return out, *(x.float() for x in sums)
    if func is aten._softmax_backward_data.default and args[3] is not args[0].dtype:  # and back
        return func(*args[:3], args[0].dtype).to(args[3])
    if func is aten.native_dropout_backward.default:  # a CPU's does not take 16 bits in every case
        return (args[0].float() * args[1] * args[2]).to(args[0].dtype)
    return func(*args, **kwargs)


def by_sentence(q, k, v, q_bounds, k_bounds, max_q, max_k, causal, scale, window):
    """Queries, keys, values and weights of each sentence in 32 bits, and the conditions that torch's kernel for packed
    rows does not check."""
    for bounds, rows, longest in ((q_bounds, q, max_q), (k_bounds, k, max_k)):
        lengths = bounds.diff()
        assert bounds.dtype is torch.int32 and bounds[0] == 0 and bounds[-1] == len(rows) and lengths.min() > 0
        assert lengths.max() <= longest
    assert q.dtype is k.dtype is v.dtype and q.dtype in (torch.float16, torch.bfloat16)
    assert q.shape[2] % 8 == 0 and causal == (window == [-1, 0]) and scale is None
    sides = ((q, q_bounds), (k, k_bounds), (v, k_bounds))
    for mine, *other in zip(*(x.float().split(bounds.diff().tolist()) for x, bounds in sides), strict=True):
        keys, values = (x.repeat_interleave(mine.shape[1] // x.shape[1], 1) for x in other)
        scores = torch.einsum("thk,shk->hts", mine, keys) / math.sqrt(mine.shape[2])
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
        yield mine, keys, values, scores


def varlen(*args):
    out, sums = [], []
    for _, _, values, scores in by_sentence(*args[:10]):
        out.append(torch.einsum("hts,shk->thk", scores.softmax(-1), values))
        sums.append(scores.logsumexp(-1))
    return torch.cat(out).to(args[0].dtype), torch.cat(sums, 1), torch.zeros(2, dtype=torch.uint64)


def varlen_backward(grad, q, k, v, out, sums, q_bounds, k_bounds, max_q, max_k, causal, rng, scale=None, window=None):
    """By hand, since autograd is off where operators run."""
    found = [[], [], []]
    sentences = by_sentence(q, k, v, q_bounds, k_bounds, max_q, max_k, causal, scale, window)
    for g, (mine, keys, values, scores) in zip(grad.float().split(q_bounds.diff().tolist()), sentences, strict=True):
        weights = scores.softmax(-1)
        for_weights = torch.einsum("thk,shk->hts", g, values)
        for_scores = weights * (for_weights - (for_weights * weights).sum(-1, keepdim=True)) / math.sqrt(q.shape[2])
        found[0].append(torch.einsum("hts,shk->thk", for_scores, keys))
        found[1].append(torch.einsum("hts,thk->shk", for_scores, mine))
        found[2].append(torch.einsum("hts,thk->shk", weights, g))
    groups = q.shape[1] // k.shape[1]
    shared = [torch.cat(x).unflatten(1, (-1, groups)).sum(2) for x in found[1:]]
    return tuple(x.to(q.dtype) for x in (torch.cat(found[0]), *shared))


@pytest.fixture(autouse=True)
def driver(monkeypatch):
    """What torch asks a real driver, beside the functions in C. A module that imports this has it in every test."""
    import torch.nn.attention.varlen

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "Event", MagicMock)
    # Tensors of numbers are made on the host and copied by an operation, not by the runtime.
    monkeypatch.setattr(FakeTensorMode, "avoid_device_init", True)
    # Whether a graph is being captured; of a CPU's updates, too.
    monkeypatch.setattr(
        torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda self: None, raising=False
    )


def without_values():
    """The stand-in for tensors of any size: nothing is computed, and a question for a value is an error of torch's."""
    return FakeTensorMode()


@contextmanager
def stand_in_gpu():
    """The stand-in with values; yields its questions, by the function that asked."""
    with Twins() as twins:
        yield twins.questions


def give_values(fake, real):
    """Give the parameters and buffers of a model on the stand-in the values of one on the CPU."""
    with _disable_current_modes():
        for name, x in real.state_dict(keep_vars=True).items():
            fake.get_parameter(name).twin.copy_(x.detach())


def value(x):
    """The values of a tensor on the stand-in, as a tensor on the CPU that has left it."""
    with _disable_current_modes():
        return x.twin.detach().clone()
