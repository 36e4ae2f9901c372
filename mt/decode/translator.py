"""Text in, text out: what a trained model is for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch

from mt.config import DecodeConfig
from mt.decode.beam import beam_search
from mt.decode.search import Hypothesis, Search
from mt.decode.transformer_stepper import CachedStepper
from mt.log import logger
from mt.nn.ragged import cut
from mt.tokenizer import Tokenizer

WORD_START = "▁"
MAX_SENTENCES = 512  # in a batch: short ones are few pieces to read, but each takes a beam of rows to write


@dataclass(frozen=True)
class Translation:
    """One way to say it. `score` is what hypotheses were compared by; `log_prob` the sum over its pieces."""

    text: str
    score: float
    log_prob: float
    pieces: list[str]
    piece_log_probs: list[float]
    finished: bool  # False: cut at the longest output allowed


EMPTY = Translation("", 0.0, 0.0, [], [], True)


class Translator:
    """A model, its tokenizer and how it searches. Made by `mt.load`."""

    def __init__(self, stepper: CachedStepper, tokenizer: Tokenizer, section: DecodeConfig, *, max_length: int) -> None:
        """Args: max_length: the longest sentence, in pieces, that the model can read or write."""
        self.stepper = stepper
        self.tokenizer = tokenizer
        self.section = section
        self.max_length = max_length

    @overload
    def translate(self, texts: str) -> str: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def translate(self, texts: Sequence[str]) -> list[str]: ...
    def translate(self, texts: str | Sequence[str]) -> str | list[str]:
        """Translate one text, or many: as many come out as went in, in their order."""
        if isinstance(texts, str):
            return self.translate([texts])[0]
        return [best[0].text for best in self.search(texts)]

    def search(
        self, texts: Sequence[str], *, beam: int | None = None, nbest: int = 1, length_penalty: float | None = None
    ) -> list[list[Translation]]:
        """The `nbest` translations of every text, best first.

        An empty text has one empty translation. A text longer than the model can read is cut between words, its
        parts are translated and joined, and a warning says so.
        """
        section = self.section
        section = replace(
            section,
            beam=section.beam if beam is None else beam,
            length_penalty=section.length_penalty if length_penalty is None else length_penalty,
        )
        parts: list[list[int]] = []  # all pieces of work, and which text they belong to
        owners: list[int] = []
        for owner, ids in enumerate(self.tokenizer.encode_source(list(texts))):
            chunks = list(self._chunks(ids, owner))
            parts += chunks
            owners += [owner] * len(chunks)
        found = self._search_sorted(parts, section, nbest)
        together: list[list[list[Translation]]] = [[] for _ in texts]
        for owner, translations in zip(owners, found, strict=True):
            together[owner].append(translations)
        return [join(parts_of_one) for parts_of_one in together]

    def _chunks(self, ids: list[int], owner: int) -> Iterator[list[int]]:
        """The sentence, or parts of it that the model can read. `ids` ends with the end mark; so does every part."""
        if len(ids) == 1:
            return
        if len(ids) <= self.max_length:
            yield ids
            return
        logger.warning(
            f"input {owner + 1:,} has {len(ids):,} pieces, but the model reads at most {self.max_length:,}; it is "
            "translated in parts. Split it into sentences for a better translation."
        )
        body, room = ids[:-1], self.max_length - 1
        pieces = self.tokenizer.pieces_source(body)
        while body:
            end = len(body)
            if end > room:
                starts = [i for i in range(1, room + 1) if pieces[i].startswith(WORD_START)]
                end = starts[-1] if starts else room
            yield [*body[:end], self.tokenizer.eos]
            body, pieces = body[end:], pieces[end:]

    def _search_sorted(self, parts: list[list[int]], section: DecodeConfig, nbest: int) -> list[list[Translation]]:
        """Search in batches of sentences of like length; answers in the order of `parts`."""
        results: list[list[Translation]] = [[] for _ in parts]
        order = sorted(range(len(parts)), key=lambda i: len(parts[i]), reverse=True)
        lengths = [len(part) for part in parts]
        budget = max([section.batch_tokens, *lengths])
        settings = self._settings(section, nbest)
        with torch.inference_mode(), self.stepper.autocast():
            self.stepper.model.eval()
            for batch in cut(order, budget, lengths, [budget // MAX_SENTENCES] * len(parts)):
                found = beam_search(self.stepper, [parts[i] for i in batch], search=settings)
                for i, hypotheses in zip(batch, found, strict=True):
                    results[i] = [self._translation(h) for h in hypotheses]
        return results

    def _settings(self, section: DecodeConfig, nbest: int) -> Search:
        t = self.tokenizer
        return Search(
            bos=t.bos, eos=t.eos, pad=t.pad, beam=section.beam, nbest=nbest, length_penalty=section.length_penalty,
            max_ratio=section.max_ratio, max_extra=section.max_extra, max_length=self.max_length,
        )  # fmt: skip

    def _translation(self, found: Hypothesis) -> Translation:
        t = self.tokenizer
        return Translation(
            t.decode_target(found.tokens), found.score, found.log_prob, t.pieces_target(found.tokens),
            found.token_log_probs, found.finished,
        )  # fmt: skip


def join(parts: list[list[Translation]]) -> list[Translation]:
    """N-best lists of the parts of one text -> its n-best list: best with best, second with second."""
    if not parts:
        return [EMPTY]
    if len(parts) == 1:
        return parts[0]
    return [
        Translation(
            " ".join(p.text for p in ranked if p.text),
            sum(p.score for p in ranked) / len(ranked),
            sum(p.log_prob for p in ranked),
            [piece for p in ranked for piece in p.pieces],
            [value for p in ranked for value in p.piece_log_probs],
            all(p.finished for p in ranked),
        )
        for ranked in zip(*parts, strict=False)  # the shortest list decides how many there are
    ]
