"""An encoder-decoder Transformer over packed rows (Vaswani et al. 2017, arXiv 1706.03762).

Differences from the paper:

- no padding: a batch is the `[N, D]` rows of all its sentences, and a `Ragged` says which sentence owns each row;
- the decoder attends to a `Memory`, which any encoder may have made (`mt.nn.encoders`);
- the model returns hidden rows; logits are computed where they are needed, a few rows at a time.

Letters in the signatures of this package:

    B  sentences of a batch         D  size of the model           V  vocabulary
    S  source rows of a batch       H  heads                       R  hypotheses in decoding (B times the beam)
    T  target rows of a batch       K  size of a head              N  rows of either side
    L  longest sentence of a batch  G  heads of keys and values
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mt.config import ModelConfig, NormKind, NormPlacement, Positions, Tying
from mt.nn.attention import FeedForward, MultiHeadAttention
from mt.nn.cache import DecoderState, MemoryKeys
from mt.nn.dropout import drop_rows, dropout
from mt.nn.output import OutputLayer
from mt.nn.positions import sinusoidal_table
from mt.nn.ragged import Ragged
from mt.nn.source import Memory, Source, SourceEncoder


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm` with the weight cast to the dtype of the input, which the fused kernel requires."""

    def forward(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        return nn.functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang & Sennrich 2019)."""
    if config.norm_kind is NormKind.rmsnorm:
        return RMSNorm(config.dim, eps=1e-6)
    return nn.LayerNorm(config.dim, eps=1e-5, bias=config.bias)


def make_attention(config: ModelConfig, *, rotary: bool) -> MultiHeadAttention:
    return MultiHeadAttention(
        dim=config.dim,
        heads=config.heads,
        kv_heads=config.kv_heads or config.heads,
        bias=config.bias,
        dropout=config.attention_dropout,
        rotary=rotary and config.positions is Positions.rotary,
    )


def final_norm(config: ModelConfig) -> nn.Module:
    """The norm after a stack: with post-norm, its last layer has normalised the rows already."""
    return make_norm(config) if config.norm is NormPlacement.pre else nn.Identity()


def embedding_matrix(rows: int, config: ModelConfig) -> nn.Parameter:
    """`[rows, D]`, a vector for each token or position, without values: `Transformer.initialize` draws them."""
    return nn.Parameter(torch.empty(rows, config.dim))


class Layer(nn.Module):
    """The parts that encoder and decoder layers share: feed-forward layers, and the norm of each sublayer `f`.

    pre-norm:   x + dropout(f(norm(x)))    trains at any depth (Xiong et al. 2020, arXiv 2002.04745)
    post-norm:  norm(x + dropout(f(x)))    the original; needs a warm-up
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pre_norm = config.norm is NormPlacement.pre
        self.feed_forward = FeedForward(
            dim=config.dim,
            ffn_dim=config.ffn_dim,
            activation=config.activation.value,
            bias=config.bias,
            dropout=config.activation_dropout,
        )
        self.feed_forward_norm = make_norm(config)
        self.dropout = config.dropout

    def residual(
        self, norm: nn.Module, x: Float[Tensor, "N D"], sublayer: Callable[[Float[Tensor, "N D"]], Float[Tensor, "N D"]]
    ) -> Float[Tensor, "N D"]:
        """A sublayer with its residual connection, and with the norm before or after it."""
        if self.pre_norm:
            return x + dropout(sublayer(norm(x)), self.dropout, self.training)
        return norm(x + dropout(sublayer(x), self.dropout, self.training))


class EncoderLayer(Layer):
    """Self-attention, then feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.self_attention = make_attention(config, rotary=True)
        self.self_norm = make_norm(config)

    def forward(self, x: Float[Tensor, "S D"], layout: Ragged) -> Float[Tensor, "S D"]:
        x = self.residual(self.self_norm, x, lambda rows: self.self_attention(rows, layout))
        return self.residual(self.feed_forward_norm, x, self.feed_forward)


class DecoderLayer(Layer):
    """Causal self-attention, cross-attention to the memory, then feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.self_attention = make_attention(config, rotary=True)
        self.self_norm = make_norm(config)
        self.cross_attention = make_attention(config, rotary=False)
        self.cross_norm = make_norm(config)

    def forward(self, x: Float[Tensor, "T D"], layout: Ragged, memory: Memory) -> Float[Tensor, "T D"]:
        x = self.residual(self.self_norm, x, lambda rows: self.self_attention(rows, layout, causal=True))
        x = self.residual(self.cross_norm, x, lambda rows: self.cross_attention(rows, layout, memory=memory))
        return self.residual(self.feed_forward_norm, x, self.feed_forward)

    def step(
        self, x: Float[Tensor, "R D"], layer: int, *, state: DecoderState, positions: Int[Tensor, " R"]
    ) -> Float[Tensor, "R D"]:
        """`forward` for one new row per hypothesis, whose keys and values are added to the cache in `state`.

        Args: layer: the index of this layer in the cache.
        """
        x = self.residual(self.self_norm, x, lambda rows: self.attend_to_past(rows, layer, state, positions))
        x = self.residual(self.cross_norm, x, lambda rows: self.attend_to_memory(rows, layer, state, positions))
        return self.residual(self.feed_forward_norm, x, self.feed_forward)

    def attend_to_past(
        self, rows: Float[Tensor, "R D"], layer: int, state: DecoderState, positions: Int[Tensor, " R"]
    ) -> Float[Tensor, "R D"]:
        """Self-attention of `step`."""
        keys, values = state.write(layer, self.self_attention.project_memory(rows, positions))
        return self.self_attention.attend_cached(rows, keys, values, positions=positions, bias=state.past_bias)

    def attend_to_memory(
        self, rows: Float[Tensor, "R D"], layer: int, state: DecoderState, positions: Int[Tensor, " R"]
    ) -> Float[Tensor, "R D"]:
        """Cross-attention of `step`."""
        keys, values = state.memory[layer].keys, state.memory[layer].values
        return self.cross_attention.attend_cached(
            rows, keys, values, positions=positions, bias=state.memory_bias, attended=state.attended
        )

    def memory_keys(self, memory: Memory) -> MemoryKeys:
        """Keys and values of the memory, by sentence."""
        kv = self.cross_attention.project_memory(memory.rows, memory.layout.positions)
        kv = kv[memory.layout.grid_to_row]  # (S, 2, G, K) -> (B, L, 2, G, K)
        keys, values = kv.unbind(2)
        keys = keys.permute(0, 2, 3, 1).contiguous().transpose(2, 3)  # (B, L, G, K) -> (B, G, L, K)
        return MemoryKeys(keys=keys, values=values.transpose(1, 2).contiguous())


class InputLayer(nn.Module):
    """Base class of the embedding layers: word dropout, position vectors (unless rotary), autocast dtype, dropout."""

    table: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.word_dropout = config.word_dropout
        self.learned = embedding_matrix(config.max_length, config) if config.positions is Positions.learned else None
        sines = torch.empty(config.max_length, config.dim) if config.positions is Positions.sinusoidal else None
        self.register_buffer("table", sines, persistent=False)

    def new_table(self, length: int, dim: int) -> Float[Tensor, "L D"]:
        """The values of `table`."""
        return sinusoidal_table(length, dim)

    def add_positions(self, x: Float[Tensor, "N D"], positions: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Word dropout, then positions, then dropout."""
        x = drop_rows(x, self.word_dropout, self.training)
        table = self.table if self.learned is None else self.learned
        if table is not None:
            x = x + table[positions]
        if torch.is_autocast_enabled(x.device.type):
            # Keeping the residual stream in the autocast dtype halves its memory traffic.
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return dropout(x, self.dropout, self.training)


class Embedding(InputLayer):
    """Token ids -> rows: embedding vectors times sqrt(D), plus positions."""

    def __init__(self, config: ModelConfig, weight: nn.Parameter) -> None:
        super().__init__(config)
        self.weight = weight
        self.scale = math.sqrt(config.dim)

    def forward(self, tokens: Int[Tensor, " N"], positions: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        return self.add_positions(nn.functional.embedding(tokens, self.weight) * self.scale, positions)


class Decoder(nn.Module):
    """Target tokens and a memory -> hidden rows; each predicts the next token."""

    def __init__(self, config: ModelConfig, tgt_size: int) -> None:
        super().__init__()
        self.embedding = Embedding(config, embedding_matrix(tgt_size, config))
        layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.layers: Sequence[DecoderLayer] = layers  # pyright: ignore[reportAttributeAccessIssue]
        self.norm = final_norm(config)
        self.out_weight = embedding_matrix(tgt_size, config) if config.tying is Tying.none else self.embedding.weight
        bias = nn.Parameter(torch.zeros(tgt_size)) if config.output_bias else None
        self.output = OutputLayer(self.out_weight, bias)

    def forward(self, target: Int[Tensor, " T"], layout: Ragged, memory: Memory) -> Float[Tensor, "T D"]:
        x = self.embedding(target, layout.positions)
        for layer in self.layers:
            x = layer(x, layout, memory)
        return self.norm(x)

    def start(self, memory: Memory) -> DecoderState:
        """The state before the first step: one hypothesis per sentence."""
        keys = [layer.memory_keys(memory) for layer in self.layers]
        return DecoderState.first(keys, hidden=~memory.layout.filled)

    def step(
        self, tokens: Int[Tensor, " R"], positions: Int[Tensor, " R"], state: DecoderState
    ) -> Float[Tensor, "R D"]:
        """`forward` for one more token per hypothesis. `Transformer.step` has already advanced `state`, so this neither
        allocates nor synchronises, and can be captured as a CUDA graph (`mt.decode.search.cuda_graphs`)."""
        x = self.embedding(tokens, positions)
        for index, layer in enumerate(self.layers):
            x = layer.step(x, index, state=state, positions=positions)
        return self.norm(x)


# Prefixes of parameter names in the modules and in files, in the order of the files.
FILE_NAMES = (
    ("decoder.embedding.weight", "tgt_weight"),
    ("encoder.embedding.weight", "src_weight"),
    ("decoder.out_weight", "out_weight"),
    ("decoder.output.bias", "out_bias"),
    ("encoder.embedding.", "src_embedding."),
    ("decoder.embedding.", "tgt_embedding."),
    ("encoder.layers.", "encoder."),
    ("decoder.layers.", "decoder."),
    ("encoder.norm.", "encoder_norm."),
    ("decoder.norm.", "decoder_norm."),
    ("", ""),
)


class Transformer(nn.Module):
    """An encoder and a decoder. `mt.nn.encoders.text_model` makes one for text."""

    def __init__(self, config: ModelConfig, encoder: SourceEncoder, decoder: Decoder) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.decoder = decoder
        if not self.tgt_weight.is_meta:  # on the meta device, torch would import its compiler for nothing
            self.initialize()

    @property
    def tgt_weight(self) -> Float[Tensor, "V D"]:
        """The embedding matrix of target tokens."""
        return self.decoder.embedding.weight

    @property
    def out_weight(self) -> Float[Tensor, "V D"]:
        """The matrix of the output layer; with tied weights, `tgt_weight`."""
        return self.decoder.out_weight

    @torch.no_grad()
    def initialize(self) -> None:
        """Draw all parameters, and fill the position tables.

        Linear layers: Xavier uniform (Glorot & Bengio 2010), biases zero; norms keep one and zero; embeddings: normal
        with standard deviation D^-0.5, so that a tied output layer starts with logits of order one.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        embeddings = [module for module in self.modules() if isinstance(module, Embedding)]
        inputs = [module for module in self.modules() if isinstance(module, InputLayer)]
        matrices = [*(module.weight for module in embeddings), self.out_weight, *(module.learned for module in inputs)]
        matrices += self.encoder.vectors
        # A dict removes duplicates like a set, but in a fixed order, on which the values that a seed gives depend.
        for matrix in dict.fromkeys(matrix for matrix in matrices if matrix is not None):
            nn.init.normal_(matrix, std=self.config.dim**-0.5)
        self.fill_tables()

    def fill_tables(self) -> None:
        """Compute the sinusoidal tables, if there are any."""
        for module in self.modules():
            if isinstance(module, InputLayer) and module.table is not None:
                module.table = module.new_table(*module.table.shape)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters by their names in files, tied ones once. The order is that of the files, since the sum of the
        gradient's norm, and so its rounding, depends on it."""
        remaining = dict(super().named_parameters(recurse=recurse, remove_duplicate=False))
        seen = set[nn.Parameter]()
        for in_module, in_file in FILE_NAMES:
            for name in [name for name in remaining if name.startswith(in_module)]:
                parameter = remaining.pop(name)
                if not remove_duplicate or parameter not in seen:
                    seen.add(parameter)
                    yield f"{prefix}{in_file}{name.removeprefix(in_module)}", parameter

    def encode(self, source: Source) -> Memory:
        return self.encoder(source)

    def decode(self, target: Int[Tensor, " T"], layout: Ragged, memory: Memory) -> Float[Tensor, "T D"]:
        return self.decoder(target, layout, memory)

    def forward(self, source: Source, target: Int[Tensor, " T"], layout: Ragged) -> Float[Tensor, "T D"]:
        """Hidden rows. Args: target: the input of the decoder; layout: of the target, with the items of the source."""
        return self.decode(target, layout, self.encode(source))

    def logits(self, hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        return self.decoder.output(hidden)

    def start(self, memory: Memory) -> DecoderState:
        return self.decoder.start(memory)

    def step(self, tokens: Int[Tensor, " R"], state: DecoderState) -> Float[Tensor, "R D"]:
        """Hidden rows of one more token per hypothesis; advances `state` by one position."""
        positions = torch.full_like(tokens, state.position)
        state.advance(tokens.numel())
        return self.decoder.step(tokens, positions, state)


def count_parameters(model: nn.Module) -> int:
    """The number of trainable values; tied matrices count once."""
    return sum(p.numel() for p in model.parameters())
