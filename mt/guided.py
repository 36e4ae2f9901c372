"""Guided alignment: one head of one layer of the cross-attention is taught to follow word links (Garg et al. 2019).

The rows taught are those whose *input* is the linked piece (Chen et al. 2020): such a row knows the word, so the lesson
is easy and costs the translation little. The weights of that one head are made beside the pass; all other heads, and
the pass itself, stay on the fused path.

Letters: `E` taught places of a batch, each a target row and a source row of one sentence.
"""

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.attention import hidden_keys
from mt.nn.ragged import Ragged
from mt.nn.transformer import Transformer
from mt.tokenizer import Tokenizer
from mt.words import NO_WORD, Links, Offset, carry_over, owners, spaced_words


@dataclass(frozen=True)
class Lesson:
    """Where the head is to look. A taught row shares its attention evenly among the pieces that it is linked to."""

    rows: Int[Tensor, " E"]  # target rows of the batch
    columns: Int[Tensor, " E"]  # source rows, counted within their sentence
    shares: Float[Tensor, " E"]  # of each taught row they sum to one

    @property
    def num_rows(self) -> Float[Tensor, ""]:
        """Rows that are taught."""
        return self.shares.sum().round()

    def to(self, device: torch.device) -> "Lesson":
        moved = (part.to(device, non_blocking=True) for part in (self.rows, self.columns, self.shares))
        return Lesson(*moved)


def make_lesson(links: Sequence[Links], source_words: Sequence[list[int]], target_words: Sequence[list[int]]) -> Lesson:
    """Args: links: of each sentence's words; source_words, target_words: the word of each piece, without marks.

    Row 0 of a target is the begin mark's, which is taught nothing; nor are pieces of words without links.
    """
    rows, columns, shares = [], [], []
    first = 0
    for linked, sources, targets in zip(links, source_words, target_words, strict=True):
        places, asked = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for column, word in enumerate(sources):
            places[word].append(column)
        for source, target in linked:
            asked[target] += places.get(source, [])
        for row, target in enumerate(targets, first + 1):
            if target != NO_WORD and (seen := asked.get(target)):
                rows += [row] * len(seen)
                columns += sorted(seen)
                shares += [1 / len(seen)] * len(seen)
        first += len(targets) + 1
    return Lesson(
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(columns, dtype=torch.int64),
        torch.tensor(shares, dtype=torch.float32),
    )


def guided_loss(
    q: Float[Tensor, "T K"], k: Float[Tensor, "S K"], *, queries: Ragged, keys: Ragged, lesson: Lesson
) -> Float[Tensor, ""]:
    """Cross-entropy between the lesson and the attention of one head, summed over the taught rows, in nats.

    In 32 bits, whatever the pass around it runs in: it is a small product, and the loss of it may be small too.
    """
    q_grid = q.float()[queries.grid_to_row]  # (T, K) -> (B, Tm, K)
    k_grid = k.float()[keys.grid_to_row]
    with torch.autocast(q.device.type, enabled=False):
        scores = q_grid @ k_grid.transpose(1, 2) / math.sqrt(q.shape[1])
    logs = scores.masked_fill(hidden_keys(queries, keys, causal=False), float("-inf")).log_softmax(-1)
    flat = logs.flatten(0, 1)[queries.places]  # (B, Tm, Sm) -> (T, Sm)
    return -(flat[lesson.rows, lesson.columns] * lesson.shares).sum()


@dataclass
class Heard:
    """What the taught head said in the last pass."""

    loss: Float[Tensor, ""] | None = None
    rows: Float[Tensor, ""] | None = None  # that were taught


class Guide:
    """Teaches one head. `with guide.teach(...) as heard:` a pass of the model leaves its loss in `heard.loss`.

    It listens to its layer from when it is made until `release`, and does nothing in a pass that is not taught, such as
    validation. Several threads may each teach a part of a batch through the same model.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, *, layer: int, head: int) -> None:
        """Args: layer, head: of the decoder's cross-attention, counted from 0."""
        self.attention = model.decoder.layers[layer].cross_attention
        self.tokenizer = tokenizer
        self.head = head
        self._here = threading.local()
        self.attention.listener = self._listen

    def __deepcopy__(self, memo: object) -> "Guide":
        """A copy of the model, made for translation, needs no guide of its own: this one is silent in its passes."""
        return self

    def release(self) -> None:
        self.attention.listener = None

    def lesson(self, texts: Sequence[tuple[str, str]], links: Sequence[Links], source: Sequence[list[int]],
               target: Sequence[list[int]]) -> Lesson:  # fmt: skip
        """What these pairs teach, in whichever segmentation they come.

        Args: links: between what stands between white space; source: pieces with the end mark; target: bare pieces.
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
        return make_lesson(links, source_words, target_words)

    @staticmethod
    def _words(
        offsets: list[Offset], text: str, spell: Callable[[Sequence[int]], list[str]], ids: Sequence[int]
    ) -> list[int]:
        plain, owned = [piece[0] for piece in offsets], owners(offsets, spaced_words(text))
        if plain == list(ids):
            return owned
        before, now = spell(plain), spell(ids)
        if sum(map(len, before)) != sum(map(len, now)):
            return [NO_WORD] * len(ids)  # a letter that is no piece by itself was drawn, and is unknown
        return carry_over(owned, before, now)

    @contextmanager
    def teach(self, lesson: Lesson) -> Iterator[Heard]:
        """Teach in the passes that this thread makes until the block ends."""
        heard = Heard()
        self._here.lesson = lesson, heard
        try:
            yield heard
        finally:
            self._here.lesson = None

    def _listen(self, q: Tensor, kv: Tensor, queries: Ragged, keys: Ragged, causal: bool) -> None:
        taught: tuple[Lesson, Heard] | None = getattr(self._here, "lesson", None)
        if taught is None:
            return
        lesson, heard = taught
        group = self.head * kv.shape[2] // q.shape[1]
        heard.loss = guided_loss(q[:, self.head], kv[:, 0, group], queries=queries, keys=keys, lesson=lesson)
        heard.rows = lesson.num_rows
