"""Which layer, which heads, which rows give the best links: by measurement, and without gold ones.

Two models, one for each direction, judge each other: the readings are taken on which their links agree most (Chen et
al. 2020, arXiv 2004.14837, choose layers so). A model alone is judged by its own regularity: good links tie the same
words together in text that they were not counted on.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.alignment.heads import Reading, first_most
from mt.compute import ties

FEW_HEADS = 4  # up to here every set of heads is tried, 15 at most; with more, each alone and all together


@dataclass(frozen=True)
class Choice:
    """A reading, and how it was measured: `agreement` is the F1 of two directions' links, `regularity` is in nats."""

    reading: Reading
    criterion: str
    score: float
    pairs: int


def readings(layers: int, heads: int) -> list[Reading]:
    """All that are tried, by layer, then heads, then way of reading."""
    sizes = range(1, heads + 1) if heads <= FEW_HEADS else (1, heads)
    subsets = [some for size in sizes for some in combinations(range(heads), size)]
    return [Reading(layer, some, shifted) for layer in range(layers) for some in subsets for shifted in (False, True)]


def best_words(maps: Float[Tensor, "2 L H V W1"]) -> Int[Tensor, "R V"]:
    """The source word that each reading, in the order of `readings`, gives each target word; -1 where it gives none."""
    both, layers, heads, targets, _ = maps.shape
    subsets = readings(1, heads)[::2]
    mean = torch.zeros(len(subsets), heads)
    for row, reading in enumerate(subsets):
        mean[row, list(reading.heads)] = 1 / len(reading.heads)
    mixed = torch.einsum("nh,xlhvw->lnxvw", mean, maps[..., :-1])
    if mixed.numel() == 0:
        return torch.full((layers * len(subsets) * both, targets), -1)
    most, where = first_most(mixed.flatten(0, 2))
    return where.masked_fill(most <= 0, -1)


def choose_together(forward: Sequence[Tensor], backward: Sequence[Tensor]) -> tuple[Choice, Choice]:
    """The readings of two directions whose links agree most, by F1 over all pairs.

    Args: forward, backward: `word_maps` of the same pairs; `backward` has the pairs turned round.
    """
    ours, theirs = (readings(*maps[0].shape[1:3]) for maps in (forward, backward))
    common = torch.zeros(len(ours), len(theirs))
    counts = [torch.zeros(len(ours)), torch.zeros(len(theirs))]
    for f, b in zip(forward, backward, strict=True):
        words = torch.zeros(len(ours), f.shape[3], b.shape[3]), torch.zeros(len(theirs), f.shape[3], b.shape[3])
        _mark(words[0], best_words(f))
        _mark(words[1].transpose(1, 2), best_words(b))
        grids = [grid.flatten(1) for grid in words]
        common += grids[0] @ grids[1].t()
        counts = [total + grid.sum(1) for total, grid in zip(counts, grids, strict=True)]
    agreement = 2 * common / (counts[0][:, None] + counts[1]).clamp(min=1)
    mine, other = divmod(int(agreement.argmax()), len(theirs))
    best = float(agreement.max())
    return Choice(ours[mine], "agreement", best, len(forward)), Choice(theirs[other], "agreement", best, len(forward))


def _mark(grid: Float[Tensor, "R V W"], best: Int[Tensor, "R V"]) -> None:
    """Set a one where a reading links a target word."""
    if grid.numel():
        grid.scatter_(2, best.clamp(min=0)[..., None], (best >= 0).float()[..., None])


def choose_alone(maps: Sequence[Tensor], words: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Choice:
    """The most regular reading of one model. Args: words: of source and target of each pair; case does not count."""
    tried = readings(*maps[0].shape[1:3])
    best = [best_words(m).tolist() for m in maps]
    lowered = [([word.lower() for word in source], [word.lower() for word in target]) for source, target in words]
    scores = [
        regularity([[(i, j) for j, i in enumerate(rows[n]) if i >= 0] for rows in best], lowered)
        for n in range(len(tried))
    ]
    best = ties.first_best(scores, ties.FLOAT64)
    return Choice(tried[best], "regularity", scores[best], len(maps))


def regularity(
    links: Sequence[Iterable[tuple[int, int]]], words: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> float:
    """What a linked source word says about its target word, in nats a link: pointwise mutual information.

    Counts of one half of the pairs are asked about the links of the other, and the other way round: links that always
    rest on the full stop say nothing, and links drawn at random say less than nothing.
    """
    tied = [
        [(source[i], target[j]) for i, j in sorted(some)] for some, (source, target) in zip(links, words, strict=True)
    ]
    halves = tied[::2], tied[1::2]
    sums = [_information(*halves), _information(*halves[::-1])]
    total = sum(count for _, count in sums)
    return sum(value for value, _ in sums) / total if total else -math.inf


def _information(counted: Iterable[list[tuple[str, str]]], asked: Iterable[list[tuple[str, str]]]) -> tuple[float, int]:
    """Sum of log p(target | source) / p(target) over the links asked, and their number.

    p(target | source) = (n(source, target) + p(target)) / (n(source) + 1): a source word never seen says nothing.
    """
    seen = [tie for some in counted for tie in some]
    pairs, sources, targets = Counter(seen), Counter(s for s, _ in seen), Counter(t for _, t in seen)
    values = []
    for source, target in (tie for some in asked for tie in some):
        prior = (targets[target] + 1) / (len(seen) + 1)
        values.append(math.log((pairs[source, target] + prior) / (sources[source] + 1) / prior))
    return math.fsum(values), len(values)


def choose_by_shape(maps: Sequence[Tensor]) -> Reading:
    """A guess from a few pairs: the head whose target words are each sure of one source word, and not of the same one.

    The score of a head is the mean of its greatest weights, times the share of target words whose greatest weight lies
    where no other's does. Heads only, for means are never sharp.
    """
    _, layers, heads, _, _ = maps[0].shape
    scores = {}
    for reading in readings(layers, heads):
        if len(reading.heads) > 1 and heads > 1:
            continue
        sure, distinct, words = 0.0, 0, 0
        for m in maps:
            weights = m[int(reading.shifted), reading.layer, list(reading.heads)].mean(0)[:, :-1]
            if weights.numel():
                most, where = first_most(weights)
                sure, distinct, words = sure + float(most.sum()), distinct + len(where.unique()), words + len(where)
        scores[reading] = sure * distinct / max(1, words) ** 2
    return list(scores)[ties.first_best(list(scores.values()), ties.FLOAT32)]
