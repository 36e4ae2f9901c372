"""Attention on packed rows, and the layer for self-attention, causal self-attention and cross-attention.

Each query row takes a weighted mean of value rows; the weights come from the products of the query with the keys:

    attention(Q, K, V) = softmax(Q K^T / sqrt(K)) V          (Vaswani et al. 2017, equation 1)

Letters: `B` sentences, `T` query rows, `S` key rows of the whole batch (packed, sentence after sentence), `D` model,
`H` query heads, `G` key/value heads (`G` divides `H`), `K` size of a head. The grid is `Tm` rows wide for queries and
`Sm` for keys.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mt.compute.matmul import Linear
from mt.nn.dropout import dropout
from mt.nn.positions import rotate
from mt.nn.ragged import Ragged
from mt.nn.source import Memory


class _ToGrid(torch.autograd.Function):
    """Packed rows -> grid, head-major. Every row has one grid position, so the backward pass is a gather."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid_to_row: Tensor, row_to_grid: Tensor) -> Tensor:
        ctx.save_for_backward(row_to_grid)
        return x.index_select(0, grid_to_row)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (row_to_grid,) = ctx.saved_tensors
        return grad.index_select(0, row_to_grid), None, None


class _FromGrid(torch.autograd.Function):
    """Grid -> packed rows. Empty grid positions are dropped; their gradient is zero."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, row_to_grid: Tensor) -> Tensor:
        ctx.save_for_backward(row_to_grid)
        ctx.size = grid.shape[0]
        return grid.index_select(0, row_to_grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (row_to_grid,) = ctx.saved_tensors
        return grad.new_zeros(ctx.size, grad.shape[1]).index_copy_(0, row_to_grid, grad), None


def _head_indices(rows: Ragged, heads: int) -> tuple[Int[Tensor, " HBL"], Int[Tensor, " NH"]]:
    """For `[N * heads, K]` rows and a `[heads, B, L]` grid: the row of each grid position, and the reverse."""
    head = torch.arange(heads, device=rows.lengths.device)
    size = rows.num_sentences * rows.width
    grid_to_row = rows.grid_to_row.reshape(1, -1) * heads + head[:, None]
    row_to_grid = rows.row_to_grid[:, None] + head * size
    return grid_to_row.reshape(-1), row_to_grid.reshape(-1)


def hidden_keys(queries: Ragged, keys: Ragged, causal: bool) -> Bool[Tensor, "B Tq Sm"]:
    """Which keys a query must not see: those beyond the end of its sentence and, with `causal`, those after it."""
    hidden = ~keys.filled[:, None, :]
    if causal:
        future = torch.ones(queries.width, keys.width, dtype=torch.bool, device=hidden.device).triu(1)
        hidden = hidden | future
    return hidden


def as_bias(hidden: Bool[Tensor, "B _ L"], dtype: torch.dtype) -> Float[Tensor, "B _ L"]:
    """A term for attention scores that hides these keys: minus infinity, or zero for the others."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))


def attend(
    q: Float[Tensor, "T H K"],
    kv: Float[Tensor, "S 2 G K"],
    *,
    queries: Ragged,
    keys: Ragged,
    causal: bool = False,
    dropout_p: float = 0.0,
) -> Float[Tensor, "T H K"]:
    """Attention of every query row over the key rows of its own sentence.

    On CUDA in 16 bits and without dropout, torch's variable-length kernel takes the packed rows. Elsewhere they are
    laid out in a grid, `[B, width]`: for sentences of 10 to 30 tokens, the backward pass of the CPU's fused kernel is
    several times slower than a product and a softmax.
    """
    if has_varlen(q) and dropout_p == 0:
        return _attend_varlen(q, kv, queries, keys, causal)
    heads, groups, size = q.shape[1], kv.shape[2], q.shape[2]
    if groups != heads:
        kv = kv.repeat_interleave(heads // groups, dim=2)
    B, Tm, Sm = keys.num_sentences, queries.width, keys.width
    q_grid_to_row, q_row_to_grid = _head_indices(queries, heads)
    kv_grid_to_row, kv_row_to_grid = _head_indices(keys, 2 * heads)
    # [T, H, K] -> [H * B, Tm, K];  [S, 2, H, K] -> 2 of [H * B, Sm, K]
    q_grid = _ToGrid.apply(q.reshape(-1, size), q_grid_to_row, q_row_to_grid).view(heads * B, Tm, size)
    kv_grid = _ToGrid.apply(kv.reshape(-1, size), kv_grid_to_row, kv_row_to_grid)
    k_grid, v_grid = kv_grid.view(2, heads * B, Sm, size).unbind(0)
    bias = as_bias(hidden_keys(queries, keys, causal), q.dtype)
    bias = bias.expand(heads, B, -1 if causal else Tm, Sm).reshape(heads * B, Tm, Sm)
    weights = torch.baddbmm(bias, q_grid, k_grid.transpose(1, 2), alpha=1 / math.sqrt(size))
    # On short rows, softmax in 32 bits is faster than in 16.
    weights = weights.softmax(-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
    out = torch.bmm(dropout(weights, dropout_p, training=True), v_grid)
    return _FromGrid.apply(out.view(-1, size), q_row_to_grid).view(q.shape)


def has_varlen(q: Float[Tensor, "T H K"]) -> bool:
    """Whether torch's variable-length kernel takes these rows: from Ampere on, 16 bits, K a multiple of 8 up to 256."""
    if q.device.type != "cuda" or q.dtype not in (torch.float16, torch.bfloat16):
        return False
    return q.shape[2] <= 256 and q.shape[2] % 8 == 0 and torch.cuda.get_device_capability(q.device) >= (8, 0)


def _attend_varlen(q: Tensor, kv: Tensor, queries: Ragged, keys: Ragged, causal: bool) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # slow to import, and only CUDA needs it

    groups, grouped = q.shape[1] // kv.shape[2], dict[str, Any]()
    if groups > 1 and "enable_gqa" in (varlen_attn.__kwdefaults__ or {}):
        grouped["enable_gqa"] = True
    elif groups > 1:  # torch 2.11
        kv = kv.repeat_interleave(groups, dim=2)
    k, v = kv.unbind(1)
    window = (-1, 0) if causal else (-1, -1)
    return varlen_attn(  # pyright: ignore[reportReturnType]
        q, k.contiguous(), v.contiguous(), queries.offsets, keys.offsets, queries.max_length, keys.max_length,
        window_size=window, **grouped,
    )  # fmt: skip


def attend_explicit(
    q: Float[Tensor, "T H K"], kv: Float[Tensor, "S 2 G K"], *, queries: Ragged, keys: Ragged, causal: bool = False
) -> tuple[Float[Tensor, "T H K"], list[Float[Tensor, "H _t _s"]]]:
    """The formula, sentence by sentence; returns the weights too. The reference that tests compare `attend` with."""
    rows, maps = [], []
    kv = kv.repeat_interleave(q.shape[1] // kv.shape[2], dim=2)
    by_sentence = zip(q.split(queries.lengths.tolist()), kv.split(keys.lengths.tolist()), strict=True)
    for q_tHK, kv_s2HK in by_sentence:
        scores = torch.einsum("thk,shk->hts", q_tHK, kv_s2HK[:, 0]) / math.sqrt(q.shape[2])
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
        weights = scores.softmax(-1)
        rows.append(torch.einsum("hts,shk->thk", weights, kv_s2HK[:, 1]))
        maps.append(weights)
    return torch.cat(rows), maps


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2). Its uses differ in the keys and values:

    - encoder self-attention: of the rows themselves;
    - decoder self-attention: the same, but `causal`: a row sees itself and the rows before it;
    - cross-attention: of the rows of a `memory`.

    With `kv_heads` < `heads`, several query heads share keys and values (Ainslie et al. 2023, arXiv 2305.13245).
    """

    def __init__(self, *, dim: int, heads: int, kv_heads: int, bias: bool, dropout: float, rotary: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, dim // heads
        # Called in each `forward` with q, kv, queries, keys, causal, from which it can compute the attention weights.
        # See `mt.nn.forced` and `mt.alignment.guided_loss`.
        self.listener: Callable[[Tensor, Tensor, Ragged, Ragged, bool], object] | None = None
        self.dropout = dropout
        self.rotary = rotary
        self.query = Linear(dim, heads * self.size, bias=bias)
        self.key_value = Linear(dim, 2 * kv_heads * self.size, bias=bias)
        self.out = Linear(heads * self.size, dim, bias=bias)

    def project_query(self, x: Float[Tensor, "T D"], positions: Int[Tensor, " T"]) -> Float[Tensor, "T H K"]:
        q = self.query(x).view(-1, self.heads, self.size)  # (T, D) -> (T, H, K)
        return rotate(q, positions) if self.rotary else q

    def project_memory(self, x: Float[Tensor, "S D"], positions: Int[Tensor, " S"]) -> Float[Tensor, "S 2 G K"]:
        kv = self.key_value(x).view(-1, 2, self.kv_heads, self.size)  # (S, 2GK) -> (S, 2, G, K)
        return torch.stack([rotate(kv[:, 0], positions), kv[:, 1]], dim=1) if self.rotary else kv

    def forward(
        self, x: Float[Tensor, "T D"], layout: Ragged, *, memory: Memory | None = None, causal: bool = False
    ) -> Float[Tensor, "T D"]:
        """Queries are made of `x`; keys and values of the memory, or of `x` if there is none."""
        keys_from, keys_layout = (x, layout) if memory is None else (memory.rows, memory.layout)
        q = self.project_query(x, layout.positions)
        kv = self.project_memory(keys_from, keys_layout.positions)
        if self.listener is not None:
            self.listener(q, kv, layout, keys_layout, causal)
        p = self.dropout if self.training else 0.0
        mixed = attend(q, kv, queries=layout, keys=keys_layout, causal=causal, dropout_p=p)
        return self.out(mixed.reshape(-1, self.heads * self.size))

    def attend_cached(
        self,
        x: Float[Tensor, "R D"],
        keys: Float[Tensor, "B G L K"],
        values: Float[Tensor, "B G L K"],
        *,
        positions: Int[Tensor, " R"],
        bias: Float[Tensor, "B _ L"] | None = None,
        attended: list[Float[Tensor, "B W L"]] | None = None,
    ) -> Float[Tensor, "R D"]:
        """One decoding step: attention of one new row per hypothesis over cached keys and values.

        The `W = R / B` hypotheses of a sentence are neighbouring rows and share its keys. `bias`, `[B, 1, L]` or
        `[B, W, L]`, is added to the scores: minus infinity hides a key. The mean of the weights over the heads is
        appended to `attended`.
        """
        B, G, L, K = keys.shape
        q = self.project_query(x, positions).view(B, -1, G, self.heads // G, K)
        q = q.transpose(1, 2).reshape(B, G, -1, K)  # (B, W, G, H/G, K) -> (B, G, W*H/G, K)
        scores = (q @ keys.transpose(2, 3)).view(B, G, -1, self.heads // G, L)
        if bias is None:
            scores = scores * (1 / math.sqrt(K))
        else:
            scores = torch.add(bias[:, None, :, None], scores, alpha=1 / math.sqrt(K))
        weights = scores.softmax(-1, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)
        if attended is not None:
            attended.append(weights.float().mean((1, 3)))  # (B, G, W, H/G, L) -> (B, W, L)
        mixed = weights.view(B, G, -1, L) @ values
        mixed = mixed.view(B, G, -1, self.heads // G, K).transpose(1, 2)  # back to (B, W, G, H/G, K)
        return self.out(mixed.reshape(x.shape[0], -1))


class FeedForward(nn.Module):
    """Two linear layers and an activation; with a gate, SwiGLU or GEGLU (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, *, dim: int, ffn_dim: int, activation: str, bias: bool, dropout: float) -> None:
        super().__init__()
        gated = {"swiglu": "silu", "geglu": "gelu"}
        self.activation = getattr(F, gated.get(activation, activation))
        self.inner = Linear(dim, ffn_dim, bias=bias)
        self.gate = Linear(dim, ffn_dim, bias=bias) if activation in gated else None
        self.outer = Linear(ffn_dim, dim, bias=bias)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        inner = self.activation(self.inner(x)) if self.gate is None else self.activation(self.gate(x)) * self.inner(x)
        return self.outer(dropout(inner, self.dropout, self.training))
