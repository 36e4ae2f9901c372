"""A Transformer as search sees it: with a cache, and, as the oracle of its tests, without one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.config import Precision
from mt.device import autocast, autocast_dtype
from mt.nn.cache import DecoderState
from mt.nn.copy16 import copy_in
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

    def encode(self, model: Transformer, source: list[list[int]]) -> Memory:
        ids, rows = pack(source)
        return model.encode(ids.to(self.device), rows.to(self.device))

    def log_probs(self, model: Transformer, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R V"]:
        return model.logits(hidden).log_softmax(-1, dtype=torch.float32)


class CachedStepper(_Steps):
    """One row per hypothesis and step; keys and values of what came before are kept."""

    state: DecoderState

    def __init__(self, model: Transformer, precision: Precision = Precision.fp32) -> None:
        super().__init__(model, precision)
        self._copy: Transformer | None = None

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Held around a whole search, so that 16-bit copies of the weights are made once; 32 bits without it.

        On the CPU bf16 is a copy of the model and not autocast, see `mt.nn.copy16`. It does not outlive the search: the
        weights may be trained further, and an optimizer need not leave a trace that they have changed.
        """
        if self.device.type != "cpu" or self.precision is not Precision.bf16 or self._copy is not None:
            with autocast(self.device, Precision.fp32 if self._copy is not None else self.precision):
                yield
            return
        self._copy = copy_in(self.model, autocast_dtype(self.precision))
        try:
            yield
        finally:
            self._copy = None

    def running(self) -> Transformer:
        """The model that steps: `model`, or its copy."""
        return self._copy or self.model

    def start(self, source: list[list[int]]) -> None:
        self.steps = self.running()
        self.state = self.steps.start(self.encode(self.steps, source))

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        return self.log_probs(self.steps, self.steps.step(tokens, self.state))

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
        memory = self.encode(self.model, [sentence for sentence in self.source for _ in range(beam)])
        ids, rows = pack(self.prefixes)
        hidden = self.model.decode(ids.to(self.device), rows.to(self.device), memory)
        return self.log_probs(self.model, hidden[rows.last_rows.to(self.device)])

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        self.prefixes = [list(self.prefixes[row]) for row in rows.tolist()]
        if sentences is not None:
            self.source = [self.source[i] for i in sentences.tolist()]
