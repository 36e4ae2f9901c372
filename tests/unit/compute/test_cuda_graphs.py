"""Captures that fail. What else there is needs a GPU, and is tested where graphs are used."""

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
    monkeypatch.setattr(cuda_graphs, "_side_stream", lambda device: Stream())
    return current


def test_a_failed_capture_raises_its_cause_and_restores_the_stream(streams):
    calls, before = [], streams[0]

    def work():
        calls.append(len(calls))
        if len(calls) > cuda_graphs.WARM_UPS:
            raise RuntimeError("not permitted when stream is capturing")
        return []

    with pytest.raises(RuntimeError, match=r"^not permitted when stream is capturing$"):
        cuda_graphs.capture(work, torch.device("cpu"))
    assert len(calls) == cuda_graphs.WARM_UPS + 1 and streams[-1] is before


def test_an_error_before_the_capture_is_raised(streams):
    def work():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        cuda_graphs.capture(work, torch.device("cpu"))


def test_only_cuda_has_a_pool():
    assert cuda_graphs.new_pool(torch.device("cpu")) is None
