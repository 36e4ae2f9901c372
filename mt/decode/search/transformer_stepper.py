"""A Transformer as search sees it: with a cache, and, as the oracle of its tests, without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.compute.device import autocast, autocast_dtype
from mt.compute.matmul import has_bf16, onednn_is_faster
from mt.config import Precision
from mt.decode.search.cuda_graphs import RecordedSteps, recording_pays
from mt.nn.cache import DecoderState
from mt.nn.prepacked import prepacked
from mt.nn.ragged import pack
from mt.nn.source import Items
from mt.nn.transformer import Memory, Transformer


@dataclass(frozen=True)
class Prepared:
    """What runs in place of a model during a search."""

    model: Transformer  # the model itself or a copy of it
    step: Callable[[Int[Tensor, " R"], DecoderState], Float[Tensor, "R D"]]
    precision: Precision  # of autocast; fp32 where a copy already has the precision of the search


class _Steps:
    """What both steppers share: the model and its device."""

    def __init__(self, model: Transformer) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        return self.model.tgt_weight.device

    def encode(self, model: Transformer, source: Items) -> Memory:
        return model.encode(model.encoder.pack(source).to(self.device))

    def log_probs(self, model: Transformer, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R V"]:
        x = model.logits(hidden).float()
        # In place on a CPU: a quarter faster than into fresh memory.
        return torch.log_softmax(x, -1, out=x if x.device.type == "cpu" and not x.requires_grad else None)


class CachedStepper(_Steps):
    """One row per hypothesis and step; keys and values of earlier positions are kept."""

    state: DecoderState

    def __init__(
        self, model: Transformer, precision: Precision = Precision.fp32, *, recording: bool | None = None
    ) -> None:
        """Args: recording: whether steps are CUDA graphs (`mt.decode.search.cuda_graphs`); None: where it pays."""
        super().__init__(model)
        self.precision = precision
        self.recording = recording
        self._recorded: RecordedSteps | None = None
        self._plain = Prepared(model, model.step, Precision.fp32)
        self._prepared = self._plain

    @contextmanager
    def prepared(self) -> Iterator[Transformer]:
        """Around whole searches: the model in eval mode and in the precision of this stepper, and the model that runs.

        On the CPU this is a copy with prepacked weights (`mt.nn.prepacked`), with CUDA graphs a copy too; elsewhere
        autocast makes 16-bit copies of the weights once. A copy for the CPU does not outlive the block: the weights may
        be trained further, and an optimizer need not leave a trace that they have changed. CUDA graphs stay in the
        memory of the device, and their copy is renewed for every block.
        """
        if self._prepared is not self._plain:
            yield self._prepared.model
            return
        self.model.eval()
        self._prepared = self._prepare()
        try:
            with self._autocast():
                yield self._prepared.model
        finally:
            self._prepared = self._plain

    def _prepare(self) -> Prepared:
        if self.records():
            if self._recorded is None or self._recorded.device != self.device:
                self._recorded = RecordedSteps(self.model, self.precision)
            model = self._recorded.renew(self.model)
            return Prepared(model, self._recorded.step, self.precision)
        self._recorded = None
        if not self.packs():
            return Prepared(self.model, self.model.step, self.precision)
        int8 = self.precision is Precision.int8
        copy = prepacked(self.model, autocast_dtype(Precision.bf16 if int8 else self.precision), int8=int8)
        return Prepared(copy, copy.step, Precision.fp32)

    def records(self) -> bool:
        """Whether steps are CUDA graphs."""
        return recording_pays(self.model) if self.recording is None else self.recording

    def packs(self) -> bool:
        """Whether a copy of the model is faster here."""
        if self.device.type != "cpu" or self.model.tgt_weight.dtype is not torch.float32 or self.records():
            return False
        exact = self.precision is Precision.fp32 and onednn_is_faster()
        return exact or (self.precision in (Precision.bf16, Precision.int8) and has_bf16())

    def _autocast(self) -> torch.autocast:
        """Entered for every pass, since another member of an ensemble may run in another precision. `prepared` holds
        it too: autocast forgets its copies of the weights where the outermost block ends."""
        return autocast(self.device, self._prepared.precision)

    def start(self, source: Items) -> None:
        with self._autocast():
            model = self._prepared.model
            self.state = model.start(self.encode(model, source))

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        with self._autocast():
            return self.log_probs(self._prepared.model, self._prepared.step(tokens, self.state))

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        self.state.reorder(rows, sentences)

    def keep_weights(self) -> None:
        self.state.attended = []

    def weights(self) -> Float[Tensor, "R S"]:
        """The mean of all layers and heads."""
        assert self.state.attended, "no step since `keep_weights`"
        return torch.stack(self.state.attended).mean(0).flatten(0, 1)


class UncachedStepper(_Steps):
    """Decodes the whole prefix again at every step, in 32 bits: slow, obvious, and the oracle of `CachedStepper`."""

    def prepared(self) -> nullcontext[None]:
        return nullcontext()

    def start(self, source: Items) -> None:
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
