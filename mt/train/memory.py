"""What fits the memory of a device: the largest batch before training, and smaller parts when it runs out during it.

No sentence is ever left out for want of memory, and no update changes: a batch's gradient is a sum over its sentences,
so two halves give what the whole would have given.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mt.batching import Batch, TokenizedCorpus, make_batch
from mt.config import BatchConfig
from mt.errors import ConfigError, MtError
from mt.log import logger
from mt.losses import Loss

MOMENTS = 2  # copies of all weights that AdamW will keep
UPDATES_AN_EPOCH = 50  # no budget is so large that an epoch has fewer
CPU_BUDGET = 4096  # a CPU gains nothing from larger batches: its products are as fast, and its caches no larger


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised this because a device, or the host, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def all_or_nothing(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """The gradients made inside are added to those there were; where the block fails, there are those there were."""
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


class Room:
    """How large a batch this device has been seen to take."""

    def __init__(self) -> None:
        self.too_many: int | None = None  # rows, of both sides, of the smallest batch that did not fit

    def run(self, batch: Batch, work: Callable[[Batch], Loss]) -> Loss:
        """`work` on the batch, or on its parts where the memory does not do; the sum of what it gives.

        Args: work: all or nothing: where it runs out of memory it leaves nothing behind.
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
            # Out of the handler, which holds on to every tensor of the attempt.
            self.too_many = source + target
            logger.warning(
                f"out of memory for a batch of {source:,} source and {target:,} target pieces: it is done in two "
                "halves, and so are all as large; a lower `batch.tokens` would be faster."
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        halves = batch.halves()
        if halves is None:
            raise MtError(
                f"the memory does not do for one pair of {source:,} source and {target:,} target pieces; lower "
                "`batch.max_length`, or take a smaller model."
            )
        first, second = (self.run(half, work) for half in halves)
        return Loss(first.smoothed + second.smoothed, first.nll + second.nll)


def largest_budget(fits: Callable[[int], bool], *, least: int, most: int) -> int:
    """The largest number from `least` to `most` that fits, to about an eighth; what fits has smaller ones that do.

    Raises: MtError: when `least` does not fit.
    """
    if not fits(least):
        raise MtError(
            f"the memory of the device does not do for a batch of {least:,} pieces a side (`batch.max_length`); lower "
            "that, or take a smaller model."
        )
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
    """What `batch.tokens=auto` comes to on the device of the parameters; on a CPU a number that uses its caches well.

    Args: attempt: forward and backward of a batch; sharded: whether the parameters are pieces.
    Raises: MtError: when the longest sentences do not fit; ConfigError: when it cannot be tried out.
    """
    device = parameters[0].device
    if device.type == "cpu":
        return max(CPU_BUDGET, section.max_length)
    if sharded:
        raise ConfigError(
            "`batch.tokens` is auto, which is found out by running out of memory; with `train.sharding=full` a process "
            "that does leaves the others waiting for it: set `batch.tokens` to a number."
        )
    src, tgt = corpus.source.lengths(), corpus.target.lengths() + 1
    longest, shortest = int(max(src.max(), tgt.max())), int(min(src.min(), tgt.min()))
    pieces = corpus.tokenizer.src_size, corpus.tokenizer.tgt_size

    def fits(budget: int) -> bool:
        batches = (b.to(device) for b in worst_batches(budget, shortest=shortest, longest=longest, pieces=pieces))
        return fits_memory(attempt, batches, parameters, copies=MOMENTS)

    return largest_budget(fits, least=longest, most=max(longest, corpus.num_target_rows // UPDATES_AN_EPOCH))


def worst_batches(budget: int, *, shortest: int, longest: int, pieces: tuple[int, int]) -> Iterator[Batch]:
    """Batches that fill the budget on both sides: with the longest sentences, and with as many as can be.

    Args: shortest, longest: rows of a sentence; pieces: sizes of the source and the target vocabulary.
    """
    for length in (longest, max(2, shortest)):
        count = max(1, budget // length)
        source, target = (torch.randint(size, (count, length)).tolist() for size in pieces)
        yield make_batch(source, [sentence[1:] for sentence in target], range(count), bos=0, eos=0)


def fits_memory(
    work: Callable[[Batch], object], batches: Iterator[Batch], parameters: Sequence[nn.Parameter], *, copies: int
) -> bool:
    """Whether `work` goes through for every batch beside `copies` of all weights: what an optimiser will keep."""
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
