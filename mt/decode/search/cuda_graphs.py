"""Decoding steps as CUDA graphs: one launch for each step, replayed for every step of the same shape.

A small model's step is some 150 kernels of a few microseconds each, and the host takes longer to launch them than the
GPU to run them. A graph reads and writes the same memory, in the same shapes, every time. Hence:

- The state of a search moves into `Buffers`, memory that stays where it is from batch to batch. All shapes begin at its
  front, sentence after sentence. Sentences that leave a batch make it shorter and change nothing else
  (`mt.nn.cache.move`), so the graph of a smaller shape finds the other sentences where it expects them.
- Sizes are rounded up to powers of two, so that there are few shapes. Padding places hold zeros and are hidden. Padding
  sentences hold the contents of an earlier batch, which nothing reads: no operation of a step crosses sentences.
- The weights are a copy of the model's in the precision of the search, updated in place before every search.

A graph ends at the hidden rows. The search needs the host, and it writes into the log-probabilities: inside the graph
they would have to be copied, and every graph would keep `[R, V]` of them.
"""

import logging
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mt.compute.cuda_graphs import SMALL, capture, new_pool
from mt.compute.device import autocast, autocast_dtype
from mt.config import Precision
from mt.errors import in_short
from mt.nn.cache import DecoderState, MemoryKeys, PastKeys
from mt.nn.prepacked import copied
from mt.nn.transformer import Transformer, count_parameters

logger = logging.getLogger("mt")
MIN_PLACES = 64  # of a sentence: short translations never have to move
MIN_SOURCE_LENGTH = 16
MAX_GRAPHS = 64
TOLERANCE = 0.02  # of the largest number: the same sums in another order differ by less, in 16 bits too
# Guesses, not measured. Capturing a graph takes the time of so many plain steps; a shape that occurs less often gains
# nothing, and one that occurs more often has lost half at worst.
STEPS_BEFORE_CAPTURE = 20
USUAL_ROWS = 256


def graphs_pay(model: Transformer) -> bool:
    """On CUDA, for a model in 32 bits that is small with the usual number of rows."""
    possible = model.tgt_weight.device.type == "cuda" and model.tgt_weight.dtype is torch.float32
    return possible and count_parameters(model) * USUAL_ROWS < SMALL


@dataclass(frozen=True)
class Shape:
    """The shape of a step."""

    sentences: int
    width: int  # hypotheses of each sentence
    places: int  # for the nodes of each sentence
    source_length: int  # of the longest sentence, in tokens

    @classmethod
    def of(cls, state: DecoderState) -> "Shape":
        """The smallest shape that holds the state."""
        sentences, width, places = state.seen.shape
        return cls(
            sentences=power_of_two(sentences),
            width=width,
            places=max(MIN_PLACES, power_of_two(places)),
            source_length=max(MIN_SOURCE_LENGTH, power_of_two(state.memory_bias.shape[2])),
        )


def power_of_two(size: int) -> int:
    """The smallest power of two that is at least `size`."""
    return 1 << (size - 1).bit_length()


class Buffers:
    """Memory for the state of a search of any shape up to a size."""

    def __init__(self, model: Transformer, *, places: int, source_rows: int) -> None:
        """Args: places, source_rows: of all sentences together."""
        attention = model.decoder.layers[0].self_attention
        self.heads, self.size = attention.kv_heads, attention.size
        self.places, self.source_rows = places, source_rows
        row = self.heads * self.size
        with torch.inference_mode(False):  # else they could not be written outside of inference mode
            self.past = [model.tgt_weight.new_zeros(2, places * row) for _ in model.decoder.layers]
            self.memory = [model.tgt_weight.new_zeros(2, source_rows * row) for _ in model.decoder.layers]
            self.memory_bias = model.tgt_weight.new_zeros(source_rows)

    def state(self, sentences: int, shape: Shape) -> DecoderState:
        """A state whose keys, values and memory bias lie at the front of the buffers."""
        B, W, N, L = sentences, shape.width, shape.places, shape.source_length
        G, K = self.heads, self.size
        seen = torch.zeros(B, W, N, dtype=torch.bool, device=self.memory_bias.device)
        return DecoderState(
            memory=[
                MemoryKeys(keys=front(keys, B, G, K, L).transpose(2, 3), values=front(values, B, G, L, K))
                for keys, values in self.memory
            ],
            memory_bias=front(self.memory_bias, B, 1, L),
            past=[PastKeys(*(front(side, B, G, N, K) for side in layer)) for layer in self.past],
            seen=seen,
            past_bias=self.memory_bias.new_zeros(B, W, N),
            places=torch.zeros(B, W, dtype=torch.long, device=seen.device),
        )


def front(memory: Float[Tensor, " M"], *sizes: int) -> Float[Tensor, "..."]:
    """A view of the front of the memory, in this shape."""
    return memory[: prod(sizes)].view(sizes)


class StepGraph:
    """The CUDA graph of a step of one shape, with its inputs."""

    replay: Callable[[], None]
    hidden: Float[Tensor, "R D"]

    def __init__(self, model: Transformer, buffers: Buffers, shape: Shape) -> None:
        self.model = model
        self.device = model.tgt_weight.device
        with torch.inference_mode(False):
            self.state = buffers.state(shape.sentences, shape)
            self.tokens = torch.zeros(shape.sentences * shape.width, dtype=torch.long, device=self.device)
            self.positions = torch.zeros_like(self.tokens)

    def set_inputs(self, tokens: Int[Tensor, " R"], state: DecoderState) -> None:
        """Copy the tokens and places of a step. Keys and values are in the buffers already."""
        sentences = state.num_sentences
        self.tokens[: len(tokens)].copy_(tokens)
        self.positions.fill_(state.position - 1)
        self.state.places[:sentences].copy_(state.places)
        self.state.past_bias[:sentences].copy_(state.past_bias)

    def capture(self, pool: object, num_rows: int) -> None:
        """Capture the step that the inputs describe; running it several times gives the same result.

        Args: num_rows: those of the step; the rows after them are padding.

        Raises: RuntimeError: when a replay differs from the step.
        """
        # Out of inference mode, where the state of the random generator would be an inference tensor (pytorch 166792).
        with torch.inference_mode(False), torch.no_grad():
            self.replay, (self.hidden,) = capture(self._step, self.device, pool)
            self.replay()
            replayed = self.hidden[:num_rows].clone()
            [wanted] = self._step()  # last, so that keys and values are those of the step, not of the replay
        wanted = wanted[:num_rows]
        if not (replayed - wanted).abs().max() <= TOLERANCE * wanted.abs().max():
            raise RuntimeError("a replay differs from the captured step")

    def _step(self) -> list[Tensor]:
        with autocast(self.device, Precision.fp32):  # off: the weights have the precision of the search
            return [self.model.decoder.step(self.tokens, self.positions, self.state)]


class StepGraphs:
    """The graphs of one model in one precision, captured when their shape recurs, kept from search to search."""

    def __init__(self, model: Transformer, precision: Precision) -> None:
        with torch.inference_mode(False), torch.no_grad():
            # A deep copy, since `copied` shares the weights that have this precision, and `update` writes into them.
            self.model = deepcopy(copied(model, autocast_dtype(precision)))
        self.device = model.tgt_weight.device
        self.num_parameters = count_parameters(model)
        self.buffers: Buffers | None = None
        self.steps: Counter[Shape] = Counter()
        self.graphs: dict[Shape, StepGraph] = {}  # the least recently used first
        self.pool: object = None
        self.failed = False

    def update(self, model: Transformer) -> Transformer:
        """The copy, with the present weights of `model`."""
        with torch.inference_mode(False), torch.no_grad():
            for ours, theirs in zip(numbers(self.model), numbers(model), strict=True):
                ours.copy_(theirs)
        return self.model

    def step(self, tokens: Int[Tensor, " R"], state: DecoderState) -> Float[Tensor, "R D"]:
        """`Transformer.step` of the copy. The next step overwrites the result."""
        if self.failed or state.attended is not None or self.num_parameters * len(tokens) >= SMALL:
            return self.model.step(tokens, state)
        state.advance(len(tokens))
        shape = Shape.of(state)
        buffers = self.move_into_buffers(state, shape)
        graph = self.graphs.pop(shape, None)
        if graph is not None:
            graph.set_inputs(tokens, state)
            self.graphs[shape] = graph
        elif buffers is not None:
            graph = self.capture_if_frequent(tokens, state, shape, buffers)
        if graph is None:
            return self.model.decoder.step(tokens, torch.full_like(tokens, state.position - 1), state)
        graph.replay()
        return graph.hidden[: len(tokens)]

    def move_into_buffers(self, state: DecoderState, shape: Shape) -> Buffers | None:
        """Move the state into the buffers, in this shape; buffers that are too small are replaced.

        Returns: None without memory for larger buffers; the state is unchanged then.
        """
        places, source_rows = shape.sentences * shape.places, shape.sentences * shape.source_length
        buffers = self.buffers
        if buffers is None or buffers.places < places or buffers.source_rows < source_rows:
            if buffers is not None:
                places, source_rows = max(places, buffers.places), max(source_rows, buffers.source_rows)
            self.graphs.clear()  # they use the old buffers
            try:
                buffers = self.buffers = Buffers(self.model, places=places, source_rows=source_rows)
            except Exception as error:
                self.give_up(error)
                return None
        if not state.past[0].lies_at(buffers.past[0].data_ptr(), shape.places):
            state.move_into(buffers.state(state.num_sentences, shape))
        return buffers

    def capture_if_frequent(
        self, tokens: Int[Tensor, " R"], state: DecoderState, shape: Shape, buffers: Buffers
    ) -> StepGraph | None:
        """A graph of this step, which has not run yet; None for a rare shape, or when the capture fails."""
        self.steps[shape] += 1
        if self.steps[shape] <= STEPS_BEFORE_CAPTURE:
            return None
        if len(self.graphs) == MAX_GRAPHS:
            unused = next(iter(self.graphs))
            del self.graphs[unused], self.steps[unused]
        if not self.graphs:
            self.pool = new_pool(tokens.device)
        graph = StepGraph(self.model, buffers, shape)
        graph.set_inputs(tokens, state)
        try:
            graph.capture(self.pool, len(tokens))
        except Exception as error:
            self.give_up(error)
            return None
        self.graphs[shape] = graph
        return graph

    def give_up(self, error: Exception) -> None:
        """Capture nothing from now on, with a warning."""
        self.failed = True
        self.graphs.clear()
        self.buffers = self.pool = None
        logger.warning(f"the search continues without CUDA graphs, which failed here ({in_short(error)})")


def numbers(model: Transformer) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
