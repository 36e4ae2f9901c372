"""Consistency as an objective: each pair is read twice, and what the two readings predict should be the same.

The second reading has other dropout (R-Drop, `mt.nn.consistency`); of several inputs it also lacks one, so that the
model neither leans on one of them alone nor is lost without it.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from mt.compute.device import autocast, autocast_dtype
from mt.config import Config, Sharding
from mt.data.batching import Batch, fill_up
from mt.errors import refuse_beside
from mt.nn.consistency import consistency_loss
from mt.nn.source import SeveralSources
from mt.nn.transformer import Transformer
from mt.train.objective import ObjectiveLoss, TranslationLoss

FIRST = 0.2  # of the sources lack their first input in the second reading, the others one of the others


class Consistency:
    """The mean translation loss of two readings, plus their divergence."""

    num_sums = 4  # two of the first reading's translation loss; the divergence, and of how many rows

    def __init__(self, translation: TranslationLoss, *, weight: float) -> None:
        """Args: weight: factor of the divergence, which is summed over target rows, as the loss is."""
        self.translation = translation
        self.model = translation.model
        self.precision = translation.precision
        self.weight = weight
        self.device = next(self.model.parameters()).device

    def prepare(self, batch: Batch) -> SeveralSources | None:
        """What the second reading reads, on the device; None: the same. Waits if the batch is on an accelerator."""
        if not isinstance(batch.source, SeveralSources):
            return None
        source = batch.source.to("cpu")
        return source.without(choose_one(source.present)).to(self.device)

    def prepare_largest(self, batch: Batch) -> None:
        """Nothing is left out."""

    def __call__(self, model: Transformer, batch: Batch, prepared: SeveralSources | None) -> ObjectiveLoss:
        first = fill_up(batch)
        second = first if prepared is None else fill_up(replace(batch, source=prepared))
        with autocast(batch.target_in.device, self.precision):
            readings = [model(one.source, one.target_in, one.target_layout) for one in (first, second)]
        least = min(map(len, readings))  # their padding may differ
        rows = [hidden[:least].to(autocast_dtype(self.precision)) for hidden in readings]
        (one, weight), (other, _) = map(model.decoder.output.factors, rows)
        loss = consistency_loss(
            one, other, weight, batch.target_out, smoothing=self.translation.smoothing, consistency=self.weight
        )
        own = torch.stack([*loss.first, loss.divergence, loss.divergence.new_tensor(len(batch.target_out))])
        return ObjectiveLoss(loss.total, own)

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The divergence per target token, in nats."""
        divergence, rows = sums
        return {"divergence": divergence / rows}


def choose_one(present: Bool[Tensor, "B P"]) -> Bool[Tensor, "B P"]:
    """Which input of each source to leave out, at random: one that it has, unless it has no other."""
    count = present.shape[1]
    shares = torch.tensor([FIRST, *[(1 - FIRST) / (count - 1)] * (count - 1)])
    # The smallest of exponential variables with these rates: each is it with its share.
    waits = torch.empty(present.shape).exponential_() / shares
    chosen = waits.masked_fill(~present, torch.inf).argmin(1)
    left_out = torch.nn.functional.one_hot(chosen, count).bool()
    return left_out & (present.sum(1, keepdim=True) > 1)


def check_consistency(config: Config) -> None:
    """Raises: ConfigError: for settings that do not go with two readings."""
    if config.loss.consistency:
        refuse_beside(
            "loss.consistency",
            (bool(config.alignment.links), "alignment.links"),
            (config.model.matching > 0, "model.matching"),
            (config.loss.ctc > 0, "loss.ctc"),
            (config.train.sharding is Sharding.full, "train.sharding=full"),
        )
