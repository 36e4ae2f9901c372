"""The loss of two readings agrees with autograd on whole matrices of logits."""

import pytest
import torch
from torch.nn import functional as F

from mt.nn.consistency import consistency_loss

ROWS, DIM, VOCABULARY = 11, 8, 23


def tensors(padding: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(ROWS + padding, DIM, generator=generator) for _ in range(2))
    weight = torch.randn(VOCABULARY, DIM, generator=generator)
    return first, second, weight, torch.randint(VOCABULARY, (ROWS,), generator=generator)


def by_definition(first, second, weight, targets, *, smoothing, consistency):
    """R-Drop's loss, halved, from whole matrices."""
    x, y = (rows[: len(targets)] @ weight.T for rows in (first, second))
    ce = [F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum") for logits in (x, y)]
    log_p, log_q = x.log_softmax(1), y.log_softmax(1)
    kl = [F.kl_div(a, b, log_target=True, reduction="sum") for a, b in ((log_q, log_p), (log_p, log_q))]
    return sum(ce) / 2 + consistency / 2 * sum(kl), F.cross_entropy(x, targets, reduction="sum"), ce[0], sum(kl) / 2


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("consistency", [0.25, 2.0])
@pytest.mark.parametrize("rows_of_a_chunk", [4, 512])
def test_loss_and_gradients_are_those_of_whole_matrices(smoothing, consistency, rows_of_a_chunk, monkeypatch):
    monkeypatch.setattr("mt.nn.consistency.chunk_rows", lambda vocabulary, device: (rows_of_a_chunk, 3))
    options = {"smoothing": smoothing, "consistency": consistency}
    mine = [one.requires_grad_(one.is_floating_point()) for one in tensors(padding=5)]
    theirs = [one.double().requires_grad_() if one.is_floating_point() else one for one in tensors(padding=5)]
    found = consistency_loss(*mine, **options)
    total, nll, smoothed, divergence = by_definition(*theirs, **options)
    torch.testing.assert_close(
        [found.total, found.first.nll, found.first.smoothed, found.divergence],
        [one.detach().float() for one in (total, nll, smoothed, divergence)],
        check_dtype=False, rtol=1e-5, atol=1e-5,
    )  # fmt: skip
    (2 * found.total).backward()
    (2 * total).backward()
    for one, other in zip(mine[:3], theirs[:3], strict=True):
        torch.testing.assert_close(one.grad, other.grad.float(), rtol=1e-4, atol=1e-5)
    assert not mine[0].grad[ROWS:].any() and not mine[1].grad[ROWS:].any()


def test_equal_readings_do_not_diverge_and_have_the_loss_of_one():
    first, _, weight, targets = tensors()
    found = consistency_loss(first, first.clone(), weight, targets, smoothing=0.1, consistency=3.0)
    assert found.divergence == 0 and found.total == found.first.smoothed


def test_predictions_that_exclude_each_other_give_finite_gradients():
    weight, targets = torch.eye(3) * 400, torch.tensor([0])
    first, second = torch.tensor([[1.0, 0, 0]], requires_grad=True), torch.tensor([[0.0, 1, 0]], requires_grad=True)
    found = consistency_loss(first, second, weight, targets, smoothing=0.0, consistency=1.0)
    found.total.backward()
    # p and q are all but certain: both KL are 400, and the second reading misses the target by 400 nats.
    assert found.divergence.item() == pytest.approx(400) and found.total.item() == pytest.approx(600)
    assert first.grad.isfinite().all() and second.grad.isfinite().all()
