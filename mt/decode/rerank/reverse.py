"""Choosing among translations with a second model that translates back."""

from collections.abc import Sequence
from dataclasses import replace

from mt.compute import ties
from mt.decode.rerank.scorer import PairScore, Scorer
from mt.decode.translator import Translation
from mt.log import logger


def rerank(
    sources: Sequence[str], lists: Sequence[list[Translation]], reverse: Scorer, *, weight: float
) -> list[list[Translation]]:
    """The n-best lists ordered anew, best first, earlier ones first among equals (`mt.compute.ties`), with new scores:

        (1 - weight) * mean log p(piece of the translation | source)
            + weight * mean log p(piece of the source | translation)

    Means are per piece, end marks counted; the first is as search found it, the second as `reverse` sees it, which
    translates the other way (the noisy channel without its language model; Li et al. 2016, arXiv:1601.00372, with a
    sum). A list with a translation that is too long for `reverse`, or whose source is, stays as it is, with a warning.
    """
    told = [(i, t) for i, translations in enumerate(lists) if sources[i].strip() for t in translations]
    scores = iter(reverse.score_all([t.text for _, t in told], [sources[i] for i, _ in told]))
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
        level = ties.levelled(scored, ties.FLOAT32)
        order = sorted(range(len(level)), key=lambda place: -level[place])
        results.append([replace(translations[place], score=level[place]) for place in order])
    return results


def mean(translation: Translation) -> float:
    """Log-probability per piece; 0 for a translation without any."""
    return translation.log_prob / max(1, len(translation.piece_log_probs))
