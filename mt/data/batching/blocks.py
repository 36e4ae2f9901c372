"""Padding of batches to shapes that recur.

On a CPU, oneDNN compiles a kernel for every new shape of a product, which takes about a tenth of the product's time,
and caches a thousand kernels with their memory. Packed batches hardly ever have the same number of rows twice, but
rounded up to whole blocks they do: on two cores a training step was a fifth faster, in half the memory.

On a GPU a small model computes for less time than the host takes to launch its kernels. A CUDA graph of an update needs
a single launch, but has a fixed shape: `fill_to` pads all batches to it. See `mt.train.acceleration.cuda_graphs`.

Padding is whole sentences after the batch's own, of token 0 or of zero frames, and is not part of the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray

from mt.data.batching.batch import Batch, cut_sorted
from mt.nn.ragged import Ragged

ROWS, SENTENCES = 128, 32  # of a block
WORTH_IT = 1024  # target rows; with fewer, padding costs more than it saves


def fill_up(batch: Batch) -> Batch:
    """The batch padded to whole blocks of rows and sentences. A small batch, or one on a GPU, stays as it is.

    `target_out` is not padded: the hidden rows after it predict nothing.
    """
    target = batch.target_layout
    if batch.target_in.device.type != "cpu" or target.num_rows < WORTH_IT:
        return batch
    sides = (*batch.source.layouts, target)
    missing = [-layout.num_rows % ROWS for layout in sides]
    count = -target.num_sentences % SENTENCES
    # A padding sentence has at least one row and is no longer than the longest sentence, for attention's grid.
    while any(rows > count * side.max_length for rows, side in zip(missing, sides, strict=True)):
        count += SENTENCES
    missing = [rows + -(-max(0, count - rows) // ROWS) * ROWS for rows in missing]
    if any(rows > count * side.max_length for rows, side in zip(missing, sides, strict=True)):
        return batch  # sentences of a word or two: no padding fits all sides
    if not count:
        return batch
    return _padded(batch, sides, count, missing, [side.max_length for side in sides])


@dataclass(frozen=True)
class Shape:
    """The padded shape of a batch. `width`: rows of the longest sentence."""

    num_source_rows: int
    num_target_rows: int
    sentences: int
    width: int


def fill_to(batch: Batch, shape: Shape) -> Batch | None:
    """The batch padded to `shape`, on any device, without synchronising. `target_out` is not padded, as in `fill_up`.

    Returns: None if the batch does not fit: it is larger, or the missing rows cannot be dealt to the missing sentences,
    each of which has 1 to `shape.width` rows on either side.
    """
    sides = (batch.source.layout, batch.target_layout)
    count = shape.sentences - batch.target_layout.num_sentences
    wanted = (shape.num_source_rows, shape.num_target_rows)
    missing = [rows - side.num_rows for rows, side in zip(wanted, sides, strict=True)]
    fits = all(count <= more <= count * shape.width for more in missing)
    if count < 0 or not fits or max(side.max_length for side in sides) > shape.width:
        return None
    return _padded(batch, sides, count, missing, [shape.width, shape.width])


def common_shape(src: NDArray[np.int64], tgt: NDArray[np.int64], budget: int) -> tuple[Shape, float]:
    """A shape for the batches of a corpus, and the share of them that fits it.

    The batch of the shortest sentences has the most of them. A batch of long sentences has few, and each missing one is
    at least one row of padding, so there must be more rows than the budget. The pools of a run are cut at other places
    than the whole corpus is here; a sixteenth more sentences allows for that.

    Args: src, tgt: rows of each sentence on each side, none over `budget`.
    """
    order = np.lexsort((src, tgt))  # sorted like a pool
    src, tgt = src[order], tgt[order]
    ends = np.array(cut_sorted(src, tgt, budget))
    counts = np.diff(ends)
    sentences = -(-int(counts.max()) * 17 // (16 * SENTENCES)) * SENTENCES
    rows = -(-(budget + sentences) // ROWS) * ROWS
    shape = Shape(num_source_rows=rows, num_target_rows=rows, sentences=sentences, width=int(max(src.max(), tgt.max())))
    sums = np.add.reduceat([src, tgt], ends[:-1], axis=1)  # rows of each batch on each side
    missing = sentences - counts
    fitting = (missing <= rows - sums.max(0)) & (rows - sums.min(0) <= missing * shape.width)
    return shape, float(fitting.mean())


def _longer(layout: Ragged, count: int, more: int, max_length: int) -> Ragged:
    """The layout with `more` rows in `count` sentences at its end."""
    least, rest = divmod(more, max(1, count))
    lengths = layout.lengths.new_full((count,), least)
    lengths[:rest] += 1
    return Ragged(torch.cat([layout.lengths, lengths]), num_rows=layout.num_rows + more, max_length=max_length)


def _padded(batch: Batch, sides: Sequence[Ragged], count: int, missing: Sequence[int], longest: Sequence[int]) -> Batch:
    """Args: sides: the layouts of each input and of the target, which `count` sentences with the `missing` rows follow;
    longest: rows of a sentence, for each side."""
    *sources, target = map(_longer, sides, repeat(count), missing, longest)
    target_in = torch.cat([batch.target_in, batch.target_in.new_zeros(missing[-1])])
    return replace(batch, source=batch.source.padded(sources), target_in=target_in, target_layout=target)
