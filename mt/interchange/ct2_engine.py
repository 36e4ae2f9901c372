"""Search with an exported model in CTranslate2, with the settings and the results of our own search.

The engine has one length limit for a call and ours depends on the length of each sentence. Calls have limits of a few
sizes, at least those of their sentences; a sentence whose hypotheses are longer than it allows is searched again with
its own limit. What ends within the limit is found with either, so a translation does not depend on its batch.

One thing differs: the engine keeps the `beam` best of what is finished and what reached the limit by their scores; ours
prefers what is finished. Where a hypothesis reaches the limit the engine's list may lack the last finished ones.
"""

# pyright: reportMissingImports=false
# The library is an optional extra.

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from mt.compute.matmul import int8_is_exact
from mt.config import Unknown
from mt.decode.search.engine import Wanted
from mt.decode.search.settings import Hypothesis, Search
from mt.errors import require_package
from mt.text.tokenizer import Tokenizer

logger = logging.getLogger("mt")
EXACT_PATIENCE = 1000.0  # of the engine: no search ends before its length limit
LEAST_LIMIT = 32  # of a call; further ones double it
MOST_WORKERS = 8  # batches at a time: each has its own buffers
LEAST_SHARE = 8  # sentences of a call for a worker: products of fewer rows are slow


@cache  # once, although an export is loaded to be verified and again to be used
def say_inexact() -> None:
    logger.warning(
        "this processor adds products in 8 bits with errors, since it has no VNNI: the weights stay in 8 bits, but the "
        "engine computes in 32."
    )


class Ct2Engine:
    """An exported model (`mt.decode.search.engine.SearchEngine`)."""

    name = "ct2"

    def __init__(self, folder: Path, tokenizer: Tokenizer, *, device: str = "cpu", threads: int = 1) -> None:
        """Computes in the type of the weights, or in 32 bits with a warning where this CPU adds products in 8 bits with
        errors. Args: threads: on a CPU each searches a batch."""
        require_package("ctranslate2", "the engine ct2")
        import ctranslate2

        kind, _, index = device.partition(":")
        self.at_once = min(threads, MOST_WORKERS) if kind == "cpu" else 1
        self._spread = self.at_once  # workers of a call
        load = partial(
            ctranslate2.Translator, str(folder), device=kind, device_index=int(index or 0),
            intra_threads=threads // self.at_once, inter_threads=self.at_once,
        )  # fmt: skip
        self.translator = load()
        eight_bits = kind == "cpu" and self.translator.compute_type.startswith("int8")
        if eight_bits and not int8_is_exact():
            say_inexact()
            self.translator = load(compute_type="float32")
        self.tokenizer = tokenizer
        pieces = tokenizer.pieces_target(range(tokenizer.tgt_size))
        self.ids = {piece: number for number, piece in enumerate(pieces)}
        self.never = [[piece] for piece in dict.fromkeys(pieces[i] for i in (tokenizer.bos, tokenizer.pad))]

    def check(self, texts: Sequence[str]) -> None:
        """The engine has no tokenizer."""

    @contextmanager
    def side_by_side(self) -> Iterator[None]:
        """One worker a call: half a batch would wait for the other half, while its thread could search another."""
        before, self._spread = self._spread, 1
        try:
            yield
        finally:
            self._spread = before

    def search(self, source: Sequence[Sequence[int]], search: Search, wanted: Wanted) -> list[list[Hypothesis]]:
        """As `SearchEngine.search`. The engine leaves a prefix out of the scores, which are then computed anew."""
        limits = search.max_lengths(source)
        wider = [self._wider(limit, search) for limit in limits]
        most = [search.beam if wanted.prefixes and wanted.prefixes[n] else search.nbest for n in range(len(source))]
        found = dict(self._search(source, range(len(source)), wider, search, wanted))
        again = [
            n for n, limit in enumerate(limits)
            if wider[n] > limit and any(len(one.tokens) >= limit for one in found[n][: most[n]])
        ]  # fmt: skip
        found |= self._search(source, again, limits, search, wanted)
        ordered = [found[n][: most[n]] for n in range(len(source))]
        if wanted.details or wanted.prefixes:
            ordered = self._with_details(source, ordered, search)
            for n, some in enumerate(ordered):
                if most[n] > search.nbest:
                    ordered[n] = sorted(some, key=lambda one: (not one.finished, -one.score))[: search.nbest]
        return ordered

    def _wider(self, limit: int, search: Search) -> int:
        """A limit that many sentences share, which depends on nothing but the limit of one."""
        shared = max(LEAST_LIMIT, 1 << (limit - 1).bit_length())  # a power of two
        return shared if search.max_length is None else min(shared, search.max_length)

    def _search(
        self, source: Sequence[Sequence[int]], places: Sequence[int], limits: Sequence[int], search: Search,
        wanted: Wanted,
    ) -> Iterator[tuple[int, list[Hypothesis]]]:  # fmt: skip
        """The hypotheses of the sentences at some places. Args: limits: of all sentences."""
        calls: dict[tuple[int, int], list[int]] = {}
        for n in places:
            calls.setdefault((limits[n], wanted.least[n] if wanted.least else 0), []).append(n)
        started = [
            (some, limit, self._call([source[n] for n in some],
             [wanted.prefixes[n] for n in some] if wanted.prefixes else [], search, limit, fewest))
            for (limit, fewest), some in calls.items()
        ]  # fmt: skip
        for some, limit, results in started:
            for n, result in zip(some, results, strict=True):
                yield n, self._hypotheses(result.result(), search, limit)

    def _call(
        self, source: list[Sequence[int]], prefixes: list[Sequence[int]], search: Search, limit: int, least: int
    ) -> list[Any]:
        """Futures of the results."""
        return self.translator.translate_batch(
            self._sources(source),
            target_prefix=[self.tokenizer.pieces_target(ids) for ids in prefixes] or None,
            max_batch_size=0 if self._spread == 1 else max(LEAST_SHARE, -(-len(source) // self._spread)),
            asynchronous=True,
            return_scores=True,
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
        )

    def _hypotheses(self, result: Any, search: Search, limit: int) -> list[Hypothesis]:
        """Finished hypotheses come before cut ones, as in our search."""
        found: list[Hypothesis] = []
        for pieces, score in zip(result.hypotheses, result.scores, strict=True):
            finished = len(pieces) < limit
            log_prob = score * max(1, len(pieces) + finished) ** search.length_penalty
            tokens = [self.ids[piece] for piece in pieces]
            found.append(
                Hypothesis(tokens=tokens, score=score, log_prob=log_prob, token_log_probs=[], finished=finished)
            )
        return sorted(found, key=lambda one: not one.finished)

    def _with_details(
        self, source: Sequence[Sequence[int]], found: list[list[Hypothesis]], search: Search
    ) -> list[list[Hypothesis]]:
        """The hypotheses with the log-probabilities of their tokens, from a second pass."""
        flat = [(ids, one) for ids, some in zip(source, found, strict=True) for one in some]
        scores = iter(self.log_probs([ids for ids, _ in flat], [one.tokens for _, one in flat]))
        return [[_detailed(one, next(scores), search.length_penalty) for one in some] for some in found]

    def log_probs(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> list[list[float]]:
        """The log-probability of each target token and of eos. Args: target: token ids without bos and eos."""
        pieces = [self.tokenizer.pieces_target(ids) for ids in target]
        scored = self.translator.score_batch(
            self._sources(source), pieces, max_batch_size=4096, batch_type="tokens", max_input_length=0
        )
        return [result.log_probs for result in scored]

    def _sources(self, source: Sequence[Sequence[int]]) -> list[list[str]]:
        return [self.tokenizer.pieces_source(ids[:-1]) for ids in source]  # the engine adds eos


def _detailed(one: Hypothesis, log_probs: list[float], length_penalty: float) -> Hypothesis:
    """Args: log_probs: of the tokens and of eos, which a cut hypothesis lacks."""
    kept = log_probs if one.finished else log_probs[:-1]
    total = sum(kept)
    return replace(one, score=total / max(1, len(kept)) ** length_penalty, log_prob=total, token_log_probs=kept)
