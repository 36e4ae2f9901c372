"""Choose the heads that give the best word links, by measurement and without gold links.

For two models of opposite directions, the heads are chosen whose links agree most (Chen et al. 2020, arXiv 2004.14837,
choose layers so). For a single model the criterion is regularity: good links join the same words again and again, in
text that the counts do not come from.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.alignment.heads import AlignmentHeads, first_most, head_mean
from mt.compute import ties

FEW_HEADS = 4  # up to here every set of heads is tried, 15 at most; with more, each alone and all together


@dataclass(frozen=True)
class Choice:
    """Heads and their score: `agreement` is the F1 of the links of two directions, `regularity` is in nats a link."""

    heads: AlignmentHeads
    criterion: str
    score: float
    pairs: int


def candidate_heads(layers: int, heads: int) -> list[AlignmentHeads]:
    """All that are tried, by layer, then heads, then row."""
    sizes = range(1, heads + 1) if heads <= FEW_HEADS else (1, heads)
    subsets = [some for size in sizes for some in combinations(range(heads), size)]
    return [
        AlignmentHeads(layer, some, shifted) for layer in range(layers) for some in subsets for shifted in (False, True)
    ]


def best_words(maps: Float[Tensor, "2 L H V W1"]) -> Int[Tensor, "R V"]:
    """The source word that each of the `candidate_heads` links to each target word; -1 for none."""
    both, layers, heads, targets, _ = maps.shape
    subsets = candidate_heads(1, heads)[::2]
    mean = torch.zeros(len(subsets), heads)
    for row, subset in enumerate(subsets):
        mean[row, list(subset.heads)] = 1 / len(subset.heads)
    mixed = torch.einsum("nh,xlhvw->lnxvw", mean, maps[..., :-1])
    if mixed.numel() == 0:
        return torch.full((layers * len(subsets) * both, targets), -1)
    most, where = first_most(mixed.flatten(0, 2))
    return where.masked_fill(most <= 0, -1)


def choose_by_agreement(forward: Sequence[Tensor], backward: Sequence[Tensor]) -> tuple[Choice, Choice]:
    """The heads of two directions whose links agree most, by F1 over all pairs.

    Args: forward, backward: `word_maps` of the same pairs; in `backward` source and target are exchanged.
    """
    ours, theirs = (candidate_heads(*maps[0].shape[1:3]) for maps in (forward, backward))
    common = torch.zeros(len(ours), len(theirs))
    counts = [torch.zeros(len(ours)), torch.zeros(len(theirs))]
    for f, b in zip(forward, backward, strict=True):
        words = torch.zeros(len(ours), f.shape[3], b.shape[3]), torch.zeros(len(theirs), f.shape[3], b.shape[3])
        _mark_links(words[0], best_words(f))
        _mark_links(words[1].transpose(1, 2), best_words(b))
        grids = [grid.flatten(1) for grid in words]
        common += grids[0] @ grids[1].t()
        counts = [total + grid.sum(1) for total, grid in zip(counts, grids, strict=True)]
    agreement = 2 * common / (counts[0][:, None] + counts[1]).clamp(min=1)
    row, column = divmod(int(agreement.argmax()), len(theirs))
    best, pairs = float(agreement.max()), len(forward)
    return Choice(ours[row], "agreement", best, pairs), Choice(theirs[column], "agreement", best, pairs)


def _mark_links(grid: Float[Tensor, "R V W"], best: Int[Tensor, "R V"]) -> None:
    """Write a one for each link."""
    if grid.numel():
        grid.scatter_(2, best.clamp(min=0)[..., None], (best >= 0).float()[..., None])


def choose_by_regularity(maps: Sequence[Tensor], words: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Choice:
    """The heads of one model whose links are the most regular.

    Args: words: source words and target words of each pair; case is ignored.
    """
    candidates = candidate_heads(*maps[0].shape[1:3])
    best = [best_words(m).tolist() for m in maps]
    lowered = [([word.lower() for word in source], [word.lower() for word in target]) for source, target in words]
    scores = [
        regularity([[(i, j) for j, i in enumerate(rows[n]) if i >= 0] for rows in best], lowered)
        for n in range(len(candidates))
    ]
    best = ties.first_best(scores, ties.FLOAT64)
    return Choice(candidates[best], "regularity", scores[best], len(maps))


def regularity(
    links: Sequence[Iterable[tuple[int, int]]], words: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> float:
    """Pointwise mutual information of linked words, in nats a link.

    Each half of the pairs is scored by the counts of the other half: links that always go to the full stop score zero,
    and random links score less than zero.
    """
    linked = [
        [(source[i], target[j]) for i, j in sorted(some)] for some, (source, target) in zip(links, words, strict=True)
    ]
    halves = linked[::2], linked[1::2]
    values = [*_information(*halves), *_information(*halves[::-1])]
    return math.fsum(values) / len(values) if values else -math.inf


def _information(counted: Iterable[list[tuple[str, str]]], scored: Iterable[list[tuple[str, str]]]) -> list[float]:
    """log p(target | source) / p(target) of each scored link.

    p(target | source) = (n(source, target) + p(target)) / (n(source) + 1), which is p(target) for an unseen source.
    """
    seen = list(chain.from_iterable(counted))
    pairs, sources, targets = Counter(seen), Counter(s for s, _ in seen), Counter(t for _, t in seen)
    values = []
    for source, target in chain.from_iterable(scored):
        prior = (targets[target] + 1) / (len(seen) + 1)
        values.append(math.log((pairs[source, target] + prior) / (sources[source] + 1) / prior))
    return values


def guess_heads(maps: Sequence[Tensor]) -> AlignmentHeads:
    """A guess from a few pairs: the head whose target words each attend to one source word, and to different ones.

    The score of a head is the mean of the greatest weights of its target words, times the share of target words whose
    greatest weight lies on a source word of their own. Means of heads are not tried, since they are never sharp.
    """
    _, layers, heads, _, _ = maps[0].shape
    candidates = [one for one in candidate_heads(layers, heads) if len(one.heads) == 1]
    scores = []
    for candidate in candidates:
        greatest, distinct, words = 0.0, 0, 0
        for weights in (head_mean(m, candidate)[:, :-1] for m in maps):
            if weights.numel():
                most, where = first_most(weights)
                greatest, distinct = greatest + float(most.sum()), distinct + len(where.unique())
                words += len(where)
        scores.append(greatest * distinct / max(1, words) ** 2)
    return candidates[ties.first_best(scores, ties.FLOAT32)]
