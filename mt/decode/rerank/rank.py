"""Rank candidates for queries by how likely a model finds them together: retrieval without another model.

One side are sources of the model, the other targets; either may be the queries.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mt.compute import ties
from mt.decode.translator import Translator
from mt.errors import DataError
from mt.nn.forced import token_log_probs
from mt.nn.ragged import Ragged, cut, pack
from mt.nn.source import Memory
from mt.nn.transformer import Transformer


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
    on_progress: Callable[[int], object] = lambda done: None,
) -> Likelihoods:
    """Every source is encoded once, and its memory is repeated for all targets.

    Args: on_progress: is told how many sources are done. Raises: DataError: for a text too long for the model.
    """
    tokenizer, most = translator.tokenizer, translator.max_length
    items = translator.encode_sources(sources)
    ids = tokenizer.encode_target(list(targets))
    sizes = [len(one) + 1 for one in ids]
    for what, lengths in (("source", [len(item) for item in items]), ("target", sizes)):
        if too_long := [number for number, length in enumerate(lengths, 1) if length > most]:
            length = lengths[too_long[0] - 1]
            raise DataError(f"{what} {too_long[0]:,} has {length:,} tokens, but the model takes at most {most:,}.")
    order = sorted(range(len(ids)), key=sizes.__getitem__)
    found = torch.empty(len(items), len(ids))
    with torch.inference_mode(), translator.stepper.prepared() as model:
        for number, item in enumerate(items):
            memory = model.encode(model.encoder.pack([item]).to(model.tgt_weight.device))
            budget = max(translator.section.batch_tokens, most)
            for batch in cut(order, budget, sizes, [memory.layout.num_rows] * len(ids)):
                found[number, batch] = _of_one_source(
                    model, memory, [ids[i] for i in batch], tokenizer.bos, tokenizer.eos
                )
            on_progress(number + 1)
    return Likelihoods(found, torch.tensor(sizes, dtype=torch.float32))


def _of_one_source(
    model: Transformer, memory: Memory, targets: Sequence[list[int]], bos: int, eos: int
) -> Float[Tensor, " T"]:
    """The log-probability of each target under one source. Args: memory: of one item."""
    device, rows = memory.rows.device, memory.layout.num_rows
    inputs, layout = pack([[bos, *ids] for ids in targets])
    expected, _ = pack([[*ids, eos] for ids in targets])
    repeated = Memory(memory.rows.repeat(len(targets), 1), Ragged.from_lengths([rows] * len(targets), device))
    hidden = model.decode(inputs.to(device), layout.to(device), repeated)
    log_probs = token_log_probs(model, hidden, expected.to(device)).cpu()
    return torch.stack([part.sum() for part in log_probs.split(layout.lengths.tolist())])


def ranked(scores: Float[Tensor, " C"]) -> list[tuple[int, float]]:
    """(place, score) of every candidate, best first, earlier ones first among equals (`mt.compute.ties`)."""
    level = ties.levelled(scores.tolist(), ties.FLOAT32)
    return [(place, level[place]) for place in sorted(range(len(level)), key=lambda place: -level[place])]


def recall(ranks: Sequence[int], at: int) -> float:
    """The share of queries of which a right candidate is among the first `at`, in per cent.

    Args: ranks: of the best right candidate of each query, from 1.
    """
    return 100 * sum(rank <= at for rank in ranks) / len(ranks)
