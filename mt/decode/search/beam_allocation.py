"""Which continuations a beam keeps when terms must appear: a place for every stage of their progress.

The beam is shared out among *banks*: hypotheses with equally many pieces left to write (see `lexical.py`) compete with
each other and not with those that have come less far, which are always likelier (Post & Vilar 2018, "Fast Lexically
Constrained Decoding with Dynamic Beam Allocation", arXiv:1804.06609). The best of every bank is taken, then the second
of every bank, and so on until the beam is full: banks of the same size, and what one cannot fill goes to the others.
Candidates are

    the best pieces of every hypothesis, as without terms
    the pieces that begin a term or go on with it, however unlikely

A candidate that would not have room for what is left, within the maximum length, is dropped. For a sentence whose terms
cannot fit from the start nothing is dropped; it does not end, and comes out unfinished.

A sentence without terms has one bank, and is translated as it is without this file.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.decode.search.candidates import Candidates, best_pieces, fill
from mt.decode.search.lexical import NONE, Progress, Terms

LONGEST_LEFT = 1 << 12  # banks with more pieces left count as one
NOWHERE = 1 << 40  # the place in the order of what is no candidate


def expand_banks(
    log_prob: Float[Tensor, "B W"],
    log_probs: Float[Tensor, "R V"],
    size: int,
    *,
    terms: Terms,
    progress: Progress,
    limit: Int[Tensor, " B"],
    room: Int[Tensor, " B"],
    eos: int,
) -> tuple[Candidates, Progress]:
    """The first `size` continuations of each sentence in the order of the banks, and their progress.

    Args: limit: the longest output; room: what is left of it after this step.
    """
    found = propose(log_prob, log_probs, size // 2 + 1, terms.wanted(progress))
    ahead = terms.follow(progress.pick(found.beam), found.token)
    ends = found.token == eos
    left = terms.left(ahead).masked_fill(ends, 0)
    fits = terms.shortest.sum(1) + 1 <= limit
    hopeless = fits[:, None] & (left > 0) & (left + 1 > room[:, None])
    too_early = ends & ~terms.may_end(progress).gather(1, found.beam)
    found.total = found.total.masked_fill(hopeless | too_early, -torch.inf)
    places = in_turn(found.total, left)[:, :size]
    chosen, ahead = found.pick(places), ahead.pick(places)
    return fill(chosen, size - places.shape[1]), padded(ahead, size - places.shape[1])


def propose(
    log_prob: Float[Tensor, "B W"], log_probs: Float[Tensor, "R V"], num_each: int, wanted: Int[Tensor, "B W C"]
) -> Candidates:
    """Of every hypothesis the best `num_each` pieces that it does not want, and those that it does, by total."""
    num_beams = log_prob.shape[1]
    rows = wanted.flatten(0, 1)  # [B, W, C] -> [R, C]
    their_pieces = log_probs.gather(1, rows.clamp(min=0)).masked_fill(rows == NONE, -torch.inf)
    row, column = (rows != NONE).nonzero(as_tuple=True)
    log_probs[row, rows[row, column]] = -torch.inf
    pieces, ids = best_pieces(log_probs, min(num_each, log_probs.shape[1]))
    pieces, ids = torch.cat([pieces, their_pieces], dim=1), torch.cat([ids, rows.clamp(min=0)], dim=1)
    total, place = (log_prob.view(-1, 1) + pieces).view(len(log_prob), -1).sort(dim=1, descending=True, stable=True)
    return Candidates(
        total=total,
        beam=place // (ids.numel() // len(log_prob) // num_beams),
        token=ids.view(len(log_prob), -1).gather(1, place),
        piece=pieces.view(len(log_prob), -1).gather(1, place),
    )


def in_turn(total: Float[Tensor, "B C"], left: Int[Tensor, "B C"]) -> Int[Tensor, "B C"]:
    """The order in which candidates, given best first, are taken: the best of each bank, the second of each, ...

    Of equals in their banks, the one that has come farthest is taken first. What has a total of minus infinity is last.
    """
    alive = total > -torch.inf
    same = (left[:, :, None] == left[:, None, :]) & alive[:, None, :]
    rank = same.tril(diagonal=-1).sum(2)
    turn = rank * (LONGEST_LEFT + 1) + left.clamp(max=LONGEST_LEFT)
    return turn.masked_fill(~alive, NOWHERE).argsort(dim=1, stable=True)


def padded(progress: Progress, missing: int) -> Progress:
    """With the progress of `missing` places that no hypothesis takes."""
    if missing <= 0:
        return progress
    bits, met = progress.bits, progress.met
    return Progress(
        torch.cat([bits, bits[:, :1].expand(-1, missing, -1, -1)], dim=1),
        torch.cat([met, met[:, :1].expand(-1, missing, -1)], dim=1),
    )
