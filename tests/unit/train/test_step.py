"""One update: its gradient does not depend on how it is split, and one that is not finite changes nothing."""

import copy

import pytest
import torch
from toy import number_corpus, tiny_model, updater_of

from mt.checkpoint import Checkpoint, Checkpoints
from mt.config import Precision
from mt.train.objective import batch_loss
from mt.train.optim import Ema, optimizer_tensors
from mt.train.step import PendingUpdate


@pytest.fixture
def corpus():
    return number_corpus(12)


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def memory(updater):
    return {name: t.clone() for name, t in optimizer_tensors(updater.model, updater.optimizer).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def gradients(updater, batches, **options):
    """The gradients that the optimiser gets."""
    found = {}

    def keep(optimizer, args, kwargs):
        found.update({name: p.grad.clone() for name, p in updater.model.named_parameters()})

    handle = updater.optimizer.register_step_pre_hook(keep)
    update = updater(batches, lr=1e-3, **options).read()
    handle.remove()
    return found, update


@pytest.mark.parametrize("cut", [(6, 12), (1, 2, 12), (4, 8, 12)])
def test_the_gradient_does_not_depend_on_how_a_batch_is_split(corpus, cut):
    whole, first = gradients(updater_of(tiny_model()), [corpus.batch(range(12))])
    parts = [corpus.batch(range(a, b)) for a, b in zip((0, *cut), cut, strict=False)]
    split, second = gradients(updater_of(tiny_model()), parts)
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-4, atol=1e-7)
    assert (first.src_tokens, first.tgt_tokens) == (second.src_tokens, second.tgt_tokens)
    assert second.loss == pytest.approx(first.loss, rel=1e-5) and second.nll == pytest.approx(first.nll, rel=1e-5)
    assert second.grad_norm == pytest.approx(first.grad_norm, rel=1e-4)


def test_the_loss_is_divided_once_by_the_target_tokens_of_all(corpus):
    model = tiny_model()
    batches = [corpus.batch([0]), corpus.batch([1, 2, 3])]
    losses = [batch_loss(model, batch, Precision.fp32, 0.1) for batch in batches]
    tokens = sum(len(corpus.target[i]) + 1 for i in range(4))
    update = updater_of(model)(batches, lr=0.0).read()
    assert update.tgt_tokens == tokens and update.src_tokens == sum(len(corpus.source[i]) for i in range(4))
    assert update.loss == pytest.approx(sum(loss.smoothed.item() for loss in losses) / tokens, rel=1e-6)
    assert update.nll == pytest.approx(sum(loss.nll.item() for loss in losses) / tokens, rel=1e-6)
    assert update.loss != update.nll


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_is_skipped_and_the_next_is_not(corpus, poison):
    model = tiny_model()
    updater = updater_of(model, ema=Ema(model, 0.9))
    batch = corpus.batch(range(4))
    updater([batch], lr=1e-2)
    before = weights(model), memory(updater), copy.deepcopy(updater.ema.means), int(updater.ema.updates)
    bad = model.tgt_weight.register_hook(lambda gradient: torch.full_like(gradient, poison))
    update = updater([batch], lr=1e-2).read()
    bad.remove()
    assert update.skipped
    after = weights(model), memory(updater), updater.ema.means, updater.ema.updates
    assert all(same(one, other) for one, other in zip(before[:3], after[:3], strict=True)) and before[3] == after[3]
    assert not updater([batch], lr=1e-2).read().skipped
    assert not same(before[0], weights(model)) and updater.ema.updates == before[3] + 1


def test_gradients_are_scaled_down_to_the_norm_but_never_up(corpus):
    batch = [corpus.batch(range(6))]
    plain, update = gradients(updater_of(tiny_model()), batch)
    clipped, also = gradients(updater_of(tiny_model(), clip_norm=update.grad_norm / 4), batch)
    assert also.grad_norm == update.grad_norm  # the norm before
    for name, gradient in plain.items():
        torch.testing.assert_close(clipped[name], gradient / 4, rtol=1e-3, atol=1e-9)
    wide, _ = gradients(updater_of(tiny_model(), clip_norm=update.grad_norm * 4), batch)
    assert same(wide, plain)


def test_the_rate_given_is_the_rate_used(corpus):
    model = tiny_model()
    before = weights(model)
    updater = updater_of(model)
    updater([corpus.batch(range(4))], lr=0.0)
    assert same(before, weights(model))
    updater.optimizer.param_groups[1]["lr_ratio"] = 0.5
    updater([corpus.batch(range(4))], lr=1e-3)
    assert [group["lr"] for group in updater.optimizer.param_groups] == [1e-3, 5e-4, 1e-3]
    moved = max((before[name] - p).abs().max().item() for name, p in model.named_parameters())
    assert 0 < moved < 2e-3  # a step of Adam is about as long as the rate


def test_the_model_trains_with_dropout_and_learns(corpus):
    model = tiny_model(dropout=0.1)
    model.eval()
    updater = updater_of(model)
    losses = [updater([corpus.batch(range(12))], lr=1e-2).read().loss for _ in range(30)]
    assert model.training and losses[-1] < 0.7 * losses[0]


def test_bf16_stays_close_to_fp32(corpus):
    batch = [corpus.batch(range(12))]
    exact, one = gradients(updater_of(tiny_model()), batch)
    rough, other = gradients(updater_of(tiny_model(), Precision.bf16), batch)
    assert other.loss == pytest.approx(one.loss, rel=1e-2) and other.loss != one.loss
    for name, gradient in exact.items():
        assert (rough[name] - gradient).norm() <= 0.1 * gradient.norm() + 1e-4, name


def test_fp16_scales_its_loss_and_skips_what_overflows(corpus):
    model = tiny_model()
    updater = updater_of(model, Precision.fp16)
    batch = [corpus.batch(range(12))]
    one, other = updater_of(tiny_model())(batch, lr=1e-3).read(), updater(batch, lr=1e-3).read()
    assert not other.skipped and other.loss == pytest.approx(one.loss, rel=1e-2)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=5e-2)  # the scale is taken out again
    before, scale = weights(model), updater.scaler.get_scale()
    bad = model.tgt_weight.register_hook(lambda gradient: torch.full_like(gradient, float("inf")))
    assert updater(batch, lr=1e-2).read().skipped
    bad.remove()
    assert same(before, weights(model)) and updater.scaler.get_scale() == scale / 2
    fresh = updater_of(tiny_model(), Precision.fp16)
    fresh.load_state_dict(updater.state_dict())
    assert fresh.scaler.get_scale() == scale / 2


def test_fp16_finds_its_scale_by_itself(corpus):
    """From a scale at which everything overflows it comes down, an update at a time, and then trains."""
    updater = updater_of(tiny_model(), Precision.fp16)
    state = updater.state_dict()
    state["scaler"]["scale"] = 2.0**30
    updater.load_state_dict(state)
    batch = [corpus.batch(range(12))]
    seen = [updater(batch, lr=1e-2).read() for _ in range(30)]
    skipped = [update.skipped for update in seen]
    assert 3 < sum(skipped) < 20 and skipped == sorted(skipped, reverse=True)
    assert updater.scaler.get_scale() == 2.0 ** (30 - sum(skipped))
    assert seen[-1].loss < seen[0].loss


def test_all_precisions_arrive_at_the_same_loss(corpus):
    def trained(precision: Precision) -> float:
        updater = updater_of(tiny_model(dropout=0.1), precision)
        batches = [corpus.batch(range(6)), corpus.batch(range(6, 12))]
        seen = [updater(batches, lr=1e-2, seeds=[2 * step, 2 * step + 1]).read() for step in range(40)]
        assert not any(update.skipped for update in seen)
        assert seen[-1].nll < 0.6 * seen[0].nll
        return sum(update.nll for update in seen[-5:]) / 5

    exact = trained(Precision.fp32)
    for precision in (Precision.bf16, Precision.fp16):
        assert trained(precision) == pytest.approx(exact, rel=0.03), precision


def test_random_numbers_belong_to_the_batch_and_not_to_the_process(corpus):
    first, second = corpus.batch(range(6)), corpus.batch(range(6, 12))
    model = tiny_model(dropout=0.3, word_dropout=0.2)
    together, update = gradients(updater_of(model), [first, second], seeds=[5, 6])
    model = tiny_model(dropout=0.3, word_dropout=0.2)
    updater, found = updater_of(model), {}
    for batch, seed in ((second, 6), (first, 5)):  # each by itself, and in the other order
        torch.manual_seed(seed)
        updater.gradients(batch, update.tgt_tokens)
    found = {name: p.grad for name, p in model.named_parameters()}
    assert same(together, found)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16, Precision.fp16])
def test_the_host_never_waits_for_the_device(corpus, precision):
    model = tiny_model(dropout=0.1).cuda()
    updater = updater_of(model, precision, clip_norm=1.0, ema=Ema(model, 0.9))
    batches = [corpus.batch(range(6)).to(updater.device), corpus.batch(range(6, 12)).to(updater.device)]
    updater(batches, lr=1e-3, seeds=[1, 2]).read()  # what is made at first use
    torch.cuda.set_sync_debug_mode("error")
    try:
        updates = [updater(batches, lr=1e-3, seeds=[1, 2]) for _ in range(3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(update.read().loss > 0 for update in updates)


def test_the_update_count_of_the_ema_is_restored(corpus):
    model = tiny_model()
    updater = updater_of(model, ema=Ema(model, 0.9))
    for _ in range(3):
        updater([corpus.batch(range(4))], lr=1e-2)
    fresh = updater_of(model, ema=Ema(model, 0.9))
    fresh.load_state_dict(updater.state_dict())
    assert fresh.ema.updates == 3


def test_a_run_in_another_precision_has_no_loss_scale(corpus):
    saved = updater_of(tiny_model()).state_dict()
    assert saved["scaler"] == {}
    fresh = updater_of(tiny_model(), Precision.fp16)
    before = fresh.scaler.get_scale()
    fresh.load_state_dict(saved)
    assert fresh.scaler.get_scale() == before


def test_the_ema_of_a_checkpoint_is_a_copy_and_does_not_keep_its_file(corpus, tmp_path, monkeypatch):
    model = tiny_model()
    updater = updater_of(model, ema=Ema(model, 0.9))
    updater([corpus.batch(range(4))], lr=1e-2)
    checkpoint = Checkpoint.open(Checkpoints(tmp_path, keep=1).save(1, **updater.tensors(), state={}))
    mapped = checkpoint.ema()
    monkeypatch.setattr(Checkpoint, "ema", lambda checkpoint: mapped)
    updater.load_tensors(checkpoint)
    assert same(updater.ema.means, mapped)
    assert all(mean.data_ptr() != mapped[name].data_ptr() for name, mean in updater.ema.means.items())


def test_a_copy_that_no_event_follows_is_waited_for(monkeypatch):
    """On MPS it would be read before it is made."""
    told = []
    monkeypatch.setattr(torch.Tensor, "to", lambda numbers, *args, **options: told.append((args, options)) or numbers)
    PendingUpdate(torch.zeros(3), 1, 1)
    assert told == [(("cpu",), {"non_blocking": False})]
