"""Memory that runs out: smaller parts, the same update, and the largest budget that fits."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mt.config import BatchConfig
from mt.data.batching import make_batch
from mt.errors import ConfigError, MtError
from mt.train.acceleration.memory import (
    BatchSplitter,
    all_or_nothing,
    find_budget,
    fits_memory,
    is_out_of_memory,
    largest_budget,
    worst_batches,
)


def batch_of(*lengths):
    """A batch of sentences with so many rows on both sides."""
    return make_batch([[5] * n for n in lengths], [[6] * (n - 1) for n in lengths], range(len(lengths)), bos=1, eos=2)


def device_with(rows, seen):
    """Work that counts rows, and runs out of memory above so many."""

    def work(batch):
        count = batch.source.layout.num_rows + batch.target_layout.num_rows
        if count > rows:
            raise torch.OutOfMemoryError("out of memory")
        seen.append(batch.indices)
        return torch.tensor([float(batch.source.layout.num_rows), float(batch.target_layout.num_rows)])

    return work


@given(st.lists(st.integers(2, 9), min_size=1, max_size=12), st.integers(18, 80))
def test_every_sentence_is_computed_once_in_parts_that_fit(lengths, rows):
    seen = []
    sums = BatchSplitter().run(batch_of(*lengths), device_with(rows, seen))
    assert [i for part in seen for i in part] == list(range(len(lengths)))
    assert sums.tolist() == [sum(lengths), sum(lengths)]


def test_a_size_that_did_not_fit_is_not_tried_again(caplog):
    splitter, tried = BatchSplitter(), []
    work = device_with(20, [])

    def watched(batch):
        tried.append(batch.source.layout.num_rows)
        return work(batch)

    for _ in range(2):
        splitter.run(batch_of(5, 5, 5), watched)
    assert tried == [15, 5, 10, 5, 10]
    (warning,) = [r.message for r in caplog.records]
    assert warning == (
        "out of memory for a batch of 15 source and 15 target tokens: batches of this size are computed in "
        "two halves; a lower `batch.tokens` would be faster."
    )


def test_a_single_pair_that_does_not_fit_ends_the_run():
    said = r"the memory is too small for one pair of 50 source and 50 target tokens\. hint: lower"
    with pytest.raises(MtError, match=said):
        BatchSplitter().run(batch_of(50), device_with(20, []))


def test_other_errors_pass():
    def work(batch):
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        BatchSplitter().run(batch_of(3), work)
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."))
    assert is_out_of_memory(
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GiB, other allocations: 1 KiB")
    )
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))


def test_a_failed_attempt_leaves_the_gradients_as_they_were():
    weight, other = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    with pytest.raises(torch.OutOfMemoryError), all_or_nothing([weight, other]):
        (weight * other).sum().backward()
        raise torch.OutOfMemoryError("in the middle")
    assert (weight.grad.tolist(), other.grad) == ([1.0, 2.0], None)
    with all_or_nothing([weight, other]):
        (3 * weight).sum().backward()
    assert (weight.grad.tolist(), other.grad) == ([4.0, 5.0], None)


@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(0, 10**6))
def test_the_budget_fits_and_no_budget_an_eighth_larger_is_left(limit, least, more):
    most = least + more
    if least > limit:
        with pytest.raises(
            MtError, match=r"is too small for a batch of .* tokens a side\. hint: lower `batch.max_length`"
        ):
            largest_budget(lambda n: n <= limit, least=least, most=most)
        return
    found = largest_budget(lambda n: n <= limit, least=least, most=most)
    assert least <= found <= min(limit, most)
    assert 2 * found > min(limit, most)


def test_the_worst_batches_fill_the_budget_on_both_sides():
    longest, many = worst_batches(100, shortest=3, longest=25, vocabularies=(7, 9))
    assert longest.source.layout.lengths.tolist() == longest.target_layout.lengths.tolist() == [25] * 4
    assert many.source.layout.lengths.tolist() == many.target_layout.lengths.tolist() == [3] * 33
    assert (int(many.source.rows.max()) < 7, int(many.target_out.max()) < 9) == (True, True)


def test_memory_is_kept_for_the_optimiser_and_nothing_is_left_behind():
    weight = torch.nn.Parameter(torch.ones(3))

    def work(batch):
        weight.grad = torch.ones(3)
        if batch.source.layout.num_rows > 10:
            raise torch.OutOfMemoryError("out of memory")

    assert fits_memory(work, iter([batch_of(5), batch_of(5, 5)]), [weight], copies=2)
    assert not fits_memory(work, iter([batch_of(5), batch_of(5, 6)]), [weight], copies=2)
    assert weight.grad is None


def test_an_error_that_is_not_about_memory_passes_the_probe():
    def work(batch):
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        fits_memory(work, iter([batch_of(2)]), [], copies=0)


def test_on_a_cpu_auto_is_a_number_that_the_longest_sentence_fits():
    weight = [torch.nn.Parameter(torch.ones(1))]
    sections = [BatchConfig(tokens="auto", max_length=n) for n in (256, 9000)]
    assert [find_budget(lambda batch: None, None, section, weight) for section in sections] == [4096, 9000]


def test_sources_that_are_not_text_refuse_an_automatic_budget():
    weight = [torch.nn.Parameter(torch.ones(1, device="meta"))]
    corpus = SimpleNamespace(reader=object())
    said = r"^`batch\.tokens` is auto, which tries batches of text, but .*`data\.inputs`\. hint: set a number"
    with pytest.raises(ConfigError, match=said):
        find_budget(lambda batch: None, corpus, BatchConfig(tokens="auto"), weight)


def test_a_sharded_model_refuses_an_automatic_budget():
    weight = [torch.nn.Parameter(torch.ones(1, device="meta"))]
    with pytest.raises(ConfigError) as refused:
        find_budget(lambda batch: None, None, BatchConfig(tokens="auto"), weight, sharded=True)
    assert str(refused.value) == (
        "`batch.tokens` is auto, which is found by running out of memory, but with `train.sharding=full` the other "
        "processes would wait for one that does. hint: set a number, as in `batch.tokens=4096`."
    )
