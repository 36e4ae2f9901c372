"""Matching as an objective: the translation loss, and the loss of the matching head (`mt.nn.matching`).

Each target is read twice: with its own source, and with another one of the batch.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from mt.compute.device import autocast, autocast_dtype
from mt.config import Config, Positions, Sharding
from mt.data.batching import Batch, fill_up
from mt.errors import ConfigError, refuse_beside
from mt.nn.matching import closed, match_logits, moved_by_closing, reordered
from mt.nn.transformer import Transformer
from mt.train.objective import ObjectiveLoss, TranslationLoss, target_loss


class MatchingLoss:
    """The translation loss, plus the cross-entropy of matched and mismatched pairs."""

    num_sums = 5  # two of the translation loss; the head's loss, how many pairs it has judged, and how many rightly

    def __init__(self, translation: TranslationLoss, *, weight: float, bos: int, eos: int) -> None:
        """Args: weight: factor of the head's loss, which is summed over pairs, as the other is over target rows."""
        self.translation = translation
        self.model = translation.model
        self.precision = translation.precision
        self.weight = weight
        self.bos, self.eos = bos, eos

    def prepare(self, batch: Batch) -> Int[Tensor, " B"]:
        """Which target each source is mismatched with: all move on by the same random number of places."""
        count = len(batch.indices)
        shift = int(torch.randint(1, count, ())) if count > 1 else 0
        return torch.arange(count).roll(shift)

    prepare_largest = prepare

    def __call__(self, model: Transformer, batch: Batch, prepared: Int[Tensor, " B"]) -> ObjectiveLoss:
        padded, count = fill_up(batch), len(batch.indices)
        right, layout = closed(padded.target_in, padded.target_layout, self.eos)
        padding = torch.arange(count, layout.num_sentences)
        wrong, other_layout = reordered(right, layout, torch.cat([prepared, padding]))
        with autocast(batch.target_in.device, self.precision):
            memory = model.encode(padded.source)
            hidden = model.decode(right, layout, memory), model.decode(wrong, other_layout, memory)
        matched, mismatched = (rows.to(autocast_dtype(self.precision)) for rows in hidden)
        own_rows = matched[moved_by_closing(padded.target_layout)]
        loss = target_loss(model, own_rows, batch, self.precision, self.translation.smoothing)
        yes = self.logits(model, matched[layout.last_rows[:count]])
        no = self.logits(model, mismatched[other_layout.last_rows[:count]])
        if count == 1:
            no = no[:0]  # a source alone has its own target only
        head = softplus(-yes).sum() + softplus(no).sum()
        judged = head.new_tensor(len(yes) + len(no))
        own = torch.stack([head.detach(), judged, (yes > 0).sum() + (no < 0).sum()])
        return ObjectiveLoss(loss.smoothed + self.weight * head, torch.cat([torch.stack(loss).detach(), own]))

    def logits(self, model: Transformer, hidden: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        return match_logits(model, hidden, bos=self.bos, eos=self.eos)

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The head's loss per pair, in nats, and the share of pairs that it judges rightly."""
        loss, judged, right = sums
        return {"matching": loss / judged, "matched": right / judged}


def check_matching(config: Config) -> None:
    """Raises: ConfigError: for settings that do not go with a matching head."""
    if not config.model.matching:
        return
    sharded = config.train.sharding is Sharding.full
    refuse_beside("model.matching", (bool(config.alignment.links), "alignment.links"), (sharded, "train.sharding=full"))
    if config.model.positions is not Positions.rotary and config.batch.max_length == config.model.max_length:
        raise ConfigError(
            f"`model.matching` needs a position more than the longest target: `batch.max_length` must be below "
            f"`model.max_length`, which is {config.model.max_length}.",
            hint="raise `model.max_length`.",
        )
