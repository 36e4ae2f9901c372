"""Steps of a search as one launch each: CUDA graphs, replayed for every step of the same shape.

A small model's step is some 150 kernels of a few microseconds each, and the host takes longer to launch them than the
GPU to run them. A graph reads and writes the same memory, in the same shapes, every time. Hence:

- The state of a search moves into `Buffers`, memory that stays where it is from batch to batch. All shapes begin at its
  front, sentence after sentence. Sentences that leave a batch make it shorter and nothing else (`mt.nn.cache.move`),
  so that the graph of a smaller shape finds the remaining ones where it expects them.
- Sizes are rounded up to powers of two, so that there are few shapes. Places that are added hold zeros and are hidden.
  Sentences that are added are padding with the contents of an earlier batch, which nobody reads: nothing in a step
  crosses from one sentence to another.
- The weights are a copy of the model's, in the precision of the search, renewed where they are before every search.

A graph ends at the hidden rows. The choice of places needs the host, as search does, and log-probabilities are the
caller's to write into: inside, they would have to be copied, and every graph would keep `[R, V]` of them.
"""

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
from mt.log import logger
from mt.nn.cache import DecoderState, MemoryKeys, PastKeys
from mt.nn.prepacked import copied
from mt.nn.transformer import Transformer, count_parameters

FEWEST_PLACES = 64  # for nodes of a sentence: short translations never have to move
FEWEST_SOURCE_ROWS = 16  # of a source sentence
MOST_RECORDINGS = 64
WRONG = 0.02  # of the largest number: the same sums in another order differ by less, in 16 bits too
# Guesses, not measured. Capturing a graph takes the time of so many plain steps; a shape that comes less often than
# that gains nothing, and one that does has lost half at worst.
STEPS_BEFORE = 20
USUAL_ROWS = 256


def recording_pays(model: Transformer) -> bool:
    """On CUDA, for a model in 32 bits that is small with as many rows as a batch usually has."""
    there = model.tgt_weight.device.type == "cuda" and model.tgt_weight.dtype is torch.float32
    return there and count_parameters(model) * USUAL_ROWS < SMALL


@dataclass(frozen=True)
class Shape:
    """Of a step."""

    sentences: int
    width: int  # hypotheses of each
    places: int  # for nodes of each
    pieces: int  # of the longest source sentence

    @classmethod
    def of(cls, state: DecoderState) -> "Shape":
        """The smallest that holds the state."""
        sentences, width, places = state.seen.shape
        pieces = state.memory_bias.shape[2]
        return cls(
            sentences=power_of_two(sentences),
            width=width,
            places=max(FEWEST_PLACES, power_of_two(places)),
            pieces=max(FEWEST_SOURCE_ROWS, power_of_two(pieces)),
        )


def power_of_two(size: int) -> int:
    """The smallest that is not less."""
    return 1 << (size - 1).bit_length()


class Buffers:
    """Memory for the state of a search, whatever its shape, up to a size."""

    def __init__(self, model: Transformer, *, places: int, pieces: int) -> None:
        """Args: places, pieces: of all sentences together."""
        attention = model.decoder.layers[0].self_attention
        self.heads, self.size = attention.kv_heads, attention.size
        self.places, self.pieces = places, pieces
        row = self.heads * self.size
        # Not of inference mode: who steps outside it may write here, too.
        with torch.inference_mode(False):
            self.past = [model.tgt_weight.new_zeros(2, places * row) for _ in model.decoder.layers]
            self.memory = [model.tgt_weight.new_zeros(2, pieces * row) for _ in model.decoder.layers]
            self.memory_bias = model.tgt_weight.new_zeros(pieces)

    def state(self, sentences: int, shape: Shape) -> DecoderState:
        """A state of so many sentences. Its keys, values and the bias on the memory lie at the front of the buffers."""
        B, W, N, L = sentences, shape.width, shape.places, shape.pieces
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
    """The front of it, in this shape."""
    return memory[: prod(sizes)].view(sizes)


class Recording:
    """One step, of one shape."""

    def __init__(self, model: Transformer, buffers: Buffers, shape: Shape) -> None:
        """Nothing is captured yet."""
        self.model = model
        self.device = model.tgt_weight.device
        with torch.inference_mode(False):
            self.state = buffers.state(shape.sentences, shape)
            self.tokens = torch.zeros(shape.sentences * shape.width, dtype=torch.long, device=self.device)
            self.positions = torch.zeros_like(self.tokens)
        self.own_rows = 0  # of the step that was taken; those behind them are padding
        self.replay: Callable[[], None]
        self.hidden: Float[Tensor, "R D"]

    def take(self, tokens: Int[Tensor, " R"], state: DecoderState) -> None:
        """The tokens of this step, and where it stands. Keys and values are there already."""
        sentences, self.own_rows = state.num_sentences, len(tokens)
        self.tokens[: len(tokens)].copy_(tokens)
        self.positions.fill_(state.position - 1)
        self.state.places[:sentences].copy_(state.places)
        self.state.past_bias[:sentences].copy_(state.past_bias)

    def make(self, pool: object) -> None:
        """Capture it, with a step that was taken, which runs several times with the same result.

        Raises: RuntimeError: where a replay is not what the step itself is.
        """
        # Out of inference mode, in which the generator's state would be of it, too (pytorch issue 166792).
        with torch.inference_mode(False), torch.no_grad():
            self.replay, (self.hidden,) = capture(self._work, self.device, pool)
            self.replay()
            replayed = self.hidden.clone()
            [wanted] = self._work()  # last: keys and values are those of the step, whatever the replay wrote
        rows = self.own_rows
        if not (replayed[:rows] - wanted[:rows]).abs().max() <= WRONG * wanted[:rows].abs().max():
            raise RuntimeError("a replay differs from the step that was recorded")

    def _work(self) -> list[Tensor]:
        with autocast(self.device, Precision.fp32):  # off: the weights are of the precision of the search
            return [self.model.decoder.step(self.tokens, self.positions, self.state)]


class RecordedSteps:
    """Steps of one model in one precision, captured when their shape recurs, kept from search to search."""

    def __init__(self, model: Transformer, precision: Precision) -> None:
        with torch.inference_mode(False), torch.no_grad():
            # Once more, for what is of this precision already is shared, and `renew` is to write in no other model.
            self.model = deepcopy(copied(model, autocast_dtype(precision)))
        self.device = model.tgt_weight.device
        self.weights = count_parameters(model)
        self.buffers: Buffers | None = None
        self.steps: Counter[Shape] = Counter()
        self.recordings: dict[Shape, Recording] = {}
        self.pool: object = None
        self.failed = False

    def renew(self, model: Transformer) -> Transformer:
        """The copy, with the numbers of `model` as they are now."""
        with torch.inference_mode(False), torch.no_grad():
            for ours, theirs in zip(numbers(self.model), numbers(model), strict=True):
                ours.copy_(theirs)
        return self.model

    def step(self, tokens: Int[Tensor, " R"], state: DecoderState) -> Float[Tensor, "R D"]:
        """`Transformer.step` of the copy. The result is to be read before the next step."""
        if self.failed or state.attended is not None or self.weights * len(tokens) >= SMALL:
            return self.model.step(tokens, state)
        state.advance(len(tokens))
        shape = Shape.of(state)
        buffers = self.move_into_buffers(state, shape)
        recording = self.recordings.pop(shape, None)
        if recording is not None:
            recording.take(tokens, state)
            self.recordings[shape] = recording  # behind the others: the first is the one not used for longest
        elif buffers is not None:
            recording = self.new_recording(tokens, state, shape, buffers)
        if recording is None:
            return self.model.decoder.step(tokens, torch.full_like(tokens, state.position - 1), state)
        recording.replay()
        return recording.hidden[: len(tokens)]

    def move_into_buffers(self, state: DecoderState, shape: Shape) -> Buffers | None:
        """Lay the state out in the buffers, in this shape; larger ones replace those that are too small. None: there is
        no memory for that; the state is where it was."""
        places, pieces = shape.sentences * shape.places, shape.sentences * shape.pieces
        buffers = self.buffers
        if buffers is None or buffers.places < places or buffers.pieces < pieces:
            had = (0, 0) if buffers is None else (buffers.places, buffers.pieces)
            self.recordings.clear()  # they know only the old one
            try:
                buffers = self.buffers = Buffers(self.model, places=max(places, had[0]), pieces=max(pieces, had[1]))
            except Exception as error:
                self.give_up(error)
                return None
        if not state.past[0].lies_at(buffers.past[0].data_ptr(), shape.places):
            state.move_into(buffers.state(state.num_sentences, shape))
        return buffers

    def new_recording(
        self, tokens: Int[Tensor, " R"], state: DecoderState, shape: Shape, buffers: Buffers
    ) -> Recording | None:
        """A graph of this step, which has not run yet. None: the shape has not come often enough, or no graph can be
        made here."""
        self.steps[shape] += 1
        if self.steps[shape] <= STEPS_BEFORE:
            return None
        if len(self.recordings) == MOST_RECORDINGS:
            unused = next(iter(self.recordings))
            del self.recordings[unused], self.steps[unused]
        if not self.recordings:
            self.pool = new_pool(tokens.device)
        recording = Recording(self.model, buffers, shape)
        recording.take(tokens, state)
        try:
            recording.make(self.pool)
        except Exception as error:
            self.give_up(error)
            return None
        self.recordings[shape] = recording
        return recording

    def give_up(self, error: Exception) -> None:
        """Capture nothing from now on, with a warning."""
        self.failed = True
        self.recordings.clear()
        self.buffers = self.pool = None
        logger.warning(f"no step of a search can be recorded here, and it goes on without ({in_short(error)})")


def numbers(model: Transformer) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
