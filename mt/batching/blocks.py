"""Batches whose shapes come again.

On a CPU, oneDNN compiles a kernel for every shape of a product that it has not seen lately, which takes about as long
as a tenth of the product, and keeps what a thousand of them need. Packed batches hardly ever have the same number of
rows twice. Rounded up to whole blocks they do: on two cores a training step was a fifth faster, in half the memory.

On a GPU a small model computes for less time than the host takes to launch its kernels. A recorded update needs a
single launch, but every shape in it is the recorded one: `fill_to` gives all batches the same. See `mt.train.graphs`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mt.batching.batch import Batch, cut_sorted
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
        *(
            _longer(*side, count, n)
            for side, n in zip(((batch.source, source), (batch.target_in, target)), missing, strict=True)
        ),
        strict=True,
    )
    return Batch(ids[0], rows[0], ids[1], batch.target_out, rows[1], batch.indices)


@dataclass(frozen=True)
class Shape:
    """What a batch is filled up to: rows of both sides, sentences, and the rows of the longest."""

    source_rows: int
    target_rows: int
    sentences: int
    width: int


def fill_to(batch: Batch, shape: Shape) -> Batch | None:
    """The batch with sentences of nothing behind its own, so that rows, sentences and width are those of `shape`.

    As in `fill_up`, `target_out` is only as long as before, and hidden rows beyond it predict nothing. Works on any
    device, and waits for none.

    Returns: None where the batch does not fit: it is larger, or what is missing cannot be shared out among the missing
    sentences, each of which has at least one row and at most `shape.width` on either side.
    """
    sides = (
        (batch.source, batch.source_rows, shape.source_rows),
        (batch.target_in, batch.target_rows, shape.target_rows),
    )
    count = shape.sentences - batch.source_rows.num_sentences
    missing = [wanted - rows.num_rows for _, rows, wanted in sides]
    fits = all(count <= more <= count * shape.width for more in missing)
    if count < 0 or not fits or max(rows.max_length for _, rows, _ in sides) > shape.width:
        return None
    (source, in_source), (target, in_target) = (
        _longer(ids, rows, count, more, max_length=shape.width)
        for (ids, rows, _), more in zip(sides, missing, strict=True)
    )
    return Batch(source, in_source, target, batch.target_out, in_target, batch.indices)


def common_shape(src: NDArray[np.int64], tgt: NDArray[np.int64], budget: int) -> tuple[Shape, float]:
    """A shape for the batches of a corpus, and the share of them that fits it.

    The shortest sentences make the batch with the most. One of the longest has few: each sentence that it lacks is at
    least one row of nothing, for which there must be room beside its own. A pool is cut elsewhere than the whole corpus
    here; a sixteenth more sentences make up for that.

    Args: src, tgt: rows of each sentence on each side, none over `budget`.
    """
    order = np.lexsort((src, tgt))  # as a pool is sorted
    src, tgt = src[order], tgt[order]
    ends = np.array(cut_sorted(src, tgt, budget))
    counts = np.diff(ends)
    sentences = -(-int(counts.max()) * 17 // (16 * SENTENCES)) * SENTENCES
    rows = -(-(budget + sentences) // ROWS) * ROWS
    shape = Shape(source_rows=rows, target_rows=rows, sentences=sentences, width=int(max(src.max(), tgt.max())))
    least = np.minimum(*(np.add.reduceat(side, ends[:-1]) for side in (src, tgt)))
    most = np.maximum(*(np.add.reduceat(side, ends[:-1]) for side in (src, tgt)))
    missing = sentences - counts
    fitting = (missing <= rows - most) & (rows - least <= missing * shape.width)
    return shape, float(fitting.mean())


def _longer(
    ids: Tensor, rows: Ragged, count: int, more: int, *, max_length: int | None = None
) -> tuple[Tensor, Ragged]:
    """`more` rows in `count` sentences behind those there are."""
    if not count and max_length is None:
        return ids, rows
    lengths = rows.lengths.new_full((count,), more // max(1, count))
    lengths[: more - count * (more // max(1, count))] += 1
    every = torch.cat([rows.lengths, lengths])
    longer = Ragged(every, num_rows=rows.num_rows + more, max_length=max_length or rows.max_length)
    return torch.cat([ids, ids.new_zeros(more)]), longer
