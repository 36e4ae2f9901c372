"""A Transformer as search sees it: with a cache, and, as the oracle of its tests, without one."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.config import Precision
from mt.device import autocast
from mt.nn.cache import DecoderState
from mt.nn.ragged import pack
from mt.nn.transformer import Memory, Transformer


class _Steps:
    """What both steppers share: the model, where it is, and in what precision its products run."""

    def __init__(self, model: Transformer, precision: Precision = Precision.fp32) -> None:
        self.model = model
        self.precision = precision

    @property
    def device(self) -> torch.device:
        return self.model.tgt_weight.device

    def autocast(self) -> torch.autocast:
        """Held around a whole search, so that 16-bit copies of the weights are made once."""
        return autocast(self.device, self.precision)

    def encode(self, source: list[list[int]]) -> Memory:
        ids, rows = pack(source)
        return self.model.encode(ids.to(self.device), rows.to(self.device))

    def log_probs(self, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R V"]:
        return self.model.logits(hidden).float().log_softmax(-1)


class CachedStepper(_Steps):
    """One row per hypothesis and step; keys and values of what came before are kept."""

    state: DecoderState

    def start(self, source: list[list[int]]) -> None:
        self.state = self.model.start(self.encode(source))

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        return self.log_probs(self.model.step(tokens, self.state))

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        self.state.reorder(rows, sentences)


class UncachedStepper(_Steps):
    """Decodes the whole prefix again at every step: slow, obvious, and what `CachedStepper` must agree with."""

    def start(self, source: list[list[int]]) -> None:
        self.source = source
        self.prefixes: list[list[int]] = [[] for _ in source]

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        self.prefixes = [[*prefix, token] for prefix, token in zip(self.prefixes, tokens.tolist(), strict=True)]
        beam = len(self.prefixes) // len(self.source)
        memory = self.encode([sentence for sentence in self.source for _ in range(beam)])
        ids, rows = pack(self.prefixes)
        hidden = self.model.decode(ids.to(self.device), rows.to(self.device), memory)
        return self.log_probs(hidden[rows.last_rows.to(self.device)])

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        self.prefixes = [list(self.prefixes[row]) for row in rows.tolist()]
        if sentences is not None:
            self.source = [self.source[i] for i in sentences.tolist()]
