"""TER with a bound on its work, through sacreBLEU.

The search for shifts tries up to 1,000 of them for each line, each with an edit distance. A line of 400 words that has
little in common with its reference takes 10 seconds, and a test set of a model that has learnt nothing takes hours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics.lib_ter import _MAX_SHIFT_CANDIDATES, BeamEditDistance, _shift
from sacrebleu.metrics.ter import TER

from mt.text.words import reading_words

LONGEST = 200  # words of a line, above which no shifts are searched
WORK = 6_000_000  # shifts tried times words of their lines; about 100 s of one core


class BoundedTER(TER):
    """TER that searches no shifts in long lines, nor after `WORK`: their edits are the plain edit distance.

    References written without spaces are compared by characters (`tok:char` in the signature): a sentence would be one
    word, and one wrong character an error of 100 %.
    """

    def __init__(self, by_character: bool) -> None:
        super().__init__()
        self.by_character = by_character
        self.work = self.unshifted = 0
        if by_character:
            self.tokenizer_signature = "char"

    def note(self) -> str:
        """What is special about the last score, in words; empty: nothing."""
        found = ["on characters, because the references have no spaces between words"] if self.by_character else []
        if self.unshifted:
            lines = "1 line was" if self.unshifted == 1 else f"{self.unshifted:,} lines were"
            found.append(f"{lines} scored without shifts, which would take too long, so TER may be too high")
        return "; ".join(found)

    def get_signature(self) -> Any:
        signature = super().get_signature()
        signature.info["tok"] = "char" if self.by_character else "tercom"
        return signature

    def _preprocess_segment(self, sent: str) -> str:
        if not self.by_character:
            return super()._preprocess_segment(sent)
        text = sent.lower()
        return " ".join(text[begin:end] for begin, end in reading_words(text))

    def _extract_corpus_statistics(self, hypotheses: Sequence[str], references: Any) -> Any:
        self.work = self.unshifted = 0
        return super()._extract_corpus_statistics(hypotheses, references)

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        words, references = hypothesis.split(), ref_kwargs["ref_words"]
        length = sum(map(len, references)) / len(references)  # as sacreBLEU
        return [min(self._errors(words, reference) for reference in references), length]

    def _errors(self, words: list[str], reference: list[str]) -> int:
        if not reference or not words or words == reference:
            return abs(len(words) - len(reference))
        if max(len(words), len(reference)) > LONGEST or self.work >= WORK:
            self.unshifted += 1
            return edit_distance(words, reference)
        return self._edits(words, reference)

    def _edits(self, words: list[str], reference: list[str]) -> int:
        """Shifts and edits. As `translation_edit_rate` of sacreBLEU, but the work is counted."""
        distance, shifts, tried = BeamEditDistance(reference), 0, 0
        while True:
            gain, shifted, tried = _shift(words, reference, distance, tried)
            if gain <= 0 or tried >= _MAX_SHIFT_CANDIDATES:
                break
            words, shifts = shifted, shifts + 1
        self.work += tried * len(words)
        return shifts + distance(words)[0]


def edit_distance(words: Sequence[str], reference: Sequence[str]) -> int:
    """The number of words to insert, delete and replace (Levenshtein 1966). Memory grows with the longer line only."""
    numbers = {word: number for number, word in enumerate({*words, *reference})}
    wanted = np.array([numbers[word] for word in reference])
    places = np.arange(len(reference) + 1)
    row = places.copy()
    for word in words:
        following = row + 1  # the word is inserted
        following[1:] = np.minimum(following[1:], row[:-1] + (wanted != numbers[word]))
        row = np.minimum.accumulate(following - places) + places  # words of the reference are missing
    return int(row[-1])
