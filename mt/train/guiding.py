"""Guided alignment in training: the links of the pairs at hand become lessons, and what they cost is added up.

Lessons are made from the pieces of a batch as it comes, so that any segmentation will do, and while those are still on
the host: nothing waits for an accelerator, but where a batch did not fit its memory and is cut.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mt.batching import Batch, TokenizedCorpus
from mt.guided import Guide, Heard, Lesson
from mt.interpret.align import Reading
from mt.interpret.aligner import FILE, to_file
from mt.interpret.choose import Choice
from mt.nn.source import TokenSource
from mt.nn.transformer import Transformer
from mt.train.links import LinkTable


class Guiding:
    """One head that is held to the links of a corpus while its model is trained on that."""

    def __init__(
        self, model: Transformer, corpus: TokenizedCorpus, links: LinkTable, *, layer: int, head: int, weight: float
    ) -> None:
        """Args: links: of every pair of `corpus`; layer, head: from 0; weight: of this loss beside the translation's,
        both summed over rows."""
        self.guide = Guide(model, corpus.tokenizer, layer=layer, head=head)
        self.table, self.links = corpus.table, links
        self.reading = Reading(layer, (head,), shifted=True)
        self.weight = weight
        self._ready: tuple[tuple[int, ...], Lesson] | None = None
        self._sums = torch.zeros(2, device=next(model.parameters()).device)

    def prepare(self, batch: Batch) -> None:
        """Make the lesson of a batch that is about to be moved to the device."""
        self._ready = batch.indices, self._lesson(batch)

    def rehearse(self, batch: Batch) -> None:
        """Make a lesson for a batch of no real pairs, which shows how much memory it takes: every row is taught."""
        rows = torch.arange(batch.target_layout.num_rows)
        self._ready = batch.indices, Lesson(rows, torch.zeros_like(rows), torch.ones(len(rows)))

    @contextmanager
    def teach(self, batch: Batch) -> Iterator[Heard]:
        """Inside, a pass of the batch, or of a part of the one prepared, leaves the head's loss in what is given."""
        lesson = self._ready[1] if self._ready and self._ready[0] == batch.indices else self._lesson(batch)
        lesson = lesson.to(self._sums.device)
        with self.guide.teach(lesson) as heard:
            yield heard

    def weighted(self, heard: Heard) -> Float[Tensor, ""]:
        """What a taught pass adds to the sum that is trained on."""
        assert heard.loss is not None
        return self.weight * heard.loss

    def count(self, heard: Heard) -> None:
        """A taught pass has been learnt from; one that ran out of memory has not, and comes again."""
        assert heard.loss is not None and heard.rows is not None
        self._sums += torch.stack([heard.loss.detach(), heard.rows])

    def take(self) -> Float[Tensor, "2"]:
        """The sum of the losses counted, in nats, and the number of taught rows, since this was last asked."""
        sums, self._sums = self._sums, torch.zeros_like(self._sums)
        return sums

    def files(self) -> dict[str, bytes]:
        """What tells `mt align`, and whoever else asks for links, to read them off this head."""
        return {FILE: to_file(Choice(self.reading, "guided", self.weight, len(self.links)))}

    def _lesson(self, batch: Batch) -> Lesson:
        pairs = np.array(batch.indices, np.int64)
        texts = zip(self.table.texts("src", pairs), self.table.texts("tgt", pairs), strict=True)
        assert isinstance(batch.source, TokenSource), "links are between words"
        source = batch.source.items()
        target = [rows.tolist()[1:] for rows in batch.target_in.cpu().split(batch.target_layout.lengths.tolist())]
        return self.guide.lesson(list(texts), [self.links[i] for i in batch.indices], source, target)
