"""The interface between search and models.

A *row* is one hypothesis in progress. The rows of a sentence lie side by side and every sentence has equally many, so
row `r` belongs to sentence `r // (R // B)`: what a model keeps per sentence (the encoded source) is stored once and
never repeated per beam; only what it keeps per row (the decoder's cache) is reordered with the hypotheses.

    start([s0, s1])      B = 2, one row each
    step([bos, bos])     -> log-probabilities [2, V]
    reorder([0, 0, 1, 1])           two rows each: both rows of s0 continue its first
    step([a, b, c, d])   -> log-probabilities [4, V]
    reorder([3, 2], sentences=[1])  s0 leaves; the rows of s1 change places

Letters in all of `mt.decode`: B sentences, W beams, R rows (B * W), V vocabulary, T tokens so far, C candidates.
"""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.nn.source import Items


@runtime_checkable  # for the type checks in tests
class Stepper(Protocol):
    """Translates one batch of sentences token by token. `start` begins the next batch and discards the last."""

    @property
    def device(self) -> torch.device:
        """The device of the arguments of `step` and `reorder`."""
        ...

    def prepared(self) -> AbstractContextManager[object]:
        """A context around whole searches, which prepares the model once."""
        ...

    def start(self, source: Items) -> None:
        """Encode a batch of source items (of text: token ids, ended by eos) and open one row for each."""
        ...

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        """Append one token to every row; log-probabilities (float32) of the token after it.

        The first call appends bos. The caller may write into the result.
        """
        ...

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        """New row i continues old row `rows[i]`, of the same sentence; the number of rows per sentence may change.

        Args: sentences: the places in the batch of the sentences that stay, in their new order; None: all stay.
        """
        ...


@runtime_checkable
class AttentionStepper(Stepper, Protocol):
    """A stepper that returns the attention weights of its rows on the source."""

    def keep_weights(self) -> None:
        """Keep the weights of each step until the next `start`."""
        ...

    def weights(self) -> Float[Tensor, "R S"]:
        """The weights of the last step on each source row, averaged over all heads; 0 beyond the end of an item."""
        ...
