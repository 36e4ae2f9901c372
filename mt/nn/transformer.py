"""The whole model: an encoder-decoder Transformer over packed rows (Vaswani et al. 2017, arXiv 1706.03762).

Read from top to bottom. What differs from the textbook:

- no padding: a batch is `[N, D]` rows of all its sentences, and a `Ragged` that says which sentence owns each row;
- the decoder reads a `Memory` and does not know that an encoder made it;
- the model returns hidden rows; logits are made where they are needed, a few rows at a time.

Letters, used in every signature of this package:

    B  sentences of a batch         D  size of the model           V  vocabulary
    S  source rows of a batch       H  heads                       R  hypotheses in decoding (B times the beam)
    T  target rows of a batch       K  size of a head              N  rows of either side
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mt.config import ModelConfig, NormKind, NormPlacement, Positions, Tying
from mt.matmul import linear
from mt.nn.attention import FeedForward, MultiHeadAttention
from mt.nn.cache import DecoderState, MemoryKeys
from mt.nn.dropout import Dropout, drop_rows
from mt.nn.positions import sinusoidal_table
from mt.nn.ragged import Ragged


@dataclass(frozen=True)
class Memory:
    """What the decoder asks: rows of any origin, and which sentence owns them."""

    rows: Float[Tensor, "S D"]
    ragged: Ragged


class RMSNorm(nn.RMSNorm):
    """torch's, with the weight in the precision of the rows: its fast kernel takes no other, and warns."""

    def forward(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        return nn.functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016), or RMSNorm, which only rescales (Zhang & Sennrich 2019)."""
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


class Layer(nn.Module):
    """What encoder and decoder layers share: the residual stream and where the norm stands on it.

    pre:   x + f(norm(x))    trains without care at any depth (Xiong et al. 2020, arXiv 2002.04745)
    post:  norm(x + f(x))    the original; wants a warm-up
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pre = config.norm is NormPlacement.pre
        self.feed_forward = FeedForward(
            dim=config.dim,
            ffn_dim=config.ffn_dim,
            activation=config.activation.value,
            bias=config.bias,
            dropout=config.activation_dropout,
        )
        self.feed_forward_norm = make_norm(config)
        self.dropout = Dropout(config.dropout)

    def before(self, x: Float[Tensor, "N D"], norm: nn.Module) -> Float[Tensor, "N D"]:
        return norm(x) if self.pre else x

    def after(self, x: Float[Tensor, "N D"], f: Float[Tensor, "N D"], norm: nn.Module) -> Float[Tensor, "N D"]:
        x = x + self.dropout(f)
        return x if self.pre else norm(x)

    def feed(self, x: Float[Tensor, "N D"], f: Float[Tensor, "N D"], norm: nn.Module) -> Float[Tensor, "N D"]:
        """The last attention's answer joins the stream, and then what the feed-forward layers make of it. Rows alone,
        whosoever they are: the part of a layer that can be compiled (`mt.train.compiled`)."""
        x = self.after(x, f, norm)
        return self.after(x, self.feed_forward(self.before(x, self.feed_forward_norm)), self.feed_forward_norm)


class EncoderLayer(Layer):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.self_attention = make_attention(config, rotary=True)
        self.self_norm = make_norm(config)

    def forward(self, x: Float[Tensor, "S D"], rows: Ragged) -> Float[Tensor, "S D"]:
        return self.feed(x, self.self_attention(self.before(x, self.self_norm), rows), self.self_norm)


class DecoderLayer(Layer):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.self_attention = make_attention(config, rotary=True)
        self.self_norm = make_norm(config)
        self.cross_attention = make_attention(config, rotary=False)
        self.cross_norm = make_norm(config)

    def forward(self, x: Float[Tensor, "T D"], rows: Ragged, memory: Memory) -> Float[Tensor, "T D"]:
        asked = self.self_attention(self.before(x, self.self_norm), rows, causal=True)
        x = self.after(x, asked, self.self_norm)
        asked = self.cross_attention(
            self.before(x, self.cross_norm), rows, memory=memory.rows, memory_rows=memory.ragged
        )
        return self.feed(x, asked, self.cross_norm)

    def memory_keys(self, memory: Memory) -> MemoryKeys:
        """Keys and values of the memory by sentence: all that decoding needs of it."""
        kv = self.cross_attention.project_memory(memory.rows, memory.ragged.positions)
        kv = kv[memory.ragged.source_rows]  # (S, 2, G, K) -> (B, L, 2, G, K)
        keys, values = kv.unbind(2)
        keys = keys.permute(0, 2, 3, 1).contiguous().transpose(2, 3)  # (B, L, G, K) -> (B, G, L, K)
        return MemoryKeys(keys=keys, values=values.transpose(1, 2).contiguous())

    def step(
        self,
        x: Float[Tensor, "R D"],
        layer: int,
        *,
        state: DecoderState,
        positions: Int[Tensor, " R"],
    ) -> Float[Tensor, "R D"]:
        """One new row per hypothesis; the same sums as `forward`, with what came before taken from the cache of this
        layer, which is number `layer`."""
        before = self.before(x, self.self_norm)
        keys, values = state.write(layer, self.self_attention.project_memory(before, positions))
        asked = self.self_attention.look_up(before, keys, values, positions=positions, bias=state.past_bias)
        x = self.after(x, asked, self.self_norm)
        before = self.before(x, self.cross_norm)
        memory = state.memory[layer]
        asked = self.cross_attention.look_up(
            before, memory.keys, memory.values, positions=positions, bias=state.memory_bias, asked=state.asked
        )
        return self.feed(x, asked, self.cross_norm)


class Embedding(nn.Module):
    """Pieces -> rows: the embedding times sqrt(D), plus the position's own vector where there is one."""

    table: Tensor | None

    def __init__(self, config: ModelConfig, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.scale = math.sqrt(config.dim)
        self.dropout = Dropout(config.dropout)
        self.word_dropout = config.word_dropout
        self.learned = None
        self.register_buffer("table", None, persistent=False)
        if config.positions is Positions.learned:
            self.learned = nn.Parameter(torch.empty(config.max_length, config.dim))
        elif config.positions is Positions.sinusoidal:
            self.register_buffer("table", torch.empty(config.max_length, config.dim), persistent=False)

    def forward(self, tokens: Int[Tensor, " N"], positions: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        x = nn.functional.embedding(tokens, self.weight) * self.scale
        x = drop_rows(x, self.word_dropout, self.training)
        table = self.table if self.learned is None else self.learned
        if table is not None:
            x = x + table[positions]
        if torch.is_autocast_enabled(x.device.type):
            # The residual stream takes the precision of the products around it: half the memory traffic.
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return self.dropout(x)


class Transformer(nn.Module):
    """Encoder, decoder and the matrices that tie them to pieces."""

    def __init__(self, config: ModelConfig, *, src_size: int, tgt_size: int) -> None:
        """Args: src_size, tgt_size: pieces of each vocabulary; one shared vocabulary when `tying` is `all`."""
        super().__init__()
        if config.tying is Tying.all:
            assert src_size == tgt_size, "tying `all` needs one vocabulary; build.py checks it"
        self.config = config
        self.tgt_weight = nn.Parameter(torch.empty(tgt_size, config.dim))
        tied = config.tying is Tying.all
        self.src_weight = self.tgt_weight if tied else nn.Parameter(torch.empty(src_size, config.dim))
        untied = config.tying is Tying.none
        self.out_weight = nn.Parameter(torch.empty(tgt_size, config.dim)) if untied else self.tgt_weight
        self.output: nn.Module | None = None  # the product with `out_weight` made ready, see `mt.nn.packed`
        self.src_embedding = Embedding(config, self.src_weight)
        self.tgt_embedding = Embedding(config, self.tgt_weight)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder: Sequence[DecoderLayer] = layers  # pyright: ignore[reportAttributeAccessIssue]
        # Pre-norm leaves the last residual unnormalised; post-norm has done it already.
        pre = config.norm is NormPlacement.pre
        self.encoder_norm = make_norm(config) if pre else nn.Identity()
        self.decoder_norm = make_norm(config) if pre else nn.Identity()
        self.initialize()

    @torch.no_grad()
    def initialize(self) -> None:
        """All initial values of parameters, here and nowhere else, and the tables of positions.

        Linear layers: Xavier uniform (Glorot & Bengio 2010), biases zero; norms: one and zero; embeddings: normal
        with deviation D^-0.5, so that a tied output layer starts with logits of order one.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        weights = (self.src_weight, self.tgt_weight, self.out_weight)
        tables = (self.src_embedding.learned, self.tgt_embedding.learned)
        # Each once, in this order: a set's order hangs on addresses, and so would the values a seed gives.
        for weight in dict.fromkeys(w for w in (*weights, *tables) if w is not None):
            nn.init.normal_(weight, std=self.config.dim**-0.5)
        self.fill_tables()

    def fill_tables(self) -> None:
        """Calculate what positions are told by where nothing of it is learned."""
        for embedding in (self.src_embedding, self.tgt_embedding):
            if embedding.table is not None:
                embedding.table = sinusoidal_table(*embedding.table.shape)

    def encode(self, source: Int[Tensor, " S"], rows: Ragged) -> Memory:
        x = self.src_embedding(source, rows.positions)
        for layer in self.encoder:
            x = layer(x, rows)
        return Memory(self.encoder_norm(x), rows)

    def decode(self, target: Int[Tensor, " T"], rows: Ragged, memory: Memory) -> Float[Tensor, "T D"]:
        """Hidden rows, each of which predicts the piece after its own."""
        x = self.tgt_embedding(target, rows.positions)
        for layer in self.decoder:
            x = layer(x, rows, memory)
        return self.decoder_norm(x)

    def forward(
        self, source: Int[Tensor, " S"], source_rows: Ragged, target: Int[Tensor, " T"], target_rows: Ragged
    ) -> Float[Tensor, "T D"]:
        return self.decode(target, target_rows, self.encode(source, source_rows))

    def logits(self, hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        return linear(hidden, self.out_weight) if self.output is None else self.output(hidden)

    def start(self, memory: Memory) -> DecoderState:
        """The state before the first step: one hypothesis per sentence."""
        layers = [layer.memory_keys(memory) for layer in self.decoder]
        return DecoderState.first(layers, hidden=~memory.ragged.filled)

    def step(self, tokens: Int[Tensor, " R"], state: DecoderState) -> Float[Tensor, "R D"]:
        """Hidden rows of one more token per hypothesis; `state` moves on by one position."""
        positions = torch.full_like(tokens, state.position)
        state.advance(tokens.numel())
        return self.step_at(tokens, positions, state)

    def step_at(
        self, tokens: Int[Tensor, " R"], positions: Int[Tensor, " R"], state: DecoderState
    ) -> Float[Tensor, "R D"]:
        """`step` once the state has moved on: work for the device alone, in the memory that is there. It can be
        recorded (`mt.decode.recorded`)."""
        x = self.tgt_embedding(tokens, positions)
        for number, layer in enumerate(self.decoder):
            x = layer.step(x, number, state=state, positions=positions)
        return self.decoder_norm(x)


def count_parameters(model: nn.Module) -> int:
    """Trainable values; tied matrices count once."""
    return sum(p.numel() for p in model.parameters())
