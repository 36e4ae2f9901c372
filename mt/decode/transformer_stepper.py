"""A Transformer as search sees it: with a cache, and, as the oracle of its tests, without one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.config import Precision
from mt.decode.recorded import RecordedSteps, recording_pays
from mt.device import autocast, autocast_dtype
from mt.matmul import has_bf16, onednn_is_faster
from mt.nn.cache import DecoderState
from mt.nn.packed import packed
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
        x = model.logits(hidden).float()
        # Where they are, on a CPU: a quarter faster than into fresh memory.
        return torch.log_softmax(x, -1, out=x if x.device.type == "cpu" and not x.requires_grad else None)


class CachedStepper(_Steps):
    """One row per hypothesis and step; keys and values of what came before are kept."""

    state: DecoderState

    def __init__(
        self, model: Transformer, precision: Precision = Precision.fp32, *, recording: bool | None = None
    ) -> None:
        """Args: recording: whether steps are recorded (`mt.decode.recorded`); None: where it pays."""
        super().__init__(model, precision)
        self.recording = recording
        self._recorded: RecordedSteps | None = None
        self._copy: Transformer | None = None

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Held around a whole search: on the CPU the model that steps is a copy made ready for it, see `mt.nn.packed`;
        so it is where steps are recorded; elsewhere autocast makes 16-bit copies of the weights once.

        A copy made ready for the CPU does not outlive the search: the weights may be trained further, and an optimizer
        need not leave a trace that they have changed. Recorded steps stay, in memory of the device, and their copy is
        renewed for every search.
        """
        with autocast(self.device, Precision.fp32 if self.packs() else self.precision):
            if self._copy is not None:
                yield
                return
            self._copy = self._made_ready()
            try:
                yield
            finally:
                self._copy = None

    def _made_ready(self) -> Transformer | None:
        if self.records():
            if self._recorded is None or self._recorded.device != self.device:
                self._recorded = RecordedSteps(self.model, self.precision)
            return self._recorded.renew(self.model)
        self._recorded = None
        if not self.packs():
            return None
        int8 = self.precision is Precision.int8
        return packed(self.model, autocast_dtype(Precision.bf16 if int8 else self.precision), int8=int8)

    def records(self) -> bool:
        """Whether steps are recorded."""
        return recording_pays(self.model) if self.recording is None else self.recording

    def packs(self) -> bool:
        """Whether a copy of the model is faster here."""
        if self.device.type != "cpu" or self.model.tgt_weight.dtype is not torch.float32 or self.records():
            return False
        exact = self.precision is Precision.fp32 and onednn_is_faster()
        return exact or (self.precision in (Precision.bf16, Precision.int8) and has_bf16())

    def running(self) -> Transformer:
        """The model that steps: `model`, or its copy."""
        return self._copy or self.model

    def start(self, source: list[list[int]]) -> None:
        self.steps = self.running()
        self.state = self.steps.start(self.encode(self.steps, source))
        recorded = self._recorded
        self._step = self.steps.step if recorded is None or recorded.model is not self.steps else recorded.step

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        return self.log_probs(self.steps, self._step(tokens, self.state))

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        self.state.reorder(rows, sentences)

    def listen(self) -> None:
        self.state.asked = []

    def asked(self) -> Float[Tensor, "R S"]:
        """The mean of all layers and heads."""
        assert self.state.asked, "who listens before a step hears it"
        return torch.stack(self.state.asked).mean(0).flatten(0, 1)


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
