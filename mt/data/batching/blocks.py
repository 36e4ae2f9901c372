"""Batches padded to shapes that come again.

On a CPU, oneDNN compiles a kernel for every shape of a product that it has not seen lately, which takes about as long
as a tenth of the product, and keeps what a thousand of them need. Packed batches hardly ever have the same number of
rows twice. Rounded up to whole blocks they do: on two cores a training step was a fifth faster, in half the memory.

On a GPU a small model computes for less time than the host takes to launch its kernels. A CUDA graph of an update needs
a single launch, but has a fixed shape: `fill_to` gives all batches the same. See `mt.train.acceleration.cuda_graphs`.

Padding is whole sentences behind the batch's own, of token 0 or of zero frames, and takes no part in the loss.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from mt.data.batching.batch import Batch, cut_sorted
from mt.nn.ragged import Ragged

ROWS, SENTENCES = 128, 32  # of a block
WORTH_IT = 1024  # target rows; below, a product takes less time than what is filled up


def fill_up(batch: Batch) -> Batch:
    """The batch with padding, so that rows and sentences are whole blocks.

    Only `target_out` is as long as before: hidden rows beyond it predict nothing. On other devices than the CPU, and
    when it is small, the batch stays as it is.
    """
    source, target = batch.source.layout, batch.target_layout
    if batch.target_in.device.type != "cpu" or target.num_rows < WORTH_IT:
        return batch
    sides = (source, target)
    missing = [-layout.num_rows % ROWS for layout in sides]
    count = -source.num_sentences % SENTENCES
    # No sentence longer than the longest there is, which would widen attention's grid, and none without a row.
    while any(rows > count * side.max_length for rows, side in zip(missing, sides, strict=True)):
        count += SENTENCES
    missing = [rows + -(-max(0, count - rows) // ROWS) * ROWS for rows in missing]
    if any(rows > count * side.max_length for rows, side in zip(missing, sides, strict=True)):
        return batch  # sentences of a word or two: nothing fits both
    if not count:
        return batch
    source, target = (
        _longer(side, count, rows, max_length=side.max_length) for side, rows in zip(sides, missing, strict=True)
    )
    return _padded(batch, source, target)


@dataclass(frozen=True)
class Shape:
    """What a batch is padded to: rows of both sides, sentences, and the rows of the longest."""

    num_source_rows: int
    num_target_rows: int
    sentences: int
    width: int


def fill_to(batch: Batch, shape: Shape) -> Batch | None:
    """The batch with padding, so that rows, sentences and width are those of `shape`.

    As in `fill_up`, `target_out` is only as long as before, and hidden rows beyond it predict nothing. Works on any
    device, and waits for none.

    Returns: None where the batch does not fit: it is larger, or what is missing cannot be shared out among the missing
    sentences, each of which has at least one row and at most `shape.width` on either side.
    """
    sides = (batch.source.layout, batch.target_layout)
    count = shape.sentences - batch.target_layout.num_sentences
    wanted = (shape.num_source_rows, shape.num_target_rows)
    missing = [rows - side.num_rows for rows, side in zip(wanted, sides, strict=True)]
    fits = all(count <= more <= count * shape.width for more in missing)
    if count < 0 or not fits or max(side.max_length for side in sides) > shape.width:
        return None
    source, target = (
        _longer(side, count, rows, max_length=shape.width) for side, rows in zip(sides, missing, strict=True)
    )
    return _padded(batch, source, target)


def common_shape(src: NDArray[np.int64], tgt: NDArray[np.int64], budget: int) -> tuple[Shape, float]:
    """A shape for the batches of a corpus, and the share of them that fits it.

    The shortest sentences make the batch with the most. One of the longest has few: each sentence that it lacks is at
    least one row of padding, for which there must be space beside its own. A pool is cut elsewhere than the whole
    corpus here; a sixteenth more sentences make up for that.

    Args: src, tgt: rows of each sentence on each side, none over `budget`.
    """
    order = np.lexsort((src, tgt))  # as a pool is sorted
    src, tgt = src[order], tgt[order]
    ends = np.array(cut_sorted(src, tgt, budget))
    counts = np.diff(ends)
    sentences = -(-int(counts.max()) * 17 // (16 * SENTENCES)) * SENTENCES
    rows = -(-(budget + sentences) // ROWS) * ROWS
    shape = Shape(num_source_rows=rows, num_target_rows=rows, sentences=sentences, width=int(max(src.max(), tgt.max())))
    least = np.minimum(*(np.add.reduceat(side, ends[:-1]) for side in (src, tgt)))
    most = np.maximum(*(np.add.reduceat(side, ends[:-1]) for side in (src, tgt)))
    missing = sentences - counts
    fitting = (missing <= rows - most) & (rows - least <= missing * shape.width)
    return shape, float(fitting.mean())


def _longer(layout: Ragged, count: int, more: int, *, max_length: int) -> Ragged:
    """With `more` rows in `count` sentences behind those there are."""
    lengths = layout.lengths.new_full((count,), more // max(1, count))
    lengths[: more - count * (more // max(1, count))] += 1
    every = torch.cat([layout.lengths, lengths])
    return Ragged(every, num_rows=layout.num_rows + more, max_length=max_length)


def _padded(batch: Batch, source: Ragged, target: Ragged) -> Batch:
    """Args: source, target: layouts of the batch's two sides with more sentences."""
    zeros = batch.target_in.new_zeros(target.num_rows - batch.target_layout.num_rows)
    return replace(
        batch,
        source=batch.source.padded(source),
        target_in=torch.cat([batch.target_in, zeros]),
        target_layout=target,
    )
