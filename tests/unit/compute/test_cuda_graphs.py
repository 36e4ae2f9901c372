"""What becomes of a recording that fails. The rest of it wants a GPU: see the tests of those who record."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from mt.compute import cuda_graphs


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def streams(monkeypatch):
    """torch.cuda without CUDA: which stream is current; a capture that fails leaves its own, as torch's does."""
    current = [Stream()]

    @contextmanager
    def capture(graph, *, pool, stream, capture_error_mode):
        current.append(stream)
        try:
            yield
        except RuntimeError as error:
            raise RuntimeError("operation failed due to a previous error during capture") from error
        current.pop()

    for name, stand_in in {
        "device": lambda device: nullcontext(), "stream": lambda stream: nullcontext(), "graph": capture,
        "current_stream": lambda: current[-1], "set_stream": current.append, "CUDAGraph": object,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    monkeypatch.setattr(cuda_graphs, "_stream_aside", lambda device: Stream())
    return current


def test_a_capture_that_fails_tells_why_and_leaves_the_stream_of_before(streams):
    calls, before = [], streams[0]

    def work():
        calls.append(len(calls))
        if len(calls) > cuda_graphs.WARM_UPS:
            raise RuntimeError("not permitted when stream is capturing")
        return []

    with pytest.raises(RuntimeError, match=r"^not permitted when stream is capturing$"):
        cuda_graphs.record(work, torch.device("cpu"))
    assert len(calls) == cuda_graphs.WARM_UPS + 1 and streams[-1] is before


def test_work_that_fails_by_itself_says_so(streams):
    def work():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        cuda_graphs.record(work, torch.device("cpu"))


def test_only_cuda_has_a_pool():
    assert cuda_graphs.new_pool(torch.device("cpu")) is None
