"""`attend` against the formula, against torch, and by hand; the module in its three uses."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.attention import varlen

from mt.nn import attention
from mt.nn.attention import FeedForward, MultiHeadAttention, as_bias, attend, attend_explicit, hidden_keys
from mt.nn.ragged import Ragged
from mt.nn.source import Memory

SIZE = 6


problems = given(
    groups=st.sampled_from([1, 2, 3]),
    shared=st.sampled_from([1, 2, 4]),
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4),
    causal=st.booleans(),
    seed=st.integers(0, 99),
)


def make(groups, shared, lengths, causal, seed):
    """Queries and keys of some sentences: as self-attention (causal) or with keys from elsewhere."""
    queries = Ragged.from_lengths([a for a, _ in lengths])
    keys = queries if causal else Ragged.from_lengths([b for _, b in lengths])
    random = torch.Generator().manual_seed(seed)
    q = torch.randn(queries.num_rows, groups * shared, SIZE, generator=random, dtype=torch.float64)
    kv = torch.randn(keys.num_rows, 2, groups, SIZE, generator=random, dtype=torch.float64)
    return q, kv, {"queries": queries, "keys": keys, "causal": causal}


def with_gradients(function, q, kv):
    q, kv = q.clone().requires_grad_(), kv.clone().requires_grad_()
    out = function(q, kv)
    (out * torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device).view(out.shape)).sum().backward()
    return out.detach(), q.grad, kv.grad


def by_torch(q, kv, rows):
    """Sentence by sentence through torch's own function, which has its own way to share keys."""
    parts = zip(q.split(rows["queries"].lengths.tolist()), kv.split(rows["keys"].lengths.tolist()), strict=True)
    outs = []
    for one_q, one_kv in parts:
        q4, k4, v4 = (x.transpose(0, 1)[None] for x in (one_q, one_kv[:, 0], one_kv[:, 1]))  # (T, H, K) -> (1, H, T, K)
        out = F.scaled_dot_product_attention(q4, k4, v4, is_causal=rows["causal"], enable_gqa=True)
        outs.append(out[0].transpose(0, 1))
    return torch.cat(outs)


@problems
def test_attend_is_the_formula_in_values_and_gradients(**problem):
    q, kv, rows = make(**problem)
    fast = with_gradients(lambda q, kv: attend(q, kv, **rows), q, kv)
    slow = with_gradients(lambda q, kv: attend_explicit(q, kv, **rows)[0], q, kv)
    torch.testing.assert_close(fast, slow)


@problems
def test_attend_equals_torchs_attention_of_each_sentence(**problem):
    q, kv, rows = make(**problem)
    ours = with_gradients(lambda q, kv: attend(q, kv, **rows), q, kv)
    torch.testing.assert_close(ours, with_gradients(lambda q, kv: by_torch(q, kv, rows), q, kv))


@pytest.mark.parametrize("function", [attend, lambda *a, **k: attend_explicit(*a, **k)[0]])
def test_two_keys_by_hand(function):
    """Scores (0, 2 / sqrt 4) = (0, 1): weights (1, e) / (1 + e)."""
    rows = {"queries": Ragged.from_lengths([1]), "keys": Ragged.from_lengths([2])}
    q = torch.tensor([[[2.0, 0, 0, 0]]])
    keys, values = torch.zeros(2, 4), torch.tensor([[10.0, 0, 1, 0], [20.0, 0, 0, 1]])
    keys[1, 0] = 1
    out = function(q, torch.stack([keys, values], dim=1)[:, :, None], **rows).flatten()
    e = math.e
    torch.testing.assert_close(out, torch.tensor([10 + 20 * e, 0, 1, e]) / (1 + e))


def test_explicit_attention_returns_the_weights_of_every_head():
    queries = Ragged.from_lengths([1, 2])
    q = torch.ones(3, 2, 1)
    kv = torch.zeros(3, 2, 1, 1)
    kv[2, 0] = 1.0  # the key of the last row
    _, maps = attend_explicit(q, kv, queries=queries, keys=queries, causal=True)
    assert [tuple(m.shape) for m in maps] == [(2, 1, 1), (2, 2, 2)]
    e = math.e
    expected = torch.tensor([[1.0, 0.0], [1 / (1 + e), e / (1 + e)]]).expand(2, 2, 2)
    torch.testing.assert_close(maps[1], expected)


def test_hidden_keys_by_hand():
    rows = Ragged.from_lengths([3, 1])
    all_see, causal = (hidden_keys(rows, rows, causal=causal).int() for causal in (False, True))
    assert all_see[:, :, :3].tolist() == [[[0, 0, 0]], [[0, 1, 1]]]
    assert causal[0, :3, :3].tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert all_see[:, :, 3:].all()  # the grid is wider than the sentences


def test_hidden_keys_have_no_weight():
    bias = as_bias(torch.tensor([[[False, True]]]), torch.float32)
    assert (torch.tensor([[[5.0, 9.0]]]) + bias).softmax(-1).tolist() == [[[1.0, 0.0]]]


def test_no_gradient_leaks_from_one_sentence_to_another_or_to_the_future():
    rows = Ragged.from_lengths([2, 3])
    kv = torch.randn(5, 2, 2, SIZE, requires_grad=True)
    out = attend(torch.randn(5, 2, SIZE), kv, queries=rows, keys=rows, causal=True)
    out[3].sum().backward()  # the second row of the second sentence
    assert kv.grad.flatten(1).abs().sum(1).gt(0).tolist() == [False, False, True, True, False]


def test_dropped_weights_are_dropped_whole_and_the_rest_scaled():
    rows = Ragged.from_lengths([1] * 400)
    kv = torch.ones(400, 2, 1, SIZE)
    out = attend(torch.randn(400, 1, SIZE), kv, queries=rows, keys=rows, dropout_p=0.5)
    assert set(out.flatten().tolist()) == {0.0, 2.0}
    assert (out == out[:, :, :1]).all()  # one draw for the weight, not one per number
    assert 140 < int((out[:, 0, 0] == 0).sum()) < 260


def test_shapes_are_checked_while_testing():
    rows = Ragged.from_lengths([2])
    with pytest.raises(jaxtyping.TypeCheckError):
        attend(torch.zeros(2, 4), torch.zeros(2, 2, 1, 4), queries=rows, keys=rows)
    with pytest.raises(jaxtyping.TypeCheckError):  # the size of a head is bound twice
        attend(torch.zeros(2, 1, 4), torch.zeros(2, 2, 1, 5), queries=rows, keys=rows)


def module(**options):
    torch.manual_seed(0)
    base = {"dim": 16, "heads": 4, "kv_heads": 4, "bias": True, "dropout": 0.0, "rotary": False}
    made = MultiHeadAttention(**{**base, **options}).double().eval()
    torch.nn.init.normal_(made.key_value.weight, std=0.5)
    return made


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_queries_are_full_attention_with_keys_repeated(kv_heads):
    few, full = module(kv_heads=kv_heads), module()
    shared = 4 // kv_heads
    with torch.no_grad():
        full.query.load_state_dict(few.query.state_dict())
        full.out.load_state_dict(few.out.state_dict())
        for name in ("weight", "bias"):
            wide = getattr(few.key_value, name).view(2, kv_heads, 4, -1).repeat_interleave(shared, dim=1)
            getattr(full.key_value, name).copy_(wide.reshape(getattr(full.key_value, name).shape))
    rows = Ragged.from_lengths([3, 5])
    x = torch.randn(8, 16, dtype=torch.float64)
    torch.testing.assert_close(few(x, rows, causal=True), full(x, rows, causal=True))


@pytest.mark.parametrize("shares_keys", [True, False], ids=["torch 2.12", "torch 2.11"])
def test_the_kernel_for_packed_rows_gets_as_many_keys_as_it_takes(monkeypatch, shares_keys):
    """Stand-ins for the kernel of two versions; CUDA's own is in `test_fake_gpu.py`."""
    q, kv, rows = make(groups=2, shared=3, lengths=[(2, 3), (4, 1)], causal=False, seed=1)

    def of_211(q, k, v, q_bounds, k_bounds, q_most, k_most, *, return_aux=None, scale=None, window_size=(-1, -1)):
        assert k.shape[1] == v.shape[1] == q.shape[1]
        return attend_explicit(q, torch.stack([k, v], 1), **rows)[0]

    def of_212(q, k, v, *bounds, window_size=(-1, -1), enable_gqa=False):
        assert enable_gqa and k.shape[1] == v.shape[1] == 2
        return attend_explicit(q, torch.stack([k, v], 1), **rows)[0]

    monkeypatch.setattr(varlen, "varlen_attn", of_212 if shares_keys else of_211)
    monkeypatch.setattr(attention, "has_varlen", lambda q: True)
    torch.testing.assert_close(attend(q, kv, **rows), attend_explicit(q, kv, **rows)[0])


def test_keys_come_from_the_memory_if_there_is_one():
    attention = module()
    rows, memory_rows = Ragged.from_lengths([2, 1]), Ragged.from_lengths([1, 4])
    x, memory = torch.randn(3, 16, dtype=torch.float64), torch.randn(5, 16, dtype=torch.float64)
    out = attention(x, rows, memory=Memory(memory, memory_rows))
    q, kv = attention.query(x).view(3, 4, 4), attention.key_value(memory).view(5, 2, 4, 4)
    mixed, _ = attend_explicit(q, kv, queries=rows, keys=memory_rows)
    torch.testing.assert_close(out, attention.out(mixed.flatten(1)))
    assert not torch.allclose(out, attention(x, rows))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("own", [False, True], ids=["one bias for all", "a bias for each row"])
def test_hypotheses_of_a_sentence_share_its_cached_keys(kv_heads, own):
    attention = module(kv_heads=kv_heads, rotary=True)
    x, positions = torch.randn(6, 16, dtype=torch.float64), torch.full((6,), 3)
    keys, values = torch.randn(2, 2, kv_heads, 5, 4, dtype=torch.float64).unbind(0)
    hidden = torch.tensor([[[0, 0, 0, 0, 0]], [[0, 0, 1, 1, 1]]], dtype=torch.bool)
    if own:
        hidden = hidden | torch.tensor([[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    bias = torch.zeros(hidden.shape, dtype=x.dtype).masked_fill(hidden, -torch.inf)
    together = attention.attend_cached(x, keys, values, positions=positions, bias=bias)
    for row in range(6):
        sentence, mine = row // 3, ~hidden[row // 3, row % 3 if own else 0]
        seen = [part[sentence, None, :, mine] for part in (keys, values)]
        alone = attention.attend_cached(x[row, None], *seen, positions=positions[:1])
        torch.testing.assert_close(together[row, None], alone)
    keys[1, :, 2:], values[1, :, 2:] = 1e3, 1e3  # what is hidden has no say
    torch.testing.assert_close(together, attention.attend_cached(x, keys, values, positions=positions, bias=bias))


@pytest.mark.parametrize("dropout", [0.0, 0.9])
def test_attention_weights_are_dropped_in_training_only(dropout):
    attention = module(dropout=dropout)
    rows, x = Ragged.from_lengths([4]), torch.randn(4, 16, dtype=torch.float64)
    still = attention(x, rows)
    torch.testing.assert_close(attention(x, rows), still)
    assert torch.allclose(attention.train()(x, rows), still) == (dropout == 0)


PLAIN = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}
GATED = {"swiglu": F.silu, "geglu": F.gelu}


@pytest.mark.parametrize("activation", [*PLAIN, *GATED])
def test_feed_forward_by_its_formula(activation):
    layer = FeedForward(dim=4, ffn_dim=6, activation=activation, bias=True, dropout=0.0)
    x = torch.randn(5, 4)
    if activation in PLAIN:
        inner = PLAIN[activation](layer.inner(x))
        assert layer.gate is None
    else:
        inner = GATED[activation](layer.gate(x)) * layer.inner(x)
    torch.testing.assert_close(layer(x), layer.outer(inner))


def test_feed_forward_drops_inside_in_training_only():
    layer = FeedForward(dim=4, ffn_dim=64, activation="relu", bias=False, dropout=0.5)
    x = torch.randn(5, 4)
    assert not torch.allclose(layer(x), layer.eval()(x))
    torch.testing.assert_close(layer(x), layer(x))


@pytest.mark.gpu
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_for_packed_rows_agrees_with_the_formula(causal, groups):
    queries = Ragged.from_lengths([3, 70, 1, 20], "cuda")
    keys = queries if causal else Ragged.from_lengths([5, 2, 33, 20], "cuda")
    q = torch.randn(queries.num_rows, 4, 64, device="cuda")
    kv = torch.randn(keys.num_rows, 2, groups, 64, device="cuda")
    rows = {"queries": queries, "keys": keys, "causal": causal}
    half = with_gradients(lambda q, kv: attend(q, kv, **rows), q.bfloat16(), kv.bfloat16())
    exact = with_gradients(lambda q, kv: attend_explicit(q, kv, **rows)[0], q, kv)
    for ours, wanted in zip(half, exact, strict=True):
        assert (ours.float() - wanted).norm() < 0.02 * wanted.norm()
