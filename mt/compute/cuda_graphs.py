"""CUDA graphs: the kernels of some work are captured once and then launched together.

The kernels of a small model take a GPU a few microseconds each, less than the host needs to launch one. A graph reads
and writes the same memory in the same shapes at every replay. Used in `mt.train.acceleration.cuda_graphs` and
`mt.decode.search.cuda_graphs`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], list[Tensor]]
SMALL = 1e11  # weights times rows below which kernels are shorter than their launch; an estimate, not measured
WARM_UPS = 3  # runs before the capture, in which libraries initialise themselves


def capture(work: Work, device: torch.device, pool: Any = None) -> tuple[Callable[[], None], list[Tensor]]:
    """Capture `work` as a CUDA graph. Returns a function that replays it, and the tensors that hold its results.

    Args: pool: from `new_pool`, memory for intermediate tensors that several graphs share. The results of one graph
        must be read before another one is replayed. None: memory of its own.
    """
    # The current batch must find the random numbers unchanged.
    with torch.cuda.device(device), torch.random.fork_rng([device]):
        current, side = torch.cuda.current_stream(), _side_stream(device)
        side.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
            current.wait_stream(side)
            # Other threads may pin memory during the capture.
            with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
                results = work()
        except Exception as error:
            torch.cuda.set_stream(current)  # a failed capture leaves its own stream current
            raise error.__context__ or error from None  # the cause, not the failed end of the capture
    return graph.replay, results


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures: libraries keep memory for every stream that they have used."""
    return torch.cuda.Stream(device)


def new_pool(device: torch.device) -> Any:
    """Memory that several graphs share, freed with the last of them. None without CUDA."""
    return torch.cuda.graph_pool_handle() if device.type == "cuda" else None
