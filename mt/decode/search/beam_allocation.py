"""Dynamic beam allocation: which continuations a beam keeps when terms must appear.

The beam is divided by progress: hypotheses with equally many tokens of terms left to write (see `lexical.py`) compete
with each other and not with those that have come less far, which are always likelier (Post & Vilar 2018, "Fast
Lexically Constrained Decoding with Dynamic Beam Allocation", arXiv:1804.06609). The
best of every division is taken, then the second of every division, and so on until the beam is full, so unused places
go to the other divisions. Candidates are

    the best tokens of every hypothesis, as without constraints
    the tokens that begin or continue a term, however unlikely

A candidate whose remaining tokens do not fit within the maximum length is dropped. If the terms of a sentence cannot
fit from the start, nothing is dropped; the sentence does not end, and is returned unfinished.

A sentence without terms has one division, and is translated as by `candidates.expand`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.decode.search.candidates import Candidates, best_tokens, fill
from mt.decode.search.lexical import NONE, LexicalConstraints, Progress

MAX_LEFT = 1 << 12  # more tokens left count as this many
LAST = 1 << 40  # the position in the order of what is no candidate


def allocate_beam(
    log_prob: Float[Tensor, "B W"],
    log_probs: Float[Tensor, "R V"],
    size: int,
    *,
    constraints: LexicalConstraints,
    progress: Progress,
    limit: Int[Tensor, " B"],
    remaining: Int[Tensor, " B"],
    eos: int,
) -> tuple[Candidates, Progress]:
    """The first `size` continuations of each sentence in the order of `in_turn`, and their progress.

    Args: limit: the maximum length; remaining: of it after this step.
    """
    found = propose(log_prob, log_probs, size // 2 + 1, constraints.wanted(progress))
    ahead = constraints.follow(progress.pick(found.beam), found.token)
    ends = found.token == eos
    left = constraints.left(ahead).masked_fill(ends, 0)
    feasible = constraints.shortest.sum(1) + 1 <= limit
    too_long = feasible[:, None] & (left > 0) & (left + 1 > remaining[:, None])
    too_early = ends & ~constraints.may_end(progress).gather(1, found.beam)
    found.total = found.total.masked_fill(too_long | too_early, -torch.inf)
    places = in_turn(found.total, left)[:, :size]
    chosen, ahead = found.pick(places), ahead.pick(places)
    return fill(chosen, size - places.shape[1]), padded(ahead, size - places.shape[1])


def propose(
    log_prob: Float[Tensor, "B W"], log_probs: Float[Tensor, "R V"], num_each: int, wanted: Int[Tensor, "B W C"]
) -> Candidates:
    """The wanted tokens of every hypothesis and the best `num_each` of the others, by total."""
    num_beams = log_prob.shape[1]
    rows = wanted.flatten(0, 1)  # [B, W, C] -> [R, C]
    of_wanted = log_probs.gather(1, rows.clamp(min=0)).masked_fill(rows == NONE, -torch.inf)
    row, column = (rows != NONE).nonzero(as_tuple=True)
    log_probs[row, rows[row, column]] = -torch.inf
    of_best, ids = best_tokens(log_probs, min(num_each, log_probs.shape[1]))
    token_log_probs = torch.cat([of_best, of_wanted], dim=1)
    ids = torch.cat([ids, rows.clamp(min=0)], dim=1)
    totals = (log_prob.view(-1, 1) + token_log_probs).view(len(log_prob), -1)
    total, place = totals.sort(dim=1, descending=True, stable=True)
    return Candidates(
        total=total,
        beam=place // (ids.numel() // len(log_prob) // num_beams),
        token=ids.view(len(log_prob), -1).gather(1, place),
        token_log_prob=token_log_probs.view(len(log_prob), -1).gather(1, place),
    )


def in_turn(total: Float[Tensor, "B C"], left: Int[Tensor, "B C"]) -> Int[Tensor, "B C"]:
    """The order in which candidates, given best first, are taken: the best of each division, the second of each, ...

    Of those with the same rank, the one with the fewest tokens left comes first. Totals of minus infinity come last.
    """
    alive = total > -torch.inf
    same = (left[:, :, None] == left[:, None, :]) & alive[:, None, :]
    rank = same.tril(diagonal=-1).sum(2)
    turn = rank * (MAX_LEFT + 1) + left.clamp(max=MAX_LEFT)
    return turn.masked_fill(~alive, LAST).argsort(dim=1, stable=True)


def padded(progress: Progress, missing: int) -> Progress:
    """Add the progress of `missing` empty places."""
    if missing <= 0:
        return progress
    bits, met = progress.bits, progress.met
    return Progress(
        torch.cat([bits, bits[:, :1].expand(-1, missing, -1, -1)], dim=1),
        torch.cat([met, met[:, :1].expand(-1, missing, -1)], dim=1),
    )
