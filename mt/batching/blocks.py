"""Batches whose shapes come again.

On a CPU, oneDNN compiles a kernel for every shape of a product that it has not seen lately, which takes about as long as
a tenth of the product, and keeps what a thousand of them need. Packed batches hardly ever have the same number of rows
twice. Rounded up to whole blocks they do: on two cores a training step was a fifth faster, in half the memory.
"""

import torch
from torch import Tensor

from mt.batching.batch import Batch
from mt.nn.ragged import Ragged

ROWS, SENTENCES = 128, 32  # of a block
WORTH_IT = 1024  # target rows; below, a product takes less time than what is filled up


def fill_up(batch: Batch) -> Batch:
    """The batch with sentences of nothing behind its own, so that rows and sentences are whole blocks.

    Only `target_out` is as long as before: hidden rows beyond it predict nothing. On other devices than the CPU, and
    when it is small, the batch stays as it is.
    """
    source, target = batch.source_rows, batch.target_rows
    if batch.source.device.type != "cpu" or target.num_rows < WORTH_IT:
        return batch
    sides = (source, target)
    missing = [-rows.num_rows % ROWS for rows in sides]
    count = -source.num_sentences % SENTENCES
    # No sentence longer than the longest there is, which would widen attention's grid, and none without a row.
    while any(rows > count * side.max_length for rows, side in zip(missing, sides, strict=True)):
        count += SENTENCES
    missing = [rows + -(-max(0, count - rows) // ROWS) * ROWS for rows in missing]
    if any(rows > count * side.max_length for rows, side in zip(missing, sides, strict=True)):
        return batch  # sentences of a word or two: nothing fits both
    ids, rows = zip(
        *(_longer(*side, count, n) for side, n in zip(((batch.source, source), (batch.target_in, target)), missing)),
        strict=True,
    )
    return Batch(ids[0], rows[0], ids[1], batch.target_out, rows[1], batch.indices)


def _longer(ids: Tensor, rows: Ragged, count: int, more: int) -> tuple[Tensor, Ragged]:
    """`more` rows in `count` sentences behind those there are."""
    if not count:
        return ids, rows
    lengths = torch.full((count,), more // count)
    lengths[: more % count] += 1
    every = torch.cat([rows.lengths, lengths])
    longer = Ragged(every, num_rows=rows.num_rows + more, max_length=rows.max_length)
    return torch.cat([ids, ids.new_zeros(more)]), longer
