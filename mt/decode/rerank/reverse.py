"""Rerank translations with a model of the reverse direction."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from mt.compute import ties
from mt.decode.rerank.scorer import PairScore, Scorer
from mt.decode.translation import Translation, check_found

logger = logging.getLogger("mt")


def rerank(
    sources: Sequence[str], lists: Sequence[list[Translation]], reverse: Scorer, *, weight: float
) -> list[list[Translation]]:
    """The n-best lists in a new order, best first, earlier ones first among equals (`mt.compute.ties`), with scores:

        (1 - weight) * mean log p(token of the translation | source)
            + weight * mean log p(token of the source | translation)

    Means are per token with eos; the first is that of the search, the second is computed by `reverse`, a model of the
    other direction (the noisy channel without its language model; Li et al. 2016, arXiv:1601.00372, with a sum). A list
    keeps its order, with a warning, if its source or one of its translations is too long for `reverse`.
    """
    check_found(lists, sources, names=("lists", "sources"))
    pairs = [(i, t) for i, translations in enumerate(lists) if sources[i].strip() for t in translations]
    scores = iter(reverse.score_all([t.text for _, t in pairs], [sources[i] for i, _ in pairs]))
    results = []
    for number, (source, translations) in enumerate(zip(sources, lists, strict=True), 1):
        back = [next(scores) for _ in translations] if source.strip() else []
        if problem := next((score for score in back if isinstance(score, str)), None):
            logger.warning(f"input {number:,} is not reranked: with a translation it {problem}.")
        if problem or not back:
            results.append(translations)
            continue
        scored = [
            (1 - weight) * mean(t) + weight * score.mean
            for t, score in zip(translations, back, strict=True)
            if isinstance(score, PairScore)
        ]
        ranked = ties.ranked(scored, ties.FLOAT32)
        results.append([replace(translations[place], score=score) for place, score in ranked])
    return results


def mean(translation: Translation) -> float:
    """Log-probability per token; 0 for an empty translation."""
    return translation.log_prob / max(1, len(translation.piece_log_probs))
