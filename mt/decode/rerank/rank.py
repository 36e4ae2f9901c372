"""Rank candidates for queries by how likely a model finds them together, or by its matching head: retrieval.

One side are sources of the model, the other targets; either may be the queries.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mt.compute import ties
from mt.decode.translator import Translator
from mt.errors import ConfigError, DataError, check_texts
from mt.nn.all_pairs import TargetBatch, pair_log_probs, pair_match_logits, read_targets
from mt.nn.cache import DecoderState
from mt.nn.ragged import cut
from mt.nn.transformer import Transformer

OnProgress = Callable[[int], object]
SHELF = 1 << 17  # rows of targets that are held at a time; each source is encoded once for all of them


@dataclass(frozen=True)
class Likelihoods:
    """log p(target | source) in nats, for every source and every target."""

    log_probs: Float[Tensor, "S T"]
    tokens: Float[Tensor, " T"]  # of each target, with eos

    def mean(self) -> Float[Tensor, "S T"]:
        """Per token of the target."""
        return self.log_probs / self.tokens

    def against(self, prior: Float[Tensor, " T"]) -> Float[Tensor, "S T"]:
        """The pointwise mutual information, which a target that is likely by itself does not have.

        Args: prior: log p(target), as from `marginal`.
        """
        return self.log_probs - prior

    def marginal(self) -> Float[Tensor, " T"]:
        """log p(target) with the given sources as a sample of all sources."""
        return self.log_probs.double().logsumexp(0).sub(math.log(len(self.log_probs))).float()


def likelihoods(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[str],
    on_progress: OnProgress = lambda done: None,
    *,
    names: Sequence[Sequence[object]] = ((), ()),
) -> Likelihoods:
    """Args: on_progress: is told how many sources are done; names: of sources and of targets, for errors; by default
    they are numbered. Raises: DataError: for a row that cannot be read, and for a text too long for the model.
    """
    found, sizes = _scores(translator, sources, targets, pair_log_probs, on_progress, names=names)
    return Likelihoods(found, torch.tensor(sizes, dtype=torch.float32))


def match_scores(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[str],
    on_progress: OnProgress = lambda done: None,
    *,
    names: Sequence[Sequence[object]] = ((), ()),
) -> Float[Tensor, "S T"]:
    """The log-odds that each source and target belong together (`mt.nn.matching`).

    Args and errors: as `likelihoods`. Raises: ConfigError: for a model without a matching head."""
    if not translator.stepper.model.config.matching:
        raise ConfigError(
            "this model has no matching head.",
            hint="train one with `model.matching=2`, or go on from this model: `mt train init=MODEL model.matching=2`.",
        )
    tokenizer = translator.tokenizer
    score = partial(pair_match_logits, bos=tokenizer.bos, eos=tokenizer.eos)
    return _scores(translator, sources, targets, score, on_progress, names=names, closed=True)[0]


def _scores(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[str],
    score: Callable[[Transformer, DecoderState, TargetBatch], Float[Tensor, "_S _T"]],
    on_progress: OnProgress,
    *,
    names: Sequence[Sequence[object]],
    closed: bool = False,
) -> tuple[Float[Tensor, "S T"], list[int]]:
    """Scores of all pairs, and the rows of each target, by passes of the decoder in which no source or target is read
    twice (`mt.nn.all_pairs`). Args: closed: whether `score` takes closed targets."""
    check_texts(sources=sources)
    check_texts(targets=targets)
    tokenizer, budget = translator.tokenizer, translator.section.batch_tokens
    of_sources, of_targets = names
    items = translator.encode_sources(sources, of_sources)
    ids = tokenizer.encode_target(list(targets))
    rows, sizes = [len(item) for item in items], [len(one) + 1 + closed for one in ids]
    unit = "tokens" if translator.reader is None else "rows"
    check_lengths("source", rows, translator.max_length, unit=unit, names=of_sources)
    check_lengths("target", sizes, translator.max_length, unit="tokens", names=of_targets)
    found, done = torch.empty(len(items), len(ids)), 0
    marks = {"bos": tokenizer.bos, "eos": tokenizer.eos, "closed": closed}
    with torch.inference_mode(), translator.stepper.prepared() as model:
        for shelf in cut(by_length(sizes), SHELF, sizes):
            batches = cut(shelf, budget, sizes)
            read = [read_targets(model, [ids[i] for i in batch], **marks) for batch in batches]
            largest = max(batch.layout.num_rows for batch in read)
            for block in cut(by_length(rows), budget, rows, [largest] * len(items)):
                source = model.encoder.pack([items[i] for i in block]).to(model.tgt_weight.device)
                state = model.start(model.encode(source))
                for batch, targets_read in zip(batches, read, strict=True):
                    scores = score(model, state, targets_read).cpu()
                    found[torch.tensor(block)[:, None], torch.tensor(batch)] = scores
                done += len(block) * len(shelf)
                on_progress(done // len(ids))
    return found, sizes


def by_length(lengths: Sequence[int]) -> list[int]:
    """The places, those of the smallest length first."""
    return sorted(range(len(lengths)), key=lengths.__getitem__)


def check_lengths(what: str, lengths: Sequence[int], most: int, *, unit: str, names: Sequence[object]) -> None:
    """Raises: DataError: for a length above `most`."""
    for place, length in enumerate(lengths):
        if length > most:
            which = f"{names[place]}: the {what}" if names else f"{what} {place + 1:,}"
            raise DataError(f"{which} has {length:,} {unit}, but the model takes at most {most:,}.")


def ranked(scores: Float[Tensor, " C"]) -> list[tuple[int, float]]:
    """(place, score) of every candidate, best first, earlier ones first among equals (`mt.compute.ties`)."""
    return ties.ranked(scores.tolist(), ties.FLOAT32)


def recall(ranks: Sequence[int], at: int) -> float:
    """The share of queries of which a right candidate is among the first `at`, in per cent.

    Args: ranks: of the best right candidate of each query, from 1.
    """
    return 100 * sum(rank <= at for rank in ranks) / len(ranks)
