"""Guided alignment: one head of one cross-attention layer is trained to follow word links (Garg et al. 2019).

The target belongs to the rows whose *input* is the linked token (Chen et al. 2020): such a row knows the word, so the
task is easy and costs little translation quality. The weights of the guided head are computed besides the pass, which
stays on the fused path for all heads.

Letters: `E` entries of a batch's alignment target, each a target row and a source row of one sentence.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.compute.device import copied_ahead
from mt.nn.attention import hidden_keys
from mt.nn.ragged import Ragged
from mt.nn.transformer import Transformer
from mt.text.tokenizer import Tokenizer
from mt.text.words import NO_WORD, Links, Offset, carry_over, owners, spaced_words


@dataclass(frozen=True)
class AlignmentTarget:
    """The attention that a head should have: of a linked row, equal shares for the tokens that it is linked to."""

    rows: Int[Tensor, " E"]  # target rows of the batch
    columns: Int[Tensor, " E"]  # source rows, counted within their sentence
    shares: Float[Tensor, " E"]  # of each linked row they sum to one

    @property
    def num_rows(self) -> Float[Tensor, ""]:
        """The number of linked rows."""
        return self.shares.sum().round()

    def to(self, device: torch.device) -> "AlignmentTarget":
        ahead = copied_ahead(device)
        moved = (part.to(device, non_blocking=ahead) for part in (self.rows, self.columns, self.shares))
        return AlignmentTarget(*moved)


def alignment_target(
    links: Sequence[Links], source_words: Sequence[list[int]], target_words: Sequence[list[int]]
) -> AlignmentTarget:
    """The target of a batch.

    Args: links: between the words of each sentence; source_words, target_words: the word of each token, without bos and
    eos.

    Row 0 of a sentence, whose input is bos, is not linked; nor are tokens of words without links.
    """
    rows, columns, shares = [], [], []
    first = 0
    for linked, sources, targets in zip(links, source_words, target_words, strict=True):
        columns_of, linked_columns = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for column, word in enumerate(sources):
            columns_of[word].append(column)
        for source, target in linked:
            linked_columns[target] += columns_of.get(source, [])
        for row, target in enumerate(targets, first + 1):
            if target != NO_WORD and (found := linked_columns.get(target)):
                rows += [row] * len(found)
                columns += sorted(found)
                shares += [1 / len(found)] * len(found)
        first += len(targets) + 1
    return AlignmentTarget(
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(columns, dtype=torch.int64),
        torch.tensor(shares, dtype=torch.float32),
    )


def alignment_loss(
    q: Float[Tensor, "T K"], k: Float[Tensor, "S K"], *, queries: Ragged, keys: Ragged, target: AlignmentTarget
) -> Float[Tensor, ""]:
    """Cross-entropy between the target and the attention of one head, summed over the linked rows, in nats.

    Computed in 32 bits in any precision, since the loss may be small.
    """
    q_grid = q.float()[queries.grid_to_row]  # (T, K) -> (B, Tm, K)
    k_grid = k.float()[keys.grid_to_row]
    with torch.autocast(q.device.type, enabled=False):
        scores = q_grid @ k_grid.transpose(1, 2) / math.sqrt(q.shape[1])
    logs = scores.masked_fill(hidden_keys(queries, keys, causal=False), float("-inf")).log_softmax(-1)
    flat = logs.flatten(0, 1)[queries.row_to_grid]  # (B, Tm, Sm) -> (T, Sm)
    return -(flat[target.rows, target.columns] * target.shares).sum()


@dataclass
class HeadLoss:
    """The alignment loss of the guided head; a pass of the model sets it."""

    value: Float[Tensor, ""] | None = None


class GuidedHead:
    """The guided head. A pass of the model within `with head.compare(target) as loss:` sets `loss.value`.

    The constructor registers a listener at the layer. Passes outside of `compare`, as in a validation, compute no loss.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, *, layer: int, head: int) -> None:
        """Args: layer, head: of the decoder's cross-attention, counted from 0."""
        self.tokenizer = tokenizer
        self.head = head
        self._current: tuple[AlignmentTarget, HeadLoss] | None = None
        model.decoder.layers[layer].cross_attention.listener = self._set_loss

    def __deepcopy__(self, memo: object) -> "GuidedHead":
        """A copy of the model for translation shares this object; its passes are outside of `compare`."""
        return self

    def target(self, texts: Sequence[tuple[str, str]], links: Sequence[Links], source: Sequence[list[int]],
               target: Sequence[list[int]]) -> AlignmentTarget:  # fmt: skip
        """The alignment target of these pairs, in their segmentation.

        Args: links: between words separated by white space; source: ids with eos; target: ids without bos and eos.
        """
        t = self.tokenizer
        source_words = [
            [*self._words(t.offsets_source(src), src, t.pieces_source, ids[:-1]), NO_WORD]
            for (src, _), ids in zip(texts, source, strict=True)
        ]
        target_words = [
            self._words(t.offsets_target(tgt), tgt, t.pieces_target, ids)
            for (_, tgt), ids in zip(texts, target, strict=True)
        ]
        return alignment_target(links, source_words, target_words)

    @staticmethod
    def _words(
        offsets: list[Offset], text: str, spell: Callable[[Sequence[int]], list[str]], ids: Sequence[int]
    ) -> list[int]:
        """The word of each of `ids`, whose segmentation may differ from that of `offsets`."""
        usual, owned = [token[0] for token in offsets], owners(offsets, spaced_words(text))
        if usual == list(ids):
            return owned
        before, now = spell(usual), spell(ids)
        if sum(map(len, before)) != sum(map(len, now)):
            return [NO_WORD] * len(ids)  # subword sampling drew a letter that is not in the vocabulary
        return carry_over(owned, before, now)

    @contextmanager
    def compare(self, target: AlignmentTarget) -> Iterator[HeadLoss]:
        """Compute the loss of `target` in the passes of the model within the block."""
        loss = HeadLoss()
        self._current = target, loss
        try:
            yield loss
        finally:
            self._current = None

    def _set_loss(self, q: Tensor, kv: Tensor, queries: Ragged, keys: Ragged, causal: bool) -> None:
        if self._current is None:
            return
        target, loss = self._current
        group = self.head * kv.shape[2] // q.shape[1]
        loss.value = alignment_loss(q[:, self.head], kv[:, 0, group], queries=queries, keys=keys, target=target)
