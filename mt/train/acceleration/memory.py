"""Memory of the device: finding the largest batch that fits, and splitting batches when memory runs out.

The gradient of a batch is a sum over its sentences, so two halves give the same update as the whole.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mt.config import BatchConfig
from mt.data.batching import Batch, TokenizedCorpus, make_batch
from mt.errors import ConfigError, MtError

logger = logging.getLogger("mt")
# What torch says where its error has no type of its own: of a host, of MPS, of libraries that allocate by themselves.
NO_MEMORY = ("can't allocate memory", "MPS backend out of memory", "CUDA error: out of memory")
MOMENTS = 2  # copies of all weights that AdamW keeps
MIN_UPDATES_PER_EPOCH = 50  # with the largest budget
CPU_BUDGET = 4096  # larger batches are no faster on a CPU
SMALLER = "lower `batch.max_length`, or take a smaller model, as in `model=small`."


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised this because the device or the host has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in NO_MEMORY)


@contextmanager
def all_or_nothing(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Gradients computed inside are added to the existing ones; if the block fails, those are restored."""
    held = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    try:
        yield
    except BaseException:
        for p, grad in zip(parameters, held, strict=True):
            p.grad = grad
        raise
    for p, grad in zip(parameters, held, strict=True):
        if grad is not None:
            p.grad = grad if p.grad is None else p.grad.add_(grad)


class BatchSplitter:
    """Splits batches that do not fit in memory, and remembers the size that was too large."""

    def __init__(self) -> None:
        self.too_many: int | None = None  # rows of both sides of the smallest batch that did not fit

    def run(self, batch: Batch, work: Callable[[Batch], Tensor]) -> Tensor:
        """The result of `work` on the batch, or the sum of its results on parts of the batch.

        Args: work: must have no effect where it runs out of memory.
        Raises: MtError: when a single sentence does not fit.
        """
        source, target = batch.source.layout.num_rows, batch.target_layout.num_rows
        known = self.too_many is not None and source + target >= self.too_many
        if not known or batch.source.layout.num_sentences == 1:
            try:
                return work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler, which keeps every tensor of the attempt alive.
            self.too_many = source + target
            logger.warning(
                f"out of memory for a batch of {source:,} source and {target:,} target tokens: batches of this size "
                "are computed in two halves; a lower `batch.tokens` would be faster."
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        halves = batch.halves()
        if halves is None:
            raise MtError(
                f"the memory is too small for one pair of {source:,} source and {target:,} target tokens.",
                hint=SMALLER,
            )
        first, second = (self.run(half, work) for half in halves)
        return first + second


def largest_budget(fits: Callable[[int], bool], *, least: int, most: int) -> int:
    """The largest number from `least` to `most` that fits, within about an eighth. `fits` must be monotonic.

    Raises: MtError: when `least` does not fit.
    """
    if not fits(least):
        raise MtError(f"the memory of the device is too small for a batch of {least:,} tokens a side.", hint=SMALLER)
    found = least
    while 2 * found <= most and fits(2 * found):
        found *= 2
    for part in (2, 4, 8):
        more = found + found // part
        if more <= most and fits(more):
            found = more
            break
    return found


def find_budget(
    attempt: Callable[[Batch], object],
    corpus: TokenizedCorpus,
    section: BatchConfig,
    parameters: Sequence[nn.Parameter],
    *,
    sharded: bool = False,
) -> int:
    """The budget of `batch.tokens=auto`: on a CPU a constant, elsewhere the largest that fits in memory.

    Args: attempt: forward and backward of a batch; sharded: whether the parameters are shards.
    Raises: MtError: when the longest sentences do not fit; ConfigError: for a sharded model, and for sources that are
    not text.
    """
    device = parameters[0].device
    if device.type == "cpu":
        return max(CPU_BUDGET, section.max_length)
    if sharded:
        raise ConfigError(
            "`batch.tokens` is auto, which is found by running out of memory, but with `train.sharding=full` the other "
            "processes would wait for one that does.",
            hint="set a number, as in `batch.tokens=4096`.",
        )
    if corpus.reader is not None:
        raise ConfigError(
            "`batch.tokens` is auto, which tries batches of text, but the sources are those of `data.inputs`.",
            hint="set a number, as in `batch.tokens=4096`.",
        )
    src, tgt = corpus.source.lengths(), corpus.target.lengths() + 1
    longest, shortest = int(max(src.max(), tgt.max())), int(min(src.min(), tgt.min()))
    vocabularies = corpus.tokenizer.src_size, corpus.tokenizer.tgt_size

    def fits(budget: int) -> bool:
        batches = worst_batches(budget, shortest=shortest, longest=longest, vocabularies=vocabularies)
        return fits_memory(attempt, (batch.to(device) for batch in batches), parameters, copies=MOMENTS)

    return largest_budget(fits, least=longest, most=max(longest, corpus.num_target_rows // MIN_UPDATES_PER_EPOCH))


def worst_batches(budget: int, *, shortest: int, longest: int, vocabularies: tuple[int, int]) -> Iterator[Batch]:
    """Batches of random ids that fill the budget on both sides: one of the longest sentences, one of the shortest.

    Args: shortest, longest: rows of a sentence; vocabularies: sizes of the source's and the target's.
    """
    for length in (longest, max(2, shortest)):
        count = max(1, budget // length)
        source, target = (torch.randint(size, (count, length)).tolist() for size in vocabularies)
        yield make_batch(source, [sentence[1:] for sentence in target], range(count), bos=0, eos=0)


def fits_memory(
    work: Callable[[Batch], object], batches: Iterator[Batch], parameters: Sequence[nn.Parameter], *, copies: int
) -> bool:
    """Whether `work` succeeds on every batch beside `copies` of all weights, as large as an optimiser's state."""
    kept: list[Tensor] = []
    try:
        kept += [torch.empty_like(p) for p in parameters for _ in range(copies)]
        for batch in batches:
            work(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        kept.clear()
        for p in parameters:
            p.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return True
