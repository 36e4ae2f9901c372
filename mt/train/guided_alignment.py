"""Guided alignment as an objective: the translation loss plus the loss of one head, which should follow word links.

Alignment targets are made from the ids of each batch, so any segmentation works. They are made while the ids are on the
host, so nothing waits for an accelerator; only a batch that is split is copied back.
"""

from collections.abc import Sequence

import numpy as np
import torch

from mt.alignment.aligner import FILE, to_file
from mt.alignment.choose_heads import Choice
from mt.alignment.guided_loss import AlignmentTarget, GuidedHead
from mt.alignment.heads import AlignmentHeads
from mt.config import Config
from mt.data.batching import Batch, TokenizedCorpus
from mt.data.training_links import LinkTable
from mt.errors import ConfigError
from mt.nn.source import TokenSource
from mt.nn.transformer import Transformer
from mt.train.objective import ObjectiveLoss, TranslationLoss


class GuidedAlignment:
    """The translation loss, and the loss of one head against the word links of the training text."""

    num_sums = 4  # two of the translation loss, the head's loss, the number of linked rows

    def __init__(
        self,
        translation: TranslationLoss,
        corpus: TokenizedCorpus,
        links: LinkTable,
        *,
        layer: int,
        head: int,
        weight: float,
    ) -> None:
        """Args: links: of every pair of `corpus`; layer, head: from 0; weight: factor of the head's loss. Both losses
        are summed over rows."""
        self.translation = translation
        self.model = translation.model
        self.precision = translation.precision
        self.guided_head = GuidedHead(self.model, corpus.tokenizer, layer=layer, head=head)
        self.table, self.links = corpus.table, links
        self.heads = AlignmentHeads(layer, (head,), shifted=True)
        self.weight = weight
        self.device = next(self.model.parameters()).device

    def prepare(self, batch: Batch) -> AlignmentTarget:
        """The batch's alignment target, on the device. Waits if the batch is on an accelerator already."""
        pairs = np.array(batch.indices, np.int64)
        texts = zip(self.table.texts("src", pairs), self.table.texts("tgt", pairs), strict=True)
        assert isinstance(batch.source, TokenSource), "word links need text"
        source = batch.source.items()
        target = [rows.tolist()[1:] for rows in batch.target_in.cpu().split(batch.target_layout.lengths.tolist())]
        links = [self.links[i] for i in batch.indices]
        return self.guided_head.target(list(texts), links, source, target).to(self.device)

    def prepare_largest(self, batch: Batch) -> AlignmentTarget:
        """A target with an entry for every row."""
        rows = torch.arange(batch.target_layout.num_rows)
        return AlignmentTarget(rows, torch.zeros_like(rows), torch.ones(len(rows))).to(self.device)

    def __call__(self, model: Transformer, batch: Batch, prepared: AlignmentTarget) -> ObjectiveLoss:
        with self.guided_head.compare(prepared) as head_loss:
            translation = self.translation(model, batch, None)
        assert head_loss.value is not None
        own = torch.stack([head_loss.value.detach(), prepared.num_rows])
        return ObjectiveLoss(translation.total + self.weight * head_loss.value, torch.cat([translation.sums, own]))

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The head's loss per linked row, in nats; empty if no row was linked."""
        loss, rows = sums
        return {"guided": loss / rows} if rows else {}

    def files(self) -> dict[str, bytes]:
        """The file of a model folder that says which head word links are read from."""
        return {FILE: to_file(Choice(self.heads, "guided", self.weight, len(self.links)))}


def check_links(config: Config) -> None:
    """Raises: ConfigError: for settings that do not go with word links."""
    if not config.alignment.links:
        return
    if config.data.inputs:
        raise ConfigError(
            "`alignment.links` needs sources of text alone.",
            hint="leave out one of `alignment.links` and `data.inputs`.",
        )
    for name, limit in (("layer", "decoder_layers"), ("head", "heads")):
        value, largest = getattr(config.alignment, name) or 1, getattr(config.model, limit)
        if value > largest:
            raise ConfigError(f"`alignment.{name}` must be from 1 to {largest} (`model.{limit}`), but is {value}.")
