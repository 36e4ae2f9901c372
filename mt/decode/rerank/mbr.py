"""Minimum-Bayes-risk decoding: of some translations the one that is most like all of them.

Beam search looks for the likeliest translation; this looks for the one of least expected loss, where the model's own
translations stand in for the references that nobody has (Kumar & Byrne 2004, N04-1022; Eikema & Aziz 2020,
arXiv:2005.10283, on samples; Freitag et al. 2023, arXiv:2305.09860, on which samples).
"""

from collections.abc import Sequence

import torch

from mt.compute import ties
from mt.decode.rerank.utility import Utility


def mbr(candidates: Sequence[str], utility: Utility, weights: Sequence[float] | None = None) -> list[tuple[int, float]]:
    """(place, expected utility) of every candidate, best first, earlier ones first among equals.

    The expected utility of a candidate is the weighted mean of its utility against all candidates, itself included. A
    candidate that was drawn twice counts twice. `weights` are how likely each is, up to a factor; None: equally.
    Utilities that differ by rounding alone, less than a billionth of the highest, are equal (`mt.compute.ties`), and
    one number is told for them.
    """
    if not candidates:
        return []
    known: dict[str, int] = {}
    texts = [known.setdefault(text, len(known)) for text in candidates]
    shares = torch.ones(len(candidates), dtype=torch.float64)
    if weights is not None:
        shares = torch.tensor(weights, dtype=torch.float64)
    together = torch.zeros(len(known), dtype=torch.float64).index_add_(0, torch.tensor(texts), shares)
    of_texts = utility(list(known)).double() @ together / together.sum()
    level = ties.levelled(of_texts.tolist(), ties.FLOAT64)
    expected = [level[text] for text in texts]
    order = sorted(range(len(expected)), key=lambda place: -expected[place])
    return [(place, expected[place]) for place in order]


def shares_of(log_probs: Sequence[float]) -> list[float]:
    """How likely each of some translations is, when it must be one of them: weights for `mbr`, which sum to one.

    The n-best list of a beam needs them: it holds each translation once, where samples repeat a likely one.
    """
    return torch.tensor(log_probs, dtype=torch.float64).softmax(0).tolist()
