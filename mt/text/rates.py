"""Scores beside BLEU as metrics of sacreBLEU's kind: error rates, ROUGE and exact match.

sacreBLEU's base class resamples, tests pairs of systems and writes signatures, so these scores have the intervals and
p-values of BLEU. Of several references each line counts the one that suits it best.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import regex
from sacrebleu.metrics.base import Metric, Score, Signature
from sacrebleu.utils import sum_of_lists

import mt
from mt.text.ter import edit_distance
from mt.text.words import UNSPACED

# One character of a script without spaces, or a run of other letters, marks and digits. On ASCII text these are the
# words of Lin's ROUGE 1.5.5.
SUMMARY_WORD = regex.compile(rf"{UNSPACED}|[[\p{{L}}\p{{M}}\p{{N}}]--{UNSPACED}]+", regex.VERSION1)


class _LineMetric(Metric):
    """A metric whose corpus score is one sum over the lines divided by another, in per cent."""

    name: str
    how: dict[str, str]  # what the signature says beside references, resamples and version
    best: Any = max  # chooses the reference that counts

    def _line(self, hypothesis: str, reference: str) -> tuple[float, float]:
        """The two sums' parts of a line."""
        raise NotImplementedError

    def get_signature(self) -> Any:
        signature = Signature({**self.__dict__})
        signature.info |= {**self.how, "version": f"mt-{mt.__version__}"}
        return signature

    def _preprocess_segment(self, sent: str) -> str:
        return " ".join(sent.split())

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        found = [self._line(hypothesis, reference) for reference in ref_kwargs["references"]]
        return [float(part) for part in self.best(found, key=_ratio)]

    def _aggregate_and_compute(self, stats: list[list[Any]]) -> Score:
        return self._compute_score_from_stats(sum_of_lists(stats))

    def _compute_score_from_stats(self, stats: Sequence[Any]) -> Score:
        return Score(self.name, 100 * float(_ratio((stats[0], stats[1]))))


class ErrorRate(_LineMetric):
    """Edits (Levenshtein 1966) per word or per character of the references; spaces count as characters.

    Case and punctuation count, as in jiwer. Of several references the closest one counts.
    """

    best = min

    def __init__(self, by_character: bool) -> None:
        super().__init__()
        self.by_character = by_character
        self.name = "CER" if by_character else "WER"
        self.how = {"case": "mixed", "tok": "char" if by_character else "none"}

    def _line(self, hypothesis: str, reference: str) -> tuple[float, float]:
        if self.by_character:
            return edit_distance(list(hypothesis), list(reference)), len(reference)
        return edit_distance(hypothesis.split(), reference.split()), len(reference.split())


class Exact(_LineMetric):
    """The share of lines that equal a reference; runs of white space are equal, letters of another case are not."""

    name, how = "exact", {"case": "mixed"}

    def _line(self, hypothesis: str, reference: str) -> tuple[float, float]:
        return hypothesis == reference, 1


class Rouge(_LineMetric):
    """ROUGE (Lin 2004): the mean over the lines of the F1 of common words, pairs of words, or the longest common
    subsequence. Case is ignored, words are not stemmed. Of several references the best one counts.
    """

    def __init__(self, kind: str) -> None:
        """Args: kind: "1", "2" or "L"."""
        super().__init__()
        self.kind = kind
        self.name = f"ROUGE-{kind}"
        self.how = {"case": "lc", "tok": "letters", "stem": "no"}

    def _preprocess_segment(self, sent: str) -> str:
        return " ".join(SUMMARY_WORD.findall(sent.lower()))

    def _line(self, hypothesis: str, reference: str) -> tuple[float, float]:
        words, wanted = hypothesis.split(), reference.split()
        if self.kind == "L":
            common = common_subsequence(words, wanted)
        else:
            words, wanted = ngrams(words, int(self.kind)), ngrams(wanted, int(self.kind))
            common = (Counter(words) & Counter(wanted)).total()
        return _ratio((2 * common, len(words) + len(wanted))) if common else 0.0, 1


def ngrams(words: Sequence[str], order: int) -> list[str]:
    """Every run of `order` words, in order."""
    return [" ".join(words[i : i + order]) for i in range(len(words) - order + 1)]


def common_subsequence(words: Sequence[str], others: Sequence[str]) -> int:
    """The length of the longest common subsequence, bit by bit in whole numbers (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for i, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(words)) - 1
    row = full  # a bit is 0 where the subsequence becomes longer
    for word in others:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & full
    return len(words) - row.bit_count()


def _ratio(parts: tuple[float, float]) -> float:
    """One part over the other. Anything over nothing is 1, as an insertion into an empty line in sacreBLEU's TER."""
    count, total = parts
    return count / total if total else float(count > 0)
