"""Shapes in signatures are checked while testing; one thread, and random draws that are the same every time.

Where pytest-xdist is installed, several files are tested by a worker for each core, each with MT_TEST_THREADS threads,
1 unless told; `pytest -n0` tests in one process. `pytest --shuffle SEED` takes another order.

What is not installed is passed over: `tests/test_house.py` reads the source alone, and runs with nothing but pytest.
"""

import os
import random
from importlib.util import find_spec

import pytest

THREADS = os.environ.get("MT_TEST_THREADS", "1")
os.environ["OMP_NUM_THREADS"] = THREADS  # for the workers and all that tests start; read when torch is imported
MOST_WORKERS = 8  # each imports torch, and so does what it starts: a gigabyte of memory


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="take files, and the tests in each, in another order")
    parser.addoption("--update-snapshots", action="store_true", help="write the files in tests/snapshots anew")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Workers unless told otherwise; not for a single file, since all that shares a file's fixtures goes to one."""
    asked = config.option
    if "PYTEST_XDIST_WORKER" in os.environ or hasattr(config, "workerinput"):
        return  # a worker comes here, too, and workers of workers have no end
    if not config.pluginmanager.hasplugin("xdist") or asked.numprocesses is not None:
        return
    if asked.usepdb or asked.collectonly or asked.capture == "no":
        return
    if len(config.args) == 1 and config.args[0].partition("::")[0].endswith(".py"):
        return
    asked.numprocesses = min(MOST_WORKERS, cores())
    if asked.numprocesses == 1:
        asked.numprocesses = 0
    if asked.dist == "no":
        # By files in the order of collection: the long ones, of whole commands, begin.
        asked.dist, asked.loadscopereorder = "loadfile", False


def cores():
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_collection_modifyitems(config, items):
    """Shuffle files, and the tests within each: a fixture of a module is still made once."""
    if config.option.shuffle is None:
        return
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    draw, order = random.Random(config.option.shuffle), list(files.values())
    for tests in (order, *order):
        draw.shuffle(tests)
    items[:] = [item for tests in order for item in tests]


if find_spec("jaxtyping"):
    import jaxtyping

    # Before the first import of these rooms: their annotations become checks of every call.
    jaxtyping.install_import_hook(["mt.nn", "mt.decode"], "beartype.beartype")

if find_spec("hypothesis"):
    import hypothesis

    hypothesis.settings.register_profile("house", derandomize=True, deadline=None, max_examples=30)
    hypothesis.settings.load_profile("house")

if find_spec("torch"):
    import torch

    torch.set_num_threads(int(THREADS))

    @pytest.fixture(autouse=True)
    def seeded():
        """Every test starts from the same random numbers, whichever ran before it."""
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_model():
    """A function that makes a small Transformer in eval mode: `small_model(seed=1, positions="rotary")`."""
    import torch

    from mt.config import Activation, ModelConfig, NormKind, NormPlacement, Positions, Tying
    from mt.nn.encoders import text_model

    kinds = {
        "norm": NormPlacement,
        "norm_kind": NormKind,
        "positions": Positions,
        "activation": Activation,
        "tying": Tying,
    }
    small = {"dim": 16, "heads": 4, "ffn_dim": 24, "encoder_layers": 2, "decoder_layers": 2, "max_length": 64}

    def make(*, seed=0, src_size=19, tgt_size=19, **options):
        options = {name: kinds[name](value) if name in kinds else value for name, value in options.items()}
        torch.manual_seed(seed)
        model = text_model(ModelConfig(**{**small, **options}), src_size=src_size, tgt_size=tgt_size)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:  # norms and biases start at one and zero, which would hide their absence
                    parameter += 0.3 * torch.randn_like(parameter)
        return model.eval()

    return make
