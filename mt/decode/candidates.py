"""From log-probabilities to the best continuations: the part of search that looks at every piece."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 64  # measured on CPU at V = 8000 and 32000: 16 takes over twice as long, 32 a fifth longer


@dataclass(slots=True)
class Candidates:
    """The best C continuations of each sentence, best first. Minus infinity marks a place that nothing fills."""

    total: Float[Tensor, "B C"]  # log-probability of the whole hypothesis
    beam: Int[Tensor, "B C"]  # which of the sentence's beams it continues
    token: Int[Tensor, "B C"]
    piece: Float[Tensor, "B C"]  # log-probability of the token alone

    def pick(self, places: Int[Tensor, "B C2"]) -> "Candidates":
        """The candidates at these places."""
        columns = (self.total, self.beam, self.token, self.piece)
        return Candidates(*(column.gather(1, places) for column in columns))


def expand(log_prob: Float[Tensor, "B W"], log_probs: Float[Tensor, "R V"], size: int) -> Candidates:
    """The best `size` of all continuations of a sentence's beams.

    Each row proposes its own best `size` pieces, and these few compete: the sum over all of [B, W * V] is never made.
    Equal totals: the lower beam first, then the better piece, then the lower id.
    """
    num_sentences, num_beams = log_prob.shape
    pieces, ids = best_pieces(log_probs, min(size, log_probs.shape[1]))
    num_each = pieces.shape[1]
    totals = log_prob.view(-1, 1) + pieces
    total, place = totals.view(num_sentences, -1).sort(dim=1, descending=True, stable=True)
    total, place = total[:, :size], place[:, :size]
    found = Candidates(
        total=total,
        beam=place // num_each,
        token=ids.view(num_sentences, -1).gather(1, place),
        piece=pieces.view(num_sentences, -1).gather(1, place),
    )
    return fill(found, size - num_beams * num_each)


def fill(found: Candidates, missing: int) -> Candidates:
    """Add `missing` places that no hypothesis takes (a first step over a vocabulary smaller than the beam)."""
    if missing <= 0:
        return found
    return Candidates(
        total=F.pad(found.total, (0, missing), value=-torch.inf),
        beam=F.pad(found.beam, (0, missing)),
        token=F.pad(found.token, (0, missing)),
        piece=F.pad(found.piece, (0, missing), value=-torch.inf),
    )


def best_pieces(log_probs: Float[Tensor, "R V"], size: int) -> tuple[Float[Tensor, "R C"], Int[Tensor, "R C"]]:
    """The `size` highest of each row and their ids, best first, equal ones by lower id.

    `torch.topk` alone leaves the order of equals open (four of a row of zeros: 1 3 0 2 on CPU, and others for another
    width), and search must not depend on how many rows share a batch. The values are therefore joined with their ids
    into distinct keys. Only the rows' best blocks are searched: a block whose highest is beaten by `size` other blocks
    holds none of the best. With that the exact order costs less than a plain `topk` of the row.
    """
    num_pieces = log_probs.shape[1]
    num_blocks = num_pieces // BLOCK
    if num_blocks <= size:
        ids = torch.arange(num_pieces, device=log_probs.device).expand(log_probs.shape)
        return in_order(log_probs, ids, size)
    blocks = log_probs[:, : num_blocks * BLOCK].unflatten(1, (num_blocks, BLOCK))
    peaks = blocks.amax(dim=2)
    highest, chosen = in_order(peaks, torch.arange(num_blocks, device=peaks.device).expand(peaks.shape), size)
    inside = torch.arange(BLOCK, device=log_probs.device)
    starts = torch.arange(len(chosen), device=chosen.device)[:, None] * num_pieces + chosen * BLOCK
    windows = log_probs.reshape(-1).unfold(0, BLOCK, 1)  # every run of BLOCK numbers; a view
    values = windows.index_select(0, starts.flatten()).view(len(chosen), -1)  # [R * C, BLOCK] -> [R, C * BLOCK]
    ids = (chosen[:, :, None] * BLOCK + inside).flatten(1)
    if num_pieces % BLOCK:
        start = num_blocks * BLOCK
        rest = torch.arange(start, num_pieces, device=log_probs.device)
        values = torch.cat([values, log_probs[:, start:]], dim=1)
        ids = torch.cat([ids, rest.expand(len(ids), -1)], dim=1)
    if log_probs.device.type == "cpu":  # elsewhere the number of those left would have to be waited for
        values, ids = at_least(values, ids, highest[:, -1:], size)
    return in_order(values, ids, size)


def at_least(
    values: Float[Tensor, "R N"], ids: Int[Tensor, "R N"], bound: Float[Tensor, "R 1"], size: int
) -> tuple[Float[Tensor, "R M"], Int[Tensor, "R M"]]:
    """What reaches the bound of its row, moved together; the rest is minus infinity. At least `size` columns.

    `size` blocks have a peak of at least the lowest of theirs, so nothing below that is among the best; what is left is
    ten or a dozen numbers of several hundred.
    """
    kept = values >= bound
    counts = kept.sum(dim=1)
    rows, columns = kept.nonzero().unbind(1)
    places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    shape = (len(values), max(size, int(counts.max())))
    close_values, close_ids = values.new_full(shape, -torch.inf), ids.new_zeros(shape)
    close_values[rows, places] = values[rows, columns]
    close_ids[rows, places] = ids[rows, columns]
    return close_values, close_ids


def in_order(
    values: Float[Tensor, "R N"], ids: Int[Tensor, "R N"], size: int
) -> tuple[Float[Tensor, "R C"], Int[Tensor, "R C"]]:
    """The `size` highest values and their ids, equal values by lower id."""
    places = sort_keys(values, ids).topk(size, dim=1).indices
    return values.gather(1, places), ids.gather(1, places)


def sort_keys(values: Float[Tensor, "R N"], ids: Int[Tensor, "R N"]) -> Int[Tensor, "R N"]:
    """Integers in the order of (value, then lower id): the bits of the float above, the id below.

    The bits of a float32 read as an integer rise with the float when it is positive and fall when it is negative;
    turning over all but the sign of the negative ones makes them rise everywhere.
    """
    bits = values.contiguous().view(torch.int32)
    rising = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (rising.long() << 32) - ids
