"""The settings of the section `model`."""

from dataclasses import dataclass, field

from mt.config.decode import LATER
from mt.config.enums import Activation, Fusion, ImageStem, NormKind, NormPlacement, Positions, Tying
from mt.errors import require


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """The architecture of the Transformer."""

    dim: int = 256
    heads: int = 4
    kv_heads: int | None = None  # fewer than `heads`: grouped-query attention; null: as many as `heads`
    ffn_dim: int = 1024
    encoder_layers: int = 3
    decoder_layers: int = 3
    norm: NormPlacement = NormPlacement.pre
    norm_kind: NormKind = NormKind.layernorm
    positions: Positions = Positions.sinusoidal
    activation: Activation = Activation.relu
    bias: bool = True
    # Marian's output layer adds a number to each logit
    output_bias: bool = field(default=False, metadata=LATER)
    tying: Tying = Tying.all  # all: one matrix for source embedding, target embedding and output; decoder: the latter
    max_length: int = 512  # positions of sinusoidal and learned tables
    dropout: float = 0.1  # on embeddings and on the output of each sublayer
    attention_dropout: float = 0.0  # above 0 fused attention is not used
    activation_dropout: float = 0.0
    word_dropout: float = 0.0  # share of input embeddings that are set to zero
    image_stem: ImageStem = field(default=ImageStem.linear, metadata=LATER)  # what reads pixels: linear, convolution
    # SpecAugment for recordings, in training: the widest mask, as a share of the frames and of the bands of an item
    spec_augment: float = field(default=0.0, metadata=LATER)
    fusion: Fusion = field(default=Fusion.concat, metadata=LATER)  # how several inputs are joined: concat, co_attention
    share_encoders: bool = field(default=False, metadata=LATER)  # one encoder for all text inputs
    source_dropout: float = field(default=0.0, metadata=LATER)  # probability that one of several inputs is left out
    matching: float = field(default=0.0, metadata=LATER)  # weight of a head for `mt rank --by matching`; 0: none

    def __post_init__(self) -> None:
        require(self.dim > 0 and self.heads > 0, "model.dim", "be positive, like `model.heads`", self.dim)
        fits, found = self.dim % self.heads == 0, f"{self.dim} with {self.heads} heads"
        require(fits, "model.dim", "be a multiple of `model.heads`", found)
        if self.kv_heads is not None:
            fits = self.kv_heads > 0 and self.heads % self.kv_heads == 0
            require(fits, "model.kv_heads", f"divide `model.heads` ({self.heads})", self.kv_heads)
        if self.positions is Positions.rotary:
            head = self.dim // self.heads
            require(head % 2 == 0, "model.dim", "give an even size per head with rotary positions", f"{head} per head")
        require(self.dim % 2 == 0, "model.dim", "be even", self.dim)
        require(self.max_length > 1, "model.max_length", "be at least 2", self.max_length)
        for name in ("ffn_dim", "encoder_layers", "decoder_layers"):
            require(getattr(self, name) > 0, f"model.{name}", "be positive", getattr(self, name))
        dropped = ("dropout", "attention_dropout", "activation_dropout", "word_dropout", "source_dropout")
        for name in (*dropped, "spec_augment"):
            require(0 <= getattr(self, name) < 1, f"model.{name}", "lie in [0, 1)", getattr(self, name))
        require(self.matching >= 0, "model.matching", "not be negative", self.matching)
