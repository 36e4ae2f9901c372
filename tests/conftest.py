"""Settings of all tests: shape checks of annotated functions, one thread, fixed random numbers.

With pytest-xdist installed, several files are tested by one worker per core, each with MT_TEST_THREADS threads (default
1); `pytest -n0` tests in one process. `pytest --shuffle SEED` changes the order.

Libraries that are not installed are skipped: `tests/test_house.py` needs only pytest and the source.
"""

import gc
import os
import random
import signal
import tempfile
from importlib.util import find_spec

import pytest

THREADS = os.environ.get("MT_TEST_THREADS", "1")
os.environ["OMP_NUM_THREADS"] = THREADS  # for workers and commands of tests; read when torch is imported
os.fsync = os.fstat  # no test cuts the power, and to wait for the disk is a tenth of the time of those that save
MOST_WORKERS = 8  # each, and each command it starts, imports torch: a gigabyte of memory


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="shuffle the files, and the tests in each file")
    parser.addoption("--update-snapshots", action="store_true", help="write the files in tests/snapshots anew")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Use workers by default, except for a single file: all tests of a file go to one worker for its fixtures."""
    options = config.option
    if "PYTEST_XDIST_WORKER" in os.environ or hasattr(config, "workerinput"):
        return  # a worker runs this function too, and must not start workers
    if not config.pluginmanager.hasplugin("xdist") or options.numprocesses is not None:
        return
    if options.usepdb or options.collectonly or options.capture == "no":
        return
    if len(config.args) == 1 and config.args[0].partition("::")[0].endswith(".py"):
        return
    options.numprocesses = min(MOST_WORKERS, cores())
    if options.numprocesses == 1:
        options.numprocesses = 0
    if options.dist == "no":
        # By files in the order of collection: the long ones, which run whole commands, start first.
        options.dist, options.loadscopereorder = "loadfile", False


def pytest_configure(config):
    """A folder for what all workers need and one of them makes (`toy.made_once`)."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="mt-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ["MT_TEST_SHARED"] = folder.name


def pytest_collection_finish(session):
    """What was imported is no garbage: a look at all of it takes a third of a second, and would come often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)  # as the command line does


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_collection_modifyitems(config, items):
    """Shuffle files, and the tests within each; a fixture of a module is still made once."""
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
    import shape_checks

    shape_checks.install("mt.nn", "mt.decode")  # before their first import

    @pytest.fixture
    def unchecked_shapes():
        """For tests that call a few functions, whose shapes other tests check, many thousand times, and for those of
        arguments of a wrong type."""
        jaxtyping.config.update("jaxtyping_disable", True)
        yield
        jaxtyping.config.update("jaxtyping_disable", False)


if find_spec("hypothesis"):
    import hypothesis

    hypothesis.settings.register_profile("house", derandomize=True, deadline=None, max_examples=30)
    hypothesis.settings.load_profile("house")

if find_spec("torch"):
    import stand_in_gpu  # noqa: F401  loads a stand-in for CUDA's driver for `pytest -m fake_gpu`, which must come first
    import torch

    torch.set_num_threads(int(THREADS))
    # Without a GPU, `torch.manual_seed` spends a millisecond on notes for devices that may still be found.
    seed_all = torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed

    @pytest.fixture(autouse=True)
    def seeded():
        """Every test starts from the same random numbers, in any order of tests."""
        seed_all(0)


@pytest.fixture
def without_nohup():
    """The end of a terminal is heard, also by tests that `nohup` has started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


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
                if parameter.dim() == 1:  # norms and biases start at one and zero, where a missing one would not show
                    parameter += 0.3 * torch.randn_like(parameter)
        return model.eval()

    return make


@pytest.fixture
def quiet_again():
    """The logger of mt afterwards as before."""
    import logging

    logger = logging.getLogger("mt")
    before, level = list(logger.handlers), logger.level
    yield
    for handler in [handler for handler in logger.handlers if handler not in before]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(level)


@pytest.fixture
def small_files():
    """A function that limits the size of files, as a quota does; None: no limit."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (soft if most is None else most, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
