"""Encoders for each kind of source, and complete models with them.

The encoders differ only in their input layer.
"""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from mt.compute.matmul import Linear
from mt.config import Input, InputKind, ModelConfig, Tying
from mt.errors import ConfigError
from mt.nn.source import FrameSource, Memory, SourceEncoder, TokenSource
from mt.nn.transformer import Decoder, Embedding, EncoderLayer, InputLayer, Transformer, embedding_matrix, final_norm


class _LayeredEncoder(SourceEncoder):
    """An input layer and encoder layers: a memory row for each source row."""

    def __init__(self, config: ModelConfig, embedding: nn.Module) -> None:
        """Args: embedding: turns the source's rows and their positions into rows `[S, D]`."""
        super().__init__()
        self.embedding = embedding
        layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.layers: Sequence[EncoderLayer] = layers  # pyright: ignore[reportAttributeAccessIssue]
        self.norm = final_norm(config)

    def forward(self, source: TokenSource | FrameSource) -> Memory:
        x = self.embedding(source.rows, source.layout.positions)
        for layer in self.layers:
            x = layer(x, source.layout)
        return Memory(self.norm(x), source.layout)


class TextEncoder(_LayeredEncoder):
    """Reads token ids."""

    embedding: Embedding

    def __init__(self, config: ModelConfig, weight: nn.Parameter) -> None:
        """Args: weight: the embedding matrix, `[V, D]`."""
        super().__init__(config, Embedding(config, weight))

    def pack(self, items: Sequence[Sequence[int]]) -> TokenSource:
        return TokenSource.pack(items)


class FrameEncoder(_LayeredEncoder):
    """Reads frames, through a linear stem."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        super().__init__(config, LinearStem(config, frame_size))

    def pack(self, items: Sequence[Float[Tensor, "_ F"]]) -> FrameSource:
        return FrameSource.pack(items)


class LinearStem(InputLayer):
    """Frames -> rows: a linear layer, plus positions."""

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        super().__init__(config)
        self.linear = Linear(frame_size, config.dim, bias=config.bias)

    def forward(self, frames: Float[Tensor, "N F"], positions: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        # A prepacked copy of the model has weights in 16 bits, and no autocast.
        return self.add_positions(self.linear(frames.to(self.linear.weight.dtype)), positions)


def text_model(config: ModelConfig, *, src_size: int, tgt_size: int) -> Transformer:
    """A model for text. Args: src_size, tgt_size: sizes of the vocabularies, equal if `tying` is `all`."""
    if config.tying is Tying.all:
        assert src_size == tgt_size, "tying `all` needs one vocabulary"
    decoder = Decoder(config, tgt_size)
    weight = decoder.embedding.weight if config.tying is Tying.all else embedding_matrix(src_size, config)
    return Transformer(config, TextEncoder(config, weight), decoder)


def input_model(config: ModelConfig, inputs: Sequence[Input], *, src_size: int, tgt_size: int) -> Transformer:
    """A model for the inputs of a table. Args: src_size, tgt_size: as `text_model`."""
    (one,) = inputs
    if one.kind is InputKind.text:
        return text_model(config, src_size=src_size, tgt_size=tgt_size)
    return frame_model(config, frame_size=one.size, tgt_size=tgt_size)


def require_text(model: Transformer, what: str) -> None:
    """Raises: ConfigError: "`what` needs a model that reads text ..." for a model of another kind of source."""
    if not isinstance(model.encoder, TextEncoder):
        raise ConfigError(f"{what} needs a model that reads text, but this one reads rows of numbers.")


def frame_model(config: ModelConfig, *, frame_size: int, tgt_size: int) -> Transformer:
    """A model for frames. Args: frame_size: numbers in a frame; tgt_size: size of the target vocabulary."""
    return Transformer(config, FrameEncoder(config, frame_size), Decoder(config, tgt_size))
