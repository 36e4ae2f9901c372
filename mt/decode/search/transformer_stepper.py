"""A Transformer as the `Stepper` of a search, with cached keys and values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.compute.device import autocast, autocast_dtype
from mt.compute.matmul import has_bf16, onednn_is_faster
from mt.config import Precision
from mt.decode.search.cuda_graphs import StepGraphs, graphs_pay
from mt.nn.cache import DecoderState
from mt.nn.prepacked import prepacked
from mt.nn.source import Items
from mt.nn.transformer import Transformer


@dataclass(frozen=True)
class Prepared:
    """A model prepared for a search."""

    model: Transformer  # the model itself or a copy of it
    step: Callable[[Int[Tensor, " R"], DecoderState], Float[Tensor, "R D"]]
    precision: Precision  # of autocast; fp32 when the copy already has the precision of the search


class CachedStepper:
    """One row per hypothesis and step; keys and values of earlier positions are kept."""

    state: DecoderState

    def __init__(
        self, model: Transformer, precision: Precision = Precision.fp32, *, cuda_graphs: bool | None = False
    ) -> None:
        """Args: cuda_graphs: experimental, see `mt.decode.search.cuda_graphs`; None: where they pay."""
        self.model = model
        self.precision = precision
        self.cuda_graphs = cuda_graphs
        self._graphs: StepGraphs | None = None
        self._plain = Prepared(model, model.step, Precision.fp32)
        self._prepared = self._plain

    @property
    def device(self) -> torch.device:
        return self.model.tgt_weight.device

    @contextmanager
    def prepared(self) -> Iterator[Transformer]:
        """Put the model into eval mode and the precision of this stepper for whole searches; yields what runs.

        On the CPU this is a copy with prepacked weights (`mt.nn.prepacked`), with CUDA graphs a copy too; elsewhere
        autocast makes 16-bit copies of the weights once. A copy for the CPU does not outlive the block, since training
        may change the weights, and an optimizer need not leave a trace of that. CUDA graphs are kept, and their copy is
        updated for every block.
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
        if self.uses_graphs():
            if self._graphs is None or self._graphs.device != self.device:
                self._graphs = StepGraphs(self.model, self.precision)
            model = self._graphs.update(self.model)
            return Prepared(model, self._graphs.step, self.precision)
        self._graphs = None
        if not self.uses_prepacked():
            return Prepared(self.model, self.model.step, self.precision)
        int8 = self.precision is Precision.int8
        copy = prepacked(self.model, autocast_dtype(Precision.bf16 if int8 else self.precision), int8=int8)
        return Prepared(copy, copy.step, Precision.fp32)

    def uses_graphs(self) -> bool:
        """Whether steps are CUDA graphs."""
        return graphs_pay(self.model) if self.cuda_graphs is None else self.cuda_graphs

    def uses_prepacked(self) -> bool:
        """Whether a prepacked copy of the model is faster here."""
        if self.device.type != "cpu" or self.model.tgt_weight.dtype is not torch.float32 or self.uses_graphs():
            return False
        exact = self.precision is Precision.fp32 and onednn_is_faster()
        return exact or (self.precision in (Precision.bf16, Precision.int8) and has_bf16())

    def _autocast(self) -> torch.autocast:
        """Entered for every pass, since another member of an ensemble may run in another precision. `prepared` enters
        it too, since the end of the outermost block clears autocast's copies of the weights."""
        return autocast(self.device, self._prepared.precision)

    def start(self, source: Items) -> None:
        with self._autocast():
            model = self._prepared.model
            self.state = model.start(model.encode(model.encoder.pack(source).to(self.device)))

    def step(self, tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        with self._autocast():
            x = self._prepared.model.logits(self._prepared.step(tokens, self.state)).float()
            # In place on a CPU: a quarter faster than into fresh memory.
            return torch.log_softmax(x, -1, out=x if x.device.type == "cpu" and not x.requires_grad else None)

    def reorder(self, rows: Int[Tensor, " R2"], sentences: Int[Tensor, " B2"] | None = None) -> None:
        self.state.reorder(rows, sentences)

    def keep_weights(self) -> None:
        self.state.attended = []

    def weights(self) -> Float[Tensor, "R S"]:
        """The mean of all layers and heads."""
        assert self.state.attended, "no step since `keep_weights`"
        return torch.stack(self.state.attended).mean(0).flatten(0, 1)
