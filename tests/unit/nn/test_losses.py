"""Label-smoothed cross-entropy in chunks: against torch, by hand, and in memory."""

import math

import pytest
import torch
from dispatched import Watch
from torch.nn import functional as F

import mt.nn.losses
from mt.nn.losses import cross_entropy

T, D, V = 23, 5, 11
SMOOTHINGS = [0.0, 0.1, 0.7]


def drawn(dtype=torch.float32):
    hidden, weight = torch.randn(T, D, dtype=dtype), torch.randn(V, D, dtype=dtype)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.randint(V, (T,))


def by_torch(hidden, weight, targets, smoothing):
    return F.cross_entropy(hidden @ weight.t(), targets, label_smoothing=smoothing, reduction="sum")


@pytest.fixture(params=[1, 2 * V, 7 * V + 3, T * V, 1 << 22], ids=lambda n: f"chunk{n}")
def chunk(request, monkeypatch):
    monkeypatch.setattr(mt.nn.losses, "MIN_ROWS", 1)
    monkeypatch.setattr(mt.nn.losses, "CPU_CHUNK", request.param)
    monkeypatch.setattr(mt.nn.losses, "CPU_SLICE", request.param // 3)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_values_and_gradients_are_torchs(smoothing):
    hidden, weight, targets = drawn()
    loss = cross_entropy(hidden, weight, targets, smoothing)
    wanted = by_torch(hidden, weight, targets, smoothing)
    torch.testing.assert_close(loss.smoothed, wanted)
    torch.testing.assert_close(loss.nll, by_torch(hidden, weight, targets, 0.0).detach())
    assert not loss.nll.requires_grad
    ours = torch.autograd.grad(3 * loss.smoothed, (hidden, weight))
    torch.testing.assert_close(ours, torch.autograd.grad(3 * wanted, (hidden, weight)))


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_without_gradients_the_sums_are_the_same(smoothing):
    hidden, weight, targets = drawn()
    still = cross_entropy(hidden.detach(), weight.detach(), targets, smoothing)
    torch.testing.assert_close(
        tuple(still), tuple(x.detach() for x in cross_entropy(hidden, weight, targets, smoothing))
    )
    with torch.no_grad():
        torch.testing.assert_close(tuple(cross_entropy(hidden, weight, targets, smoothing)), tuple(still))


def test_two_classes_by_hand():
    """Logits (ln 3, 0): p = (3/4, 1/4). With e = 0.2 the target is (0.9, 0.1)."""
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[math.log(3)], [0.0]], requires_grad=True)
    loss = cross_entropy(hidden, weight, torch.tensor([0]), 0.2)
    assert loss.nll.item() == pytest.approx(math.log(4 / 3))
    assert loss.smoothed.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))
    loss.smoothed.backward()
    assert weight.grad.flatten().tolist() == pytest.approx([0.75 - 0.9, 0.25 - 0.1])
    assert hidden.grad.item() == pytest.approx((0.75 - 0.9) * math.log(3))


def test_a_uniform_guess_costs_log_v_a_row_however_smoothed():
    for smoothing in SMOOTHINGS:
        loss = cross_entropy(torch.zeros(T, D), torch.randn(V, D), torch.randint(V, (T,)), smoothing)
        assert [x.item() for x in loss] == pytest.approx([T * math.log(V)] * 2)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("more", [1, 9, 40])
def test_rows_beyond_the_last_target_are_ignored(more):
    hidden, weight, targets = drawn()
    longer = torch.cat([hidden.detach(), torch.randn(more, D)]).requires_grad_()
    found, wanted = cross_entropy(longer, weight, targets, 0.1), cross_entropy(hidden, weight, targets, 0.1)
    torch.testing.assert_close(tuple(found), tuple(wanted))
    made = torch.autograd.grad(found.smoothed, (longer, weight))
    of_hidden, of_weight = torch.autograd.grad(wanted.smoothed, (hidden, weight))
    torch.testing.assert_close(made, (torch.cat([of_hidden, torch.zeros(more, D)]), of_weight))
    with torch.no_grad():
        torch.testing.assert_close(tuple(cross_entropy(longer, weight, targets, 0.1)), tuple(wanted))


def test_micro_batches_give_the_gradient_of_the_whole():
    hidden, weight, targets = drawn()
    whole = cross_entropy(hidden, weight, targets, 0.1).smoothed
    parts = [cross_entropy(hidden[i:j], weight, targets[i:j], 0.1).smoothed for i, j in ((0, 4), (4, 5), (5, T))]
    torch.testing.assert_close(sum(parts), whole)
    inputs = (hidden, weight)
    torch.testing.assert_close(torch.autograd.grad(sum(parts), inputs), torch.autograd.grad(whole, inputs))


class Sizes(Watch):
    """Elements of the largest tensor that any operation gives."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.largest = max(
            [self.largest, *(x.numel() for x in torch.utils._pytree.tree_leaves(out) if torch.is_tensor(x))]
        )
        return out


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_all_logits_are_never_held(monkeypatch, smoothing):
    rows, vocabulary = 64, 50
    for size in ("CPU_CHUNK", "CPU_SLICE"):
        monkeypatch.setattr(mt.nn.losses, size, 4 * vocabulary)
    monkeypatch.setattr(mt.nn.losses, "MIN_ROWS", 1)
    hidden, weight = torch.randn(rows, 3, requires_grad=True), torch.randn(vocabulary, 3, requires_grad=True)
    targets = torch.randint(vocabulary, (rows,))
    saved = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x)
    with hooks, Sizes() as sizes:
        loss = cross_entropy(hidden, weight, targets, smoothing).smoothed
    loss.backward()
    assert sorted(saved) == [3 * vocabulary, 3 * rows]  # the two gradients
    assert sizes.largest == 4 * vocabulary
    with Sizes() as sizes, torch.no_grad():
        cross_entropy(hidden, weight, targets, smoothing)
    assert sizes.largest == 4 * vocabulary


@pytest.mark.parametrize("scale", [1e3, 1e6])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_extreme_logits_stay_finite(smoothing, scale):
    hidden, weight, targets = drawn()
    loss = cross_entropy(hidden * scale, weight, targets, smoothing)
    exact = by_torch(hidden.double() * scale, weight.double(), targets, smoothing)
    assert loss.smoothed.item() == pytest.approx(exact.item(), rel=1e-5)
    for gradient in torch.autograd.grad(loss.smoothed, (hidden, weight)):
        assert gradient.isfinite().all()


def test_a_certain_and_correct_prediction_has_no_loss():
    hidden = torch.ones(1, 1, requires_grad=True)
    smoothed, nll = cross_entropy(hidden, torch.tensor([[0.0], [200.0], [0.0]]), torch.tensor([1]), 0.0)
    smoothed.backward()
    assert (smoothed.item(), nll.item(), hidden.grad.item()) == (0.0, 0.0, 0.0)


def test_the_gradient_of_a_nearly_certain_prediction_is_precise_in_16_bits():
    """p = 1 / (1 + e^-5) = 0.99331: bfloat16 rounds p to 0.9922, but p - 1 must be -0.00669."""
    hidden = torch.ones(1, 1, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.tensor([[5.0], [0.0]], requires_grad=True)
    cross_entropy(hidden, weight, torch.tensor([0]), 0.0).smoothed.backward()
    assert weight.grad[0].item() == pytest.approx(-1 / (1 + math.exp(5)), rel=0.01)


def test_hidden_rows_of_16_bits_keep_a_32_bit_loss_and_weight():
    hidden, weight, targets = drawn()
    half = hidden.detach().bfloat16().requires_grad_()
    loss = cross_entropy(half, weight, targets, 0.1)
    exact = by_torch(half.float(), weight.bfloat16().float(), targets, 0.1)
    assert loss.smoothed.dtype == loss.nll.dtype == torch.float32
    assert loss.smoothed.item() == pytest.approx(exact.item(), rel=0.01)
    loss.smoothed.backward()
    assert (half.grad.dtype, weight.grad.dtype) == (torch.bfloat16, torch.float32)
    wanted = torch.autograd.grad(by_torch(hidden, weight, targets, 0.1), weight)[0]
    assert (weight.grad - wanted).norm() < 0.03 * wanted.norm()


def test_only_tensors_that_require_a_gradient_get_one():
    hidden, weight, targets = drawn()
    cross_entropy(hidden.detach(), weight, targets, 0.1).smoothed.backward()
    assert hidden.grad is None
    assert weight.grad is not None


def test_without_gradients_none_are_made(monkeypatch):
    def refuse(*_):
        raise AssertionError("validation computes gradients")

    hidden, weight, targets = drawn()
    wanted = cross_entropy(hidden, weight, targets, 0.1)
    monkeypatch.setattr(mt.nn.losses._ChunkedCrossEntropy, "apply", refuse)
    with torch.no_grad():
        found = cross_entropy(hidden, weight, targets, 0.1)
    torch.testing.assert_close(found, wanted)


def test_a_large_vocabulary_has_chunks_of_many_rows_all_the_same():
    """Each chunk reads and writes the gradient of the whole output layer."""
    cpu = torch.device("cpu")
    sizes = (2048, 8000, 8192, 32_000, 250_000)
    assert [mt.nn.losses.chunk_rows(v, cpu)[0] for v in sizes] == [2048, 524, 512, 512, 512]
