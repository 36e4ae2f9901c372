"""Validation: the loss on the whole dev set, and the scores of translations of a part of it."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Protocol, TypedDict

import numpy as np
import torch

from mt.config import BatchConfig, DecodeConfig, Precision, TrainConfig, Watch
from mt.data.batching import TokenizedCorpus, in_budget
from mt.data.corpus.pair import Pair
from mt.decode.request import OnProgress
from mt.errors import counted
from mt.nn.transformer import Transformer
from mt.progress import Waiting
from mt.text.metrics import bleu, blind_spot, chrf, score_all, wer_blind_spot
from mt.train.attention_logging import AttentionLogger, AttentionSnapshot
from mt.train.objective import batch_loss
from mt.train.optim import Ema

logger = logging.getLogger("mt")
ALWAYS = (Watch.loss, Watch.bleu, Watch.chrf)  # computed at every validation
ERRORS = (Watch.loss, Watch.ter, Watch.wer, Watch.cer)  # lower is better
AUTO_EPOCHS, AUTO_UPDATES = 20, 200  # the more of them, where `train.epochs` is auto
FEWEST_UPDATES, MOST_UPDATES = 5, 800  # between two validations, where `train.validate_every` is auto


@dataclass(frozen=True)
class Validation:
    loss: float  # negative log-likelihood per target token, in nats, without smoothing
    bleu: float
    chrf: float
    sources: list[str]
    references: list[str]
    hypotheses: list[str]
    attention: AttentionSnapshot | None = None
    bleu_tells: bool = True  # the dev set is one that BLEU can judge, and some four words in a row are right
    other: Mapping[Watch, float] = field(default_factory=dict)  # scores that only some runs watch
    bits_per_char: float = math.nan  # the loss per character of the references, in which no tokenizer has a part

    def extra(self) -> dict[str, float]:
        """More entries for `metrics.jsonl`."""
        maps = {} if self.attention is None else self.attention.scalars()
        return {watch.value: value for watch, value in self.other.items()} | maps

    def rank(self, watch: Watch) -> tuple[float, ...]:
        """The score that decides which checkpoint is best, and what decides between equal ones: chrF++, then the loss.
        Compare them as tuples; higher is better.

        BLEU that cannot tell counts as 0: smoothing makes it a small number that means nothing. Errors are negated.
        """
        bleu = self.bleu if self.bleu_tells else 0.0
        scores = {Watch.loss: self.loss, Watch.bleu: bleu, Watch.chrf: self.chrf, **self.other}
        score = -scores[watch] if watch in ERRORS else scores[watch]
        others = {Watch.chrf: self.chrf, Watch.loss: -self.loss}
        return (score, *takewhile(math.isfinite, (others[by] for by in others if by is not watch)))


class Judgement(TypedDict):
    """What all processes must know of a validation, as plain JSON."""

    rank: Sequence[float]  # see `Validation.rank`
    tells: bool  # whether BLEU could judge it
    loss: float
    seconds: float  # that it took


@contextmanager
def ema_weights(model: Transformer, ema: Ema | None) -> Iterator[None]:
    """Inside the block, the model has the EMA of its weights, if there is one."""
    if ema is None:
        yield
        return
    own = {name: p.detach().clone() for name, p in model.named_parameters()}
    try:
        set_weights(model, ema.means)
        yield
    finally:
        set_weights(model, own)


@torch.no_grad()
def set_weights(model: Transformer, weights: dict[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


class Translate(Protocol):
    def __call__(self, texts: Sequence[str], *, on_progress: OnProgress) -> list[str]: ...


class Validator:
    """Validates a model on the dev set."""

    def __init__(
        self,
        dev: TokenizedCorpus,
        translate: Translate,
        *,
        precision: Precision,
        tokens: int,
        shown: Sequence[Pair],
        bleu_tokenizer: str,
        watch: Watch = Watch.bleu,
        attention: AttentionLogger | None = None,
    ) -> None:
        """Args: tokens: budget of a batch; shown: the dev pairs that are translated and scored; watch: a score beside
        the loss, BLEU and chrF++; attention: logs the cross-attention of some pairs."""
        self.dev = dev
        self.translate = translate
        self.precision = precision
        self.tokens = tokens
        self.shown = shown
        self.bleu_tokenizer = bleu_tokenizer
        self.other = [] if watch in ALWAYS else [watch]
        self.attention = attention
        self.blind_spot = blind_spot([pair.tgt for pair in self.shown], bleu_tokenizer)
        self.characters = sum(len(pair.tgt) + 1 for pair in dev.pairs)  # and the end of each line

    def watched(self, watch: Watch) -> Watch:
        """The score that decides: chrF++ instead of BLEU where BLEU cannot tell."""
        return Watch.chrf if watch is Watch.bleu and self.blind_spot else watch

    def tell(self, watch: Watch) -> None:
        """Log, before training, that the score that is to decide cannot tell on this dev set."""
        if self.watched(watch) is not watch:
            logger.info(f"BLEU cannot tell on this dev set, because {self.blind_spot}: chrF++ is watched instead")
        if watch is Watch.wer and (said := wer_blind_spot([pair.tgt for pair in self.shown])):
            logger.warning(f"WER cannot tell on this dev set: {said} (`train.watch=cer`)")

    def tell_limits(self, decode: DecodeConfig) -> None:
        """Warn, before training, that more than 1 % of the dev references are longer than a translation may be: the
        scores are then those of the limit, in a script of many pieces, for example."""
        sources, needed = self.dev.source.lengths(), self.dev.target.lengths() + 1  # with the end mark, as the sources
        beyond = needed - (decode.max_ratio * sources).astype(int)  # as `Search` limits lengths
        over = int((beyond > decode.max_extra).sum())
        if 100 * over > len(self.dev):
            ratio = float(np.quantile((needed - decode.max_extra) / sources, 0.99, method="higher"))
            more = int(np.quantile(beyond, 0.99, method="higher"))
            allows = f"max_ratio={math.ceil(10 * ratio) / 10:g}" if ratio <= 100 else f"max_extra={more}"
            logger.warning(
                f"{over:,} of {counted(len(self.dev), 'dev reference')} are longer than a translation may be "
                f"(`decode.max_ratio={decode.max_ratio:g}` times the {self.dev.unit} of its source, and "
                f"{decode.max_extra:,}); `decode.{allows}` allows them"
            )

    def plan(self, section: TrainConfig) -> str:
        """What the validations of a run compute, and when, in words. Args: section: with numbers for `auto`."""
        scores = ", ".join([*ALWAYS[1:], *self.other])
        when, pairs = counted(section.interval, "update"), counted(len(self.dev), "dev pair")
        decides = self.watched(section.watch)
        return f"every {when}, the loss of {pairs} and {scores} of {len(self.shown):,}; {decides} decides"

    @torch.no_grad()
    def __call__(self, model: Transformer) -> Validation:
        model.eval()
        device = next(model.parameters()).device
        total, rows = 0.0, 0
        for batch in in_budget(self.dev, self.tokens):
            total += batch_loss(model, batch.to(device), self.precision, 0.0).nll.item()
            rows += batch.target_layout.num_rows
        sources, references = [pair.src for pair in self.shown], [pair.tgt for pair in self.shown]
        with Waiting("validating", plain=True) as wait:
            hypotheses = self.translate(sources, on_progress=wait.show)
        scores = score_all(hypotheses, references, metrics=self.other)
        score = bleu(hypotheses, references, tokenize=self.bleu_tokenizer)
        return Validation(
            loss=total / rows,
            bleu=score.value,
            bleu_tells=not (self.blind_spot or score.note),
            chrf=chrf(hypotheses, references).value,
            sources=sources,
            references=references,
            hypotheses=hypotheses,
            # the last score of ROUGE is ROUGE-L
            other={watch: score.value for watch, score in zip(self.other, scores[-1:], strict=True)},
            attention=self.attention(model) if self.attention is not None else None,
            bits_per_char=total / math.log(2) / self.characters,
        )


def with_numbers(section: TrainConfig, batch: BatchConfig, corpus: TokenizedCorpus) -> TrainConfig:
    """The section with numbers for `auto`: validations are about an epoch apart, and little text is read more often,
    because its epochs have few updates. Args: corpus: the training text."""
    updates = max(corpus.num_source_rows, corpus.num_target_rows) / (batch.budget * batch.accumulate)
    if section.epochs == "auto":
        section = replace(section, epochs=float(max(AUTO_EPOCHS, math.ceil(AUTO_UPDATES / max(1.0, updates)))))
    if section.validate_every == "auto":
        section = replace(section, validate_every=min(MOST_UPDATES, max(FEWEST_UPDATES, round(updates))))
    return section
