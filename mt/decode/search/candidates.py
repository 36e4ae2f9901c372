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

    Equal totals: the lower beam first, then the lower id.

    Only the best blocks of pieces are searched: a block whose highest total is beaten by `size` other blocks of the
    sentence holds none of the best. What is added to a whole row does not change the order within it, so totals are
    made for the peaks of the blocks and for what the best blocks hold, and never for all of [B, W * V].
    """
    num_sentences, num_beams = log_prob.shape
    num_pieces = log_probs.shape[1]
    num_blocks = num_pieces // BLOCK if num_beams * (num_pieces // BLOCK) > size else 0
    device = log_probs.device
    found, before = [], []  # places within the sentence, and the log-probabilities of the hypotheses they go on from
    if num_blocks:
        peaks = log_probs[:, : num_blocks * BLOCK].unflatten(1, (num_blocks, BLOCK)).amax(dim=2)
        peaks = (peaks.view(*log_prob.shape, -1) + log_prob[:, :, None]).flatten(1)
        best = in_order(peaks, torch.arange(peaks.shape[1], device=device).expand(peaks.shape), size)[1]
        beam = best // num_blocks
        starts = beam * num_pieces + best % num_blocks * BLOCK  # within the sentence
        found.append((starts[:, :, None] + torch.arange(BLOCK, device=device)).flatten(1))
        before.append(log_prob.gather(1, beam).repeat_interleave(BLOCK, dim=1))
    if num_blocks * BLOCK < num_pieces:  # what is left of each row
        rest = torch.arange(num_blocks * BLOCK, num_pieces, device=device)
        rows = torch.arange(num_beams, device=device)[:, None] * num_pieces + rest
        found.append(rows.flatten().expand(num_sentences, -1))
        before.append(log_prob.repeat_interleave(len(rest), dim=1))
    places = torch.cat(found, dim=1)
    totals = log_probs.view(num_sentences, -1).gather(1, places) + torch.cat(before, dim=1)
    total, place = in_order(totals, places, min(size, places.shape[1]))
    chosen = Candidates(
        total=total,
        beam=place // num_pieces,
        token=place % num_pieces,
        piece=log_probs.view(num_sentences, -1).gather(1, place),
    )
    return fill(chosen, size - place.shape[1])


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
    """The `size` highest of each row and their ids, best first, equal ones by lower id."""
    best = expand(log_probs.new_zeros(len(log_probs), 1), log_probs, size)
    return best.piece, best.token


def best_piece(log_probs: Float[Tensor, "R V"]) -> tuple[Float[Tensor, " R"], Int[Tensor, " R"]]:
    """The highest of each row and its id, of equal ones the lowest.

    On the CPU a maximum with its place takes ten times as long as one without: it is asked of the peaks of blocks and
    of one block of each row.
    """
    num_pieces = log_probs.shape[1]
    num_blocks = num_pieces // BLOCK
    if num_blocks < 2 or log_probs.device.type != "cpu":
        return log_probs.max(dim=1)
    blocks = log_probs[:, : num_blocks * BLOCK].unflatten(1, (num_blocks, BLOCK))
    block = blocks.amax(dim=2).argmax(dim=1)
    piece, token = blocks[torch.arange(len(block)), block].max(dim=1)
    token = block * BLOCK + token
    if num_pieces % BLOCK:
        last, place = log_probs[:, num_blocks * BLOCK :].max(dim=1)
        token = torch.where(last > piece, num_blocks * BLOCK + place, token)
        piece = torch.maximum(piece, last)
    return piece, token


def in_order(
    values: Float[Tensor, "R N"], ids: Int[Tensor, "R N"], size: int
) -> tuple[Float[Tensor, "R C"], Int[Tensor, "R C"]]:
    """The `size` highest values and their ids, equal values by lower id.

    `torch.topk` alone leaves the order of equals open (four of a row of zeros: 1 3 0 2 on CPU, and others for another
    width), and search must not depend on how many rows share a batch. The values are therefore joined with their ids
    into distinct keys.
    """
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
