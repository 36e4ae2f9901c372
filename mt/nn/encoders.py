"""Encoders for each kind of source, and complete models with them.

The encoders of one input differ only in their input layer; `mt.nn.fusion` joins those of several inputs.
"""

from collections.abc import Sequence

from torch import nn

from mt.config import Fusion, ImageStem, Input, InputKind, ModelConfig, Tying
from mt.errors import ConfigError
from mt.nn.fusion import CoAttentionEncoder, CoAttentionLayer, ConcatEncoder
from mt.nn.source import FrameSource, Memory, SourceEncoder, TokenSource
from mt.nn.stems import LinearStem, check_image, stem_of
from mt.nn.transformer import Decoder, Embedding, EncoderLayer, Transformer, embedding_matrix, final_norm


class _LayeredEncoder(SourceEncoder):
    """An input layer and encoder layers: a memory row for each source row."""

    def __init__(self, config: ModelConfig, embedding: nn.Module, layer: type[EncoderLayer] = EncoderLayer) -> None:
        """Args: embedding: turns the source's rows and their positions into rows `[S, D]`; layer: what each layer is;
        another than `EncoderLayer` needs an encoder around this one (`mt.nn.fusion`)."""
        super().__init__()
        self.embedding = embedding
        layers = nn.ModuleList(layer(config) for _ in range(config.encoder_layers))
        self.layers: Sequence[EncoderLayer] = layers  # pyright: ignore[reportAttributeAccessIssue]
        self.norm = final_norm(config)

    def embed(self, source: TokenSource | FrameSource) -> Memory:
        """The rows that enter the first layer."""
        return Memory(self.embedding(source.rows, source.layout.positions), source.layout)

    def forward(self, source: TokenSource | FrameSource) -> Memory:
        memory = self.embed(source)
        x = memory.rows
        for layer in self.layers:
            x = layer(x, memory.layout)
        return Memory(self.norm(x), memory.layout)


class TextEncoder(_LayeredEncoder):
    """Reads token ids."""

    embedding: Embedding

    def __init__(self, config: ModelConfig, weight: nn.Parameter, layer: type[EncoderLayer] = EncoderLayer) -> None:
        """Args: weight: the embedding matrix, `[V, D]`; layer: as `_LayeredEncoder`."""
        super().__init__(config, Embedding(config, weight), layer)


class FrameEncoder(_LayeredEncoder):
    """Reads frames, through a stem."""

    embedding: LinearStem

    def __init__(self, config: ModelConfig, stem: LinearStem, layer: type[EncoderLayer] = EncoderLayer) -> None:
        super().__init__(config, stem, layer)
        self.every = stem.every

    def embed(self, source: FrameSource) -> Memory:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().embed(self.embedding.convolved(source))


def source_weight(config: ModelConfig, decoder: Decoder, src_size: int) -> nn.Parameter:
    """The embedding matrix of source tokens."""
    return decoder.embedding.weight if config.tying is Tying.all else embedding_matrix(src_size, config)


def text_model(config: ModelConfig, *, src_size: int, tgt_size: int) -> Transformer:
    """A model for text. Args: src_size, tgt_size: sizes of the vocabularies, equal if `tying` is `all`."""
    if config.tying is Tying.all:
        assert src_size == tgt_size, "tying `all` needs one vocabulary"
    decoder = Decoder(config, tgt_size)
    return Transformer(config, TextEncoder(config, source_weight(config, decoder, src_size)), decoder)


def input_model(config: ModelConfig, inputs: Sequence[Input], *, src_size: int, tgt_size: int) -> Transformer:
    """A model for the inputs of a table. Args: src_size, tgt_size: as `text_model`."""
    decoder = Decoder(config, tgt_size)
    weight = source_weight(config, decoder, src_size)
    if len(inputs) == 1:
        return Transformer(config, input_encoder(config, inputs[0], weight), decoder)
    co_attention = config.fusion is Fusion.co_attention
    layer = CoAttentionLayer if co_attention else EncoderLayer
    texts = [place for place, one in enumerate(inputs) if one.kind is InputKind.text]
    shared = texts[1:] if config.share_encoders else []
    own = [place for place in range(len(inputs)) if place not in shared]
    encoders = [input_encoder(config, inputs[place], weight, layer) for place in own]
    used = [own.index(texts[0] if place in shared else place) for place in range(len(inputs))]
    fused = (CoAttentionEncoder if co_attention else ConcatEncoder)(config, encoders, used)
    return Transformer(config, fused, decoder)


def check_input_settings(config: ModelConfig, inputs: Sequence[Input]) -> None:
    """Raises: ConfigError: for settings of the model that do not fit its inputs."""
    texts, images, recordings = (
        sum(one.kind is kind for one in inputs) for kind in (InputKind.text, InputKind.image, InputKind.audio)
    )
    count = len(inputs)
    for key, given, fits, needs in (
        ("fusion", config.fusion is not Fusion.concat, count == 2, "two inputs"),
        ("share_encoders", config.share_encoders, texts > 1, "two or more inputs of text"),
        ("image_stem", config.image_stem is not ImageStem.linear, images > 0, "an image"),
        ("spec_augment", config.spec_augment > 0, recordings > 0, "audio"),
        ("source_dropout", config.source_dropout > 0, count > 1, "two or more inputs"),
    ):
        if given and not fits:
            columns = ", ".join(f"{one.column}:{one.kind}" for one in inputs) or "none"
            raise ConfigError(
                f"`model.{key}` is {str(getattr(config, key)).lower()}, which needs {needs} in `data.inputs`, but they "
                f"are {columns}."
            )
    for one in inputs:
        if one.kind is InputKind.image:
            check_image(config, one)


def input_encoder(
    config: ModelConfig, one: Input, weight: nn.Parameter, layer: type[EncoderLayer] = EncoderLayer
) -> SourceEncoder:
    """The encoder of one input. Args: weight: the embedding matrix of source tokens; layer: as `_LayeredEncoder`."""
    if one.kind is InputKind.text:
        return TextEncoder(config, weight, layer)
    return FrameEncoder(config, stem_of(config, one), layer)


def what_it_reads(model: Transformer) -> str:
    """The source of a model, for messages."""
    if isinstance(model.encoder, ConcatEncoder):
        return "several inputs"
    return "text" if isinstance(model.encoder, TextEncoder) else "rows of numbers"


def require_text(model: Transformer, what: str) -> None:
    """Raises: ConfigError: "`what` needs a model that reads text ..." for a model of another kind of source."""
    if not isinstance(model.encoder, TextEncoder):
        raise ConfigError(f"{what} needs a model that reads text, but this one reads {what_it_reads(model)}.")


def frame_model(config: ModelConfig, *, frame_size: int, tgt_size: int) -> Transformer:
    """A model for frames, read through a linear stem. Args: frame_size: numbers in a frame; tgt_size: of the
    target vocabulary."""
    return Transformer(config, FrameEncoder(config, LinearStem(config, frame_size)), Decoder(config, tgt_size))
