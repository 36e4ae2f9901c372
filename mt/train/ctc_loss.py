"""CTC as an objective beside the translation loss: the encoder alone must be able to spell the target.

Connectionist temporal classification (Graves et al. 2006) reads a label or a blank off each row of the memory; what is
left without blanks and repetitions is the target, in the order of the rows. As a helper for the encoder of speech it is
from Kim et al. 2017 (arXiv 1609.06773): the encoder learns to listen sooner, and to tell what was said twice. Its
labels are those of the decoder, read by the decoder's output layer with `bos` as the blank, so that the model has no
more parameters. Search does not use it. On a GPU, where none of this has run, torch's kernel for its gradient adds in
no fixed order: a resumed run may differ there in its last bits.

Letters: `B` sentences, `C` of them with a CTC loss, `M` memory rows, `L` of the longest of the C, `D` model, `V`
vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mt.compute.device import autocast, autocast_dtype
from mt.config import Config, InputKind, Sharding, parse_inputs
from mt.data.batching import Batch, fill_up
from mt.errors import ConfigError, refuse_beside
from mt.nn.ragged import pack
from mt.nn.source import Memory
from mt.nn.stems import picked
from mt.nn.transformer import Transformer
from mt.train.objective import ObjectiveLoss, TranslationLoss, target_loss

ORDERED = (InputKind.audio, InputKind.features)


class Labels(NamedTuple):
    """What CTC is to read, one item after the other."""

    items: Int[Tensor, " C"]  # places in the batch
    tokens: Int[Tensor, " N"]
    lengths: Int[Tensor, " C"]

    def to(self, device: torch.device) -> "Labels":
        return Labels(*(tensor.to(device) for tensor in self))


class CtcLoss:
    """The translation loss, plus the CTC loss of the encoder."""

    num_sums = 4  # two of the translation loss; the CTC loss, and how many labels it has read

    def __init__(self, translation: TranslationLoss, *, weight: float, bos: int, prefix: Sequence[int] = ()) -> None:
        """Args: weight: factor of the CTC loss, which is summed over labels, as the other is over target rows; prefix:
        only targets that begin so have one, and it is none of the labels."""
        self.translation = translation
        self.model = translation.model
        self.precision = translation.precision
        self.weight = weight
        self.blank = bos
        self.prefix = list(prefix)
        self.device = next(self.model.parameters()).device

    def prepare(self, batch: Batch) -> Labels:
        """The labels of the batch, on the device. Waits if the batch is on an accelerator already."""
        return self._labels(batch, self.prefix)

    def prepare_largest(self, batch: Batch) -> Labels:
        """All targets have labels."""
        return self._labels(batch, [])

    def _labels(self, batch: Batch, prefix: list[int]) -> Labels:
        first = 1 + len(prefix)  # after bos
        targets = [rows.tolist() for rows in batch.target_in.cpu().split(batch.target_layout.on_host.tolist())]
        found = {item: ids[first:] for item, ids in enumerate(targets) if ids[1:first] == prefix and len(ids) > first}
        if not found:
            none = torch.zeros(0, dtype=torch.int64)
            return Labels(none, none, none).to(self.device)
        tokens, layout = pack(list(found.values()))
        return Labels(torch.tensor(list(found)), tokens, layout.lengths).to(self.device)

    def __call__(self, model: Transformer, batch: Batch, prepared: Labels) -> ObjectiveLoss:
        padded = fill_up(batch)
        with autocast(batch.target_in.device, self.precision):
            memory = model.encode(padded.source)
            hidden = model.decode(padded.target_in, padded.target_layout, memory)
        loss = target_loss(model, hidden, batch, self.precision, self.translation.smoothing)
        losses = self.ctc(model, memory, prepared)
        read = (prepared.lengths * (losses > 0)).sum()  # an item with too few rows is not read
        ctc = losses.sum()
        own = torch.stack([ctc.detach(), read])
        return ObjectiveLoss(loss.smoothed + self.weight * ctc, torch.cat([torch.stack(loss).detach(), own]))

    def ctc(self, model: Transformer, memory: Memory, labels: Labels) -> Float[Tensor, " C"]:
        """-log p(labels | rows) of each item; 0 for one with too few rows for its labels."""
        if not len(labels.items):
            return memory.rows.new_zeros(0, dtype=torch.float32)
        layout, width = memory.layout, memory.layout.max_length
        places = layout.grid_to_row[labels.items, :width]
        rows = picked(memory.rows, places).flatten(0, 1).to(autocast_dtype(self.precision))
        features, weight = model.decoder.output.factors(rows)
        logits = (features @ weight.to(features.dtype).T).float().view(*places.shape, -1)
        return F.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1), labels.tokens, layout.lengths[labels.items], labels.lengths,
            blank=self.blank, reduction="none", zero_infinity=True,
        )  # fmt: skip

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The CTC loss per label, in nats; empty if no label was read."""
        loss, labels = sums
        return {"ctc": loss / labels} if labels else {}


def check_ctc(config: Config) -> None:
    """Raises: ConfigError: for settings that do not go with a CTC loss."""
    if not config.loss.ctc:
        return
    kinds = [one.kind for one in parse_inputs(config.data.inputs)]
    if len(kinds) != 1 or kinds[0] not in ORDERED:
        raise ConfigError(
            "`loss.ctc` needs a source whose rows follow each other in time: one input of audio or features in "
            "`data.inputs`."
        )
    sharded = config.train.sharding is Sharding.full
    refuse_beside("loss.ctc", (config.model.matching > 0, "model.matching"), (sharded, "train.sharding=full"))
    tag, tags = config.loss.ctc_tag, config.tokenizer.tags
    if tag is not None and tag not in tags:
        raise ConfigError(
            f"`loss.ctc_tag` must be one of `tokenizer.tags`, which are {', '.join(tags) or 'none'}, but is {tag}."
        )
