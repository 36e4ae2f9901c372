"""Diverse beam search: groups of beams, each penalised for the tokens of the groups before it.

At every step the groups choose one after the other, and a token with which earlier groups have continued n of their
beams costs a later group `n * diversity` (Hamming diversity; Vijayakumar et al. 2016, arXiv:1610.02424). The cost only
affects the comparison of a group's candidates: log-probabilities and scores are the model's own.
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
    """The best `size` continuations of each group by log-probability less cost; the first half can become beams.

    The groups of a sentence lie side by side: U = B * groups, R = U * W.
    """
    own = log_prob.unflatten(0, (-1, groups))  # [B, G, W]
    following = log_probs.view(*own.shape, -1)  # [B, G, W, V]
    counts = torch.zeros_like(following[:, 0, 0])  # [B, V]: the beams that continue with each token
    found = []
    for group in range(groups):
        log_probs = following[:, group]
        penalised = log_probs - diversity * counts[:, None]
        chosen = expand(own[:, group].contiguous(), penalised.flatten(0, 1), size)
        token_log_prob = log_probs.flatten(1).gather(1, chosen.beam * log_probs.shape[2] + chosen.token)
        alive = chosen.total > -torch.inf
        chosen.token_log_prob = token_log_prob.masked_fill(~alive, -torch.inf)
        chosen.total = (own[:, group].gather(1, chosen.beam) + token_log_prob).masked_fill(~alive, -torch.inf)
        is_open = alive & (chosen.token != eos)
        becomes_beam = is_open & (is_open.cumsum(dim=1) <= size // 2)
        counts = counts.scatter_add(1, chosen.token, becomes_beam.to(counts.dtype))
        found.append(chosen)
    columns = [[getattr(chosen, name) for chosen in found] for name in ("total", "beam", "token", "token_log_prob")]
    return Candidates(*(torch.stack(column, dim=1).flatten(0, 1) for column in columns))


def different(
    ranked: list[list[tuple[float, int, bool]]], paths: dict[int, list[int]], nbest: int
) -> list[tuple[float, int, bool]]:
    """The n-best list of a sentence: the best hypotheses of its groups, then the second of each, without duplicates.
    Finished ones come first, then by score.

    Args: ranked: (score, node, finished) by group; paths: the tokens that lead to each node.
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
