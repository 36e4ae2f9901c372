"""Score given translations: their log-probabilities by a teacher-forced pass, without search."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mt.decode.translator import Translator
from mt.errors import DataError, check_texts
from mt.nn.forced import force_batch
from mt.nn.ragged import cut


@dataclass(frozen=True)
class PairScore:
    """log p(target | source) in nats, in total and by piece."""

    log_prob: float
    pieces: list[str]
    piece_log_probs: list[float]  # one more than `pieces`, for eos

    @property
    def mean(self) -> float:
        """Per token, with eos."""
        return self.log_prob / len(self.piece_log_probs)


class Scorer:
    """Scores pairs with a translator's model. Texts are tokenized as for training; a translation that search wrote in
    the same tokens has the score of the search."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[PairScore]:
        """Raises: DataError: for a pair that is too long for the model; see `score_all`."""
        found = self.score_all(sources, targets)
        for number, score in enumerate(found, 1):
            if isinstance(score, str):
                raise DataError(f"pair {number:,} {score}.")
        return [score for score in found if not isinstance(score, str)]

    def score_all(
        self, sources: Sequence[str], targets: Sequence[str], names: Sequence[object] = ()
    ) -> list[PairScore | str]:
        """The score of each pair, or the fault of a pair that is too long for the model.

        Input that is too long for translation is split; a pair cannot be, since it is not known which part of one side
        translates which part of the other.

        Args: names: of the pairs, for an error in a row of a table. Raises: ConfigError: for no lists of texts.
        """
        check_texts(sources=sources, targets=targets)
        tokenizer, most = self.translator.tokenizer, self.translator.max_length
        source = self.translator.encode_sources(sources, names)
        target = tokenizer.encode_target(list(targets))
        sizes = [len(ids) for ids in source], [len(ids) + 1 for ids in target]
        unit = "" if self.translator.reader is None else " rows"
        found: list[PairScore | str] = [
            f"has {s:,}{unit} and {t:,} tokens, but the model takes at most {most:,} a side" if max(s, t) > most else ""
            for s, t in zip(*sizes, strict=True)
        ]
        order = sorted((i for i, problem in enumerate(found) if not problem), key=lambda i: (sizes[1][i], sizes[0][i]))
        stepper = self.translator.stepper
        with torch.inference_mode(), stepper.prepared() as model:
            for batch in cut(order, max(self.translator.section.batch_tokens, most), *sizes):
                pairs = [source[i] for i in batch], [target[i] for i in batch]
                forced = force_batch(model, *pairs, bos=tokenizer.bos, eos=tokenizer.eos)
                for i, one in zip(batch, forced, strict=True):
                    values = one.log_probs.tolist()
                    found[i] = PairScore(sum(values), tokenizer.pieces_target(target[i]), values)
        return found
