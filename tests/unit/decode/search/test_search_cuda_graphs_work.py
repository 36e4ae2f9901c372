"""What a graph captures: the same work every time, without the host, in buffers that are large enough."""

import re

import pytest
import torch
from dispatched import Watch
from player import Player
from searches import EOS, HOWS, by_greed, drawn_batches, opinionated

import mt.decode.search.cuda_graphs
from mt.decode.search.transformer_stepper import CachedStepper


class Operations(Watch):
    """Lists every operation with the shapes, strides and numbers of its arguments, which a graph would fix."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.seen.append((func, described(args), described(tuple(kwargs.items()))))
        return func(*args, **kwargs)


def described(x):
    if isinstance(x, torch.Tensor):
        return x.shape, x.stride(), x.dtype
    return tuple(map(described, x)) if isinstance(x, list | tuple) else repr(x)


@pytest.mark.parametrize("how", HOWS)
def test_captured_work_is_the_same_every_time_and_without_the_host(small_model, monkeypatch, how):
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 0)
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "MIN_PLACES", 16)
    streams, player = [], Player()

    def noted(work, device, pool):
        seen = []
        streams.append(seen)

        def watched():
            with torch.inference_mode(False), torch.no_grad(), Operations() as operations:
                results = work()
            seen.append(operations.seen)
            return results

        return player(watched, device, pool)

    monkeypatch.setattr(mt.decode.search.cuda_graphs, "capture", noted)
    model = opinionated(small_model, positions="rotary", kv_heads=2)
    stepper = CachedStepper(model, cuda_graphs=True)
    with stepper.prepared():
        for source in [*drawn_batches(), *drawn_batches()]:
            how(stepper, source)
    assert max(map(len, streams)) > 3
    for first, *others in streams:
        assert all(other == first for other in others)
        names = {str(function) for function, _, _ in first}
        assert not {name for name in names if re.search("nonzero|local_scalar|masked_select|unique|is_nonzero", name)}


def test_buffers_grow_for_a_long_source_alone(small_model, monkeypatch):
    """The places for its nodes would fit into the buffers of many short sentences."""
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "capture", Player())
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "STEPS_BEFORE_CAPTURE", 0)
    monkeypatch.setattr(mt.decode.search.cuda_graphs, "MIN_PLACES", 16)
    model = opinionated(small_model, positions="rotary")
    stepper, plain = CachedStepper(model, cuda_graphs=True), CachedStepper(model)
    with stepper.prepared():
        for source in ([[5, EOS]] * 8, [[5, 6, 7] * 50 + [EOS]]):
            found, wanted = ([h.tokens for one in by_greed(s, source) for h in one] for s in (stepper, plain))
            assert found == wanted
            buffers = stepper._graphs.buffers
            assert buffers is not None and buffers.places >= 128 and (buffers.source_rows == 128) == (len(source) == 8)
