"""AdamW and Muon by hand, where they decay, their state by name, and the running mean."""

import math

import pytest
import torch
from torch import nn

from mt.config import OptimConfig, OptimizerKind, Precision
from mt.train import muon
from mt.train.optim import Ema, load_optimizer_tensors, make_optimizer, optimizer_tensors, step_if


def step(model, optimizer, gradient):
    """One update with the same gradient in every value, or with one drawn from a seed."""
    random = torch.Generator().manual_seed(gradient) if isinstance(gradient, int) else None
    for p in model.parameters():
        p.grad = torch.full_like(p, gradient) if random is None else torch.randn(p.shape, generator=random)
    optimizer.step()


def test_two_steps_by_hand():
    """Rate 0.1, decay 0.5, b1 = 0.9, b2 = 0.99; gradients 0.5 and -1 on a weight that starts at 2."""
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 2.0)
    nn.init.constant_(model.bias, 2.0)
    section = OptimConfig(name=OptimizerKind.adamw, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-9, weight_decay=0.5)
    optimizer = make_optimizer(model, section)
    step(model, optimizer, 0.5)  # the first step is the sign of the gradient
    assert model.weight.item() == pytest.approx(2 * (1 - 0.1 * 0.5) - 0.1)
    assert model.bias.item() == pytest.approx(2 - 0.1)
    step(model, optimizer, -1.0)
    m = (0.9 * 0.05 + 0.1 * -1) / (1 - 0.9**2)
    v = (0.99 * 0.01 * 0.25 + 0.01 * 1) / (1 - 0.99**2)
    assert model.weight.item() == pytest.approx(1.8 * 0.95 - 0.1 * m / v**0.5)
    assert model.bias.item() == pytest.approx(1.9 - 0.1 * m / v**0.5)


def test_a_step_of_muon_has_the_singular_vectors_of_its_momentum_and_one_length():
    """At rate 0.1 all singular values of an update of 6 x 4 are about 0.1 * 0.4 * sqrt(6).

    The second direction is a Nesterov step's: 0.1 of the new gradient and 0.9 of a mean that holds 0.1 of each.
    """
    torch.manual_seed(1)
    model = nn.Linear(4, 6)
    optimizer = make_optimizer(model, OptimConfig(name=OptimizerKind.muon, lr=0.1, weight_decay=0.0))
    gradients, mean = torch.randn(2, 6, 4), torch.zeros(6, 4)
    for gradient in gradients:
        mean = 0.9 * mean + 0.1 * gradient
        u, _, v = torch.linalg.svd(0.1 * gradient + 0.9 * mean, full_matrices=False)
        before = model.weight.detach().clone()
        model.weight.grad, model.bias.grad = gradient.clone(), torch.ones(6)
        optimizer.step()
        moved = u.T @ (before - model.weight.detach()) @ v.T / (0.1 * 0.4 * 6**0.5)
        values = moved.diagonal()
        assert values.min() > 0.6 and values.max() < 1.3  # the polynomials end near one, not at it
        assert (moved - values.diag()).abs().max() < 0.01


def test_no_polynomials_of_this_degree_bring_singular_values_nearer_to_one():
    """The distance to 1 is largest at four points in turn below and above, but for rounded digits, so no other three
    coefficients make it smaller (Chebyshev). Each polynomial begins with the values at which the one before it ends."""
    low, high = 0.01, 1.0
    for a, b, c in muon.OPTIMAL:
        x = torch.linspace(low, high, 100_001, dtype=torch.float64)
        error = a * x + b * x**3 + c * x**5 - 1
        largest = float(error.abs().max())
        signs = error[error.abs() > 0.99 * largest].sign().unique_consecutive()
        assert signs.tolist() == [-1, 1, -1, 1]
        low, high = 1 - largest, 1 + largest
    assert (low, high) == (pytest.approx(0.73, abs=0.005), pytest.approx(1.27, abs=0.005))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_what_is_made_orthogonal_has_the_polynomials_of_its_singular_values(dtype, tolerance, shape, scale):
    """Singular values of 1, as large as they can be, down to a ten-thousandth, alike in the next matrix."""
    rank = min(shape)
    random = torch.Generator().manual_seed(3)
    u, v = (torch.linalg.qr(torch.randn(2, n, rank, generator=random, dtype=torch.float64)).Q for n in shape)
    wanted = torch.stack([torch.logspace(0, -4, rank, dtype=torch.float64), torch.ones(rank, dtype=torch.float64)])
    made = muon.orthogonal((u * wanted[:, None] @ v.mT * scale).float(), dtype).double()
    wanted = wanted / (wanted**4).sum(1, keepdim=True) ** 0.25
    for a, b, c in muon.POLYNOMIALS:
        wanted = a * wanted + b * wanted**3 + c * wanted**5
    assert (u.mT @ made @ v - torch.diag_embed(wanted)).abs().max() < tolerance
    assert wanted.max() < 1.28


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_muon_agrees_with_torchs_whichever_side_of_a_matrix_is_longer(precision, monkeypatch):
    """But for how they make a matrix orthogonal, in which theirs follows ours here."""
    dtype = torch.bfloat16 if precision is Precision.bf16 else torch.float32
    theirs_to_ours = "torch.optim._muon._zeropower_via_newtonschulz"
    monkeypatch.setattr(theirs_to_ours, lambda gradient, *_: muon.orthogonal(gradient[None], dtype)[0])
    torch.manual_seed(2)
    ours, theirs = (nn.ModuleList(nn.Linear(*sizes) for sizes in ((8, 8), (8, 8), (4, 12), (12, 4))) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    before = [p.detach().clone() for p in theirs.parameters()]
    mine = make_optimizer(ours, OptimConfig(name=OptimizerKind.muon, lr=0.1, weight_decay=0.2), precision)
    matrices = [p for p in theirs.parameters() if p.dim() == 2]
    # Their updates are half as long: twice the rate, and half of the decay, which the rate multiplies.
    other = torch.optim.Muon(matrices, lr=0.2, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for seed in range(3):
        step(ours, mine, seed)
        step(theirs, other, seed)
    for p, q, start in zip(ours.parameters(), theirs.parameters(), before, strict=True):
        if p.dim() == 2:
            assert (p - q).norm() < 1e-5 * (q - start).norm()


def test_muon_moves_the_matrices_of_linear_layers_and_adamw_the_rest_as_without_muon(small_model):
    model, plain = small_model(), small_model()
    step(model, make_optimizer(model, OptimConfig(name=OptimizerKind.muon, embedding_lr_ratio=1.0)), 5)
    step(plain, make_optimizer(plain, OptimConfig(name=OptimizerKind.adamw)), 5)
    linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    for p, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, other) == (id(p) not in linear)


@pytest.mark.parametrize(("name", "given", "used"), [("muon", None, 2.5), ("adamw", None, 1.0), ("adamw", 0.5, 0.5)])
def test_embeddings_have_a_rate_of_their_own(small_model, name, given, used):
    """The first step of Adam is as long as its rate."""
    model = small_model(tying="none", positions="learned", output_bias=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    section = OptimConfig(name=OptimizerKind(name), lr=0.01, embedding_lr_ratio=given)
    step(model, make_optimizer(model, section), 1.0)
    linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    for place, p in model.named_parameters():
        if id(p) not in linear:
            ratio = used if place in ("src_weight", "tgt_weight", "out_weight") else 1.0
            torch.testing.assert_close(before[place] - p, torch.full_like(p, 0.01 * ratio), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OptimizerKind)
def test_only_matrices_of_linear_layers_decay(small_model, name):
    model = small_model(positions="learned", tying="none")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step(model, make_optimizer(model, OptimConfig(name=name, lr=0.1, weight_decay=0.5)), 0.0)
    linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    assert len(linear) == 2 * (3 + 2) + 2 * (6 + 2)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, before[name] * (0.95 if id(p) in linear else 1.0))


@pytest.mark.parametrize("name", OptimizerKind)
def test_the_state_is_restored_from_named_tensors(small_model, name):
    section = OptimConfig(name=name, lr=0.01, weight_decay=0.1)
    model, copy = small_model(), small_model()
    optimizer = make_optimizer(model, section)
    assert optimizer_tensors(model, optimizer) == {}
    for seed in range(3):
        step(model, optimizer, seed)
    saved = optimizer_tensors(model, optimizer)
    query, muon = "encoder.0.self_attention.query.weight", name is OptimizerKind.muon
    slots = {"momentum_buffer"} if muon else {"exp_avg", "exp_avg_sq", "step"}
    assert {key.split("/")[1] for key in saved if key.startswith(query)} == slots
    matrices = sum(isinstance(module, nn.Linear) for module in model.modules())
    assert len(saved) == 3 * len(list(model.parameters())) - (2 * matrices if muon else 0)
    assert saved["encoder.0.self_attention.query.bias/step"].item() == 3
    assert saved["tgt_weight/exp_avg_sq"].shape == model.tgt_weight.shape

    copy.load_state_dict(model.state_dict())
    other = make_optimizer(copy, section)
    load_optimizer_tensors(copy, other, saved)
    step(model, optimizer, 7)  # must not reach into the copy
    step(copy, other, 7)
    for name, p in model.named_parameters():
        assert torch.equal(p, dict(copy.named_parameters())[name]), name
    fresh = small_model()
    fresh.load_state_dict(model.state_dict())
    start = make_optimizer(fresh, section)
    load_optimizer_tensors(fresh, start, {})
    assert optimizer_tensors(fresh, start) == {}


@pytest.mark.parametrize("name", OptimizerKind)
def test_a_tied_matrix_is_optimised_once(small_model, name):
    model = small_model(tying="all")
    optimizer = make_optimizer(model, OptimConfig(name=name))
    given = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(given) == sorted({id(p) for p in model.parameters()})


@pytest.mark.parametrize(
    ("name", "fused"), [(OptimizerKind.adamw, True), (OptimizerKind.adamw, False), (OptimizerKind.muon, True)]
)
def test_a_skipped_step_changes_nothing(small_model, name, fused):
    section, model, wanted = OptimConfig(name=name, lr=0.01, weight_decay=0.1), small_model(), torch.tensor
    optimizer = make_optimizer(model, section)
    for group in optimizer.param_groups:
        group["fused"] = fused and "fused" in group
    plain = small_model()
    steps = make_optimizer(plain, section)
    for seed in range(4):
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)) + (
                math.nan if seed == 2 else 0
            )
            q.grad = p.grad.clone()
        step_if(optimizer, wanted(seed != 2))
        if seed != 2:
            steps.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(
            p, dict(plain.named_parameters())[name], rtol=0 if fused else 1e-5, atol=0 if fused else 1e-6
        )
    assert {t.item() for name, t in optimizer_tensors(model, optimizer).items() if name.endswith("/step")} == {3}


def test_skipped_weights_are_not_averaged():
    model = nn.Linear(2, 2)
    ema, other = Ema(model, decay=0.9), Ema(model, decay=0.9)
    for step in range(4):
        nn.init.constant_(model.weight, float(step))
        ema.update(model, torch.tensor(step != 1))
        if step != 1:
            other.update(model)
    assert torch.equal(ema.means["weight"], other.means["weight"]) and ema.updates == other.updates == 3


def test_the_ema_by_hand():
    """The decay is 1/10, then 2/11, then the configured one, once that is lower."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    ema = Ema(model, decay=0.2)
    for weight, mean in ((1.0, 0.9), (2.0, 0.9 * 2 / 11 + 2 * 9 / 11), (3.0, None)):
        nn.init.constant_(model.weight, weight)
        before = ema.means["weight"].item()
        ema.update(model)
        wanted = 0.2 * before + 0.8 * weight if mean is None else mean
        assert ema.means["weight"].item() == pytest.approx(wanted)
    assert ema.updates == 3
    assert model.weight.item() == 3.0
    assert not ema.means["weight"].requires_grad
