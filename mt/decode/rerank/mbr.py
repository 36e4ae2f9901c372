"""Minimum-Bayes-risk decoding: choose the translation with the greatest expected utility.

Beam search finds the likeliest translation; this finds the one of least expected loss, with the model's own
translations as references (Kumar & Byrne 2004, N04-1022; Eikema & Aziz 2020, arXiv:2005.10283, on samples; Freitag et
al. 2023, arXiv:2305.09860, on the kind of samples).
"""

from collections.abc import Sequence

import torch

from mt.compute import ties
from mt.decode.rerank.utility import Utility
from mt.errors import check_texts


def mbr(candidates: Sequence[str], utility: Utility, weights: Sequence[float] | None = None) -> list[tuple[int, float]]:
    """(place, expected utility) of every candidate, best first, earlier ones first among equals.

    The expected utility of a candidate is the weighted mean of its utility against all candidates, itself included; a
    candidate that was drawn twice counts twice. Utilities that differ by less than a billionth of the highest, which is
    rounding, are equal and get the same value (`mt.compute.ties`).

    Args: weights: probabilities of the candidates up to a factor; None: uniform.
    """
    check_texts(candidates=candidates)
    if not candidates:
        return []
    known: dict[str, int] = {}
    texts = [known.setdefault(text, len(known)) for text in candidates]
    shares = torch.ones(len(candidates), dtype=torch.float64)
    if weights is not None:
        shares = torch.tensor(weights, dtype=torch.float64)
    of_references = torch.zeros(len(known), dtype=torch.float64).index_add_(0, torch.tensor(texts), shares)
    of_texts = utility(list(known)).double() @ of_references / of_references.sum()
    return ties.ranked(of_texts[texts].tolist(), ties.FLOAT64)


def shares_of(log_probs: Sequence[float]) -> list[float]:
    """Probabilities of translations, normalised to sum to one: weights for `mbr`.

    An n-best list needs them, since it holds each translation once, where samples repeat a likely one.
    """
    return torch.tensor(log_probs, dtype=torch.float64).softmax(0).tolist()
