"""Diverse beam search: groups of beams that keep out of each other's way.

At every step the groups choose one after the other, and a piece with which earlier groups have just gone on in n of
their beams costs a later group `n * diversity` (Hamming diversity; Vijayakumar et al. 2016, arXiv:1610.02424). The cost
is paid where a group compares its candidates, and forgotten after: log-probabilities and scores are the model's own.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mt.decode.search.candidates import Candidates, expand


def expand_groups(
    log_prob: Float[Tensor, "U W"],
    log_probs: Float[Tensor, "R V"],
    size: int,
    *,
    groups: int,
    diversity: float,
    eos: int,
) -> Candidates:
    """The best `size` continuations of each group, the first of which are to be beams, by log-probability less cost.

    The groups of a sentence lie side by side: U = B * groups, R = U * W.
    """
    own = log_prob.unflatten(0, (-1, groups))  # [B, G, W]
    following = log_probs.view(*own.shape, -1)  # [B, G, W, V]
    said = torch.zeros_like(following[:, 0, 0])  # [B, V]: in how many beams each piece has been chosen
    found = []
    for group in range(groups):
        theirs = following[:, group]
        costly = theirs - diversity * said[:, None]
        chosen = expand(own[:, group].contiguous(), costly.flatten(0, 1), size)
        piece = theirs.flatten(1).gather(1, chosen.beam * theirs.shape[2] + chosen.token)
        alive = chosen.total > -torch.inf
        chosen.piece = piece.masked_fill(~alive, -torch.inf)
        chosen.total = (own[:, group].gather(1, chosen.beam) + piece).masked_fill(~alive, -torch.inf)
        goes_on = alive & (chosen.token != eos)
        becomes_beam = goes_on & (goes_on.cumsum(dim=1) <= size // 2)
        said = said.scatter_add(1, chosen.token, becomes_beam.to(said.dtype))
        found.append(chosen)
    columns = [[getattr(chosen, name) for chosen in found] for name in ("total", "beam", "token", "piece")]
    return Candidates(*(torch.stack(column, dim=1).flatten(0, 1) for column in columns))


def different(
    ranked: list[list[tuple[float, int, bool]]], paths: dict[int, list[int]], nbest: int
) -> list[tuple[float, int, bool]]:
    """The n-best list of a sentence from those of its groups: the best of each group, then the second of each, none
    twice; finished ones first, and those by score.

    `ranked` holds (score, node, finished) by group, `paths` the pieces that lead to a node.
    """
    seen: set[tuple[tuple[int, ...], bool]] = set()
    taken: list[tuple[float, int, bool]] = []
    for rank in range(max(map(len, ranked), default=0)):
        for entries in ranked:
            if rank < len(entries) and len(taken) < nbest:
                key = (tuple(paths[entries[rank][1]]), entries[rank][2])
                if key not in seen:
                    seen.add(key)
                    taken.append(entries[rank])
    return sorted(taken, key=lambda entry: (not entry[2], -entry[0]))
