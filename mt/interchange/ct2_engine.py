"""Search with an exported model in CTranslate2, with the settings and the results of our own search.

The engine has one length limit for a call and ours depends on the length of each sentence, so a call has sentences of
one limit only: the translation of a sentence does not depend on its batch.
"""

# pyright: reportMissingImports=false
# The library is an optional extra.

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mt.config import Unknown
from mt.decode.search.settings import Hypothesis, Search
from mt.errors import require_package
from mt.text.tokenizer import Tokenizer

EXACT_PATIENCE = 1000.0  # of the engine: no search ends before its length limit


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a search asks for besides its settings, for each sentence; empty: nothing."""

    least: Sequence[int] = field(default=())  # lengths, without eos
    prefixes: Sequence[Sequence[int]] = field(default=())
    details: bool = True  # log-probabilities of single tokens, which cost one more pass


class Ct2Engine:
    """An exported model. Sentences are token ids, as for a `Stepper`; sources end with eos."""

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        *,
        device: str = "cpu",
        compute_type: str = "default",
        threads: int = 0,
    ) -> None:
        """Args: compute_type: of the engine; default: that of the weights; threads: 0: the engine's default."""
        require_package("ctranslate2", "the engine ct2")
        import ctranslate2

        kind, _, index = device.partition(":")
        self.translator = ctranslate2.Translator(
            str(folder), device=kind, device_index=int(index or 0), compute_type=compute_type,
            intra_threads=threads, inter_threads=1,
        )  # fmt: skip
        self.tokenizer = tokenizer
        pieces = tokenizer.pieces_target(range(tokenizer.tgt_size))
        self.ids = {piece: number for number, piece in enumerate(pieces)}
        self.never = [[piece] for piece in dict.fromkeys(pieces[i] for i in (tokenizer.bos, tokenizer.pad))]

    def check(self, texts: Sequence[str]) -> None:
        """The engine has no tokenizer."""

    def search(self, source: Sequence[Sequence[int]], search: Search, wanted: Wanted) -> list[list[Hypothesis]]:
        """The `nbest` hypotheses of every sentence, best first, as `beam_search` gives them."""
        least = wanted.least or [0] * len(source)
        calls: dict[tuple[int, int], list[int]] = {}
        for place, limits in enumerate(zip(search.max_lengths(source), least, strict=True)):
            calls.setdefault(limits, []).append(place)
        found: list[list[Hypothesis]] = [[] for _ in source]
        for (limit, fewest), places in calls.items():
            sources = [source[place] for place in places]
            prefixes = [wanted.prefixes[place] for place in places] if wanted.prefixes else []
            results = self._call(sources, prefixes, search, limit, fewest)
            for place, hypotheses in zip(places, self._hypotheses(results, search, limit), strict=True):
                found[place] = hypotheses
        return self._with_details(source, found) if wanted.details or wanted.prefixes else found

    def _call(
        self, source: list[Sequence[int]], prefixes: list[Sequence[int]], search: Search, limit: int, least: int
    ) -> list[Any]:
        return self.translator.translate_batch(
            self._sources(source),
            target_prefix=[self.tokenizer.pieces_target(ids) for ids in prefixes] or None,
            beam_size=search.beam,
            num_hypotheses=search.beam,
            patience=EXACT_PATIENCE if search.patience is None else max(search.patience, search.nbest / search.beam),
            length_penalty=search.length_penalty,
            no_repeat_ngram_size=search.no_repeat_ngram,
            disable_unk=search.unknown is Unknown.ban,
            suppress_sequences=self.never,
            max_input_length=0,
            max_decoding_length=limit,
            min_decoding_length=min(least, limit - 1),
            return_scores=True,
        )

    def _hypotheses(self, results: list[Any], search: Search, limit: int) -> list[list[Hypothesis]]:
        """Finished hypotheses come before cut ones, as in our search."""
        found: list[list[Hypothesis]] = []
        for result in results:
            some: list[Hypothesis] = []
            for pieces, score in zip(result.hypotheses, result.scores, strict=True):
                finished = len(pieces) < limit
                length = len(pieces) + finished
                tokens = [self.ids[piece] for piece in pieces]
                log_prob = score * max(1, length) ** search.length_penalty
                some.append(
                    Hypothesis(tokens=tokens, score=score, log_prob=log_prob, token_log_probs=[], finished=finished)
                )
            found.append(sorted(some, key=lambda one: not one.finished)[: search.nbest])
        return found

    def _with_details(self, source: Sequence[Sequence[int]], found: list[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """The hypotheses with the log-probabilities of their tokens, from a second pass."""
        flat = [(ids, one) for ids, some in zip(source, found, strict=True) for one in some]
        scores = iter(self.log_probs([ids for ids, _ in flat], [one.tokens for _, one in flat]))
        return [[_detailed(one, next(scores)) for one in some] for some in found]

    def log_probs(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of each target token and of eos. Args: target: token ids without bos and eos."""
        pieces = [self.tokenizer.pieces_target(ids) for ids in target]
        scored = self.translator.score_batch(
            self._sources(source), pieces, max_batch_size=4096, batch_type="tokens", max_input_length=0
        )
        return [result.log_probs for result in scored]

    def _sources(self, source: Sequence[Sequence[int]]) -> list[list[str]]:
        return [self.tokenizer.pieces_source(ids[:-1]) for ids in source]  # the engine adds eos


def _detailed(one: Hypothesis, log_probs: list[float]) -> Hypothesis:
    """Args: log_probs: of the tokens and of eos, which a cut hypothesis lacks."""
    kept = log_probs if one.finished else log_probs[:-1]
    total = sum(kept)
    penalty = one.log_prob / one.score if one.score else 1.0
    return Hypothesis(
        tokens=one.tokens, score=total / penalty, log_prob=total, token_log_probs=kept, finished=one.finished
    )
