"""Work that a GPU has done once, done again as one launch: CUDA graphs.

A small model's kernels take a GPU a few microseconds each, less than the host takes to launch one. What is recorded
reads and writes the same memory every time, in the same shapes. See `mt.train.acceleration.cuda_graphs` and
`mt.decode.search.cuda_graphs`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], list[Tensor]]
# Weights times rows below which a GPU is done with its kernels before the host has launched them. Not measured
SMALL = 1e11
WARM_UPS = 3  # runs before the recording, in which libraries make what they make at first use


def record(work: Work, device: torch.device, pool: Any = None) -> tuple[Callable[[], None], list[Tensor]]:
    """A CUDA graph of `work`: what replays it, and the tensors that it then writes its results to.

    Args: pool: of `new_pool`, memory for what lies between input and results, shared with other graphs that have it.
        Only for results that are read before another of them is replayed. None: memory of its own.
    """
    # The batch at hand has its own random numbers still before it.
    with torch.cuda.device(device), torch.random.fork_rng([device]):
        current, aside = torch.cuda.current_stream(), _stream_aside(device)
        aside.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    work()
            current.wait_stream(aside)
            # Other threads may pin memory meanwhile.
            with torch.cuda.graph(graph, pool=pool, stream=aside, capture_error_mode="thread_local"):
                results = work()
        except Exception as error:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own stream behind
            raise error.__context__ or error from None  # what ended the capture, not that it had ended
    return graph.replay, results


@cache
def _stream_aside(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings: libraries keep memory for every stream that they have seen."""
    return torch.cuda.Stream(device)


def new_pool(device: torch.device) -> Any:
    """Memory for graphs that share it; it goes with the last of them. None where there are no graphs."""
    return torch.cuda.graph_pool_handle() if device.type == "cuda" else None
