"""What search knows of a model: three verbs and a device.

A *row* is one hypothesis under construction. The rows of a sentence lie side by side and every sentence has equally
many, so row `r` belongs to sentence `r // (R // B)`: what a model keeps per sentence (the encoded source) is stored
once and never repeated per beam; only what it keeps per row (the decoder's cache) follows the hypotheses about.

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


@runtime_checkable  # so that shape checks in tests can tell one
class Stepper(Protocol):
    """One batch of sentences being translated, token by token. `start` begins the next batch and forgets the last."""

    @property
    def device(self) -> torch.device:
        """Where `step` and `reorder` expect their arguments."""
        ...

    def prepared(self) -> AbstractContextManager[object]:
        """Around whole searches, so that a model is made ready for them once."""
        ...

    def start(self, source: Items) -> None:
        """Read a batch of source items (of text: token ids, ended by eos) and open one row for each."""
        ...

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        """Append one token to every row; log-probabilities (float32) of the token after it.

        The first call appends bos. The result is the caller's: search writes into it.
        """
        ...

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        """New row i continues old row `rows[i]`.

        `sentences` are the sentences (positions in the current batch, in their order in the next) that stay, None: all
        of them. A row only ever continues a row of its own sentence; the number of rows per sentence may change.
        """
        ...


@runtime_checkable
class AttentionStepper(Stepper, Protocol):
    """One that gives the attention weights of its rows on the source."""

    def keep_weights(self) -> None:
        """From now until the next `start`, keep the weights of each step."""
        ...

    def weights(self) -> Float[Tensor, "R S"]:
        """Of each row of the last step on each source row, the mean of all heads; 0 beyond the end of its item."""
        ...
