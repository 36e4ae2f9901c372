"""Batches as CUDA graphs. On a CPU a replay does the work again: everything is tested but the capture itself."""

import pytest
import torch
from player import Player
from toy import number_corpus, tiny_model, updater_of

import mt.train.acceleration.cuda_graphs
from mt.config import Precision
from mt.data.batching import Shape
from mt.train.acceleration.cuda_graphs import Buffers, GraphedBatches
from mt.train.gradients import GraphedGradients
from mt.train.objective import batch_loss

SHAPE = Shape(num_source_rows=96, num_target_rows=112, sentences=14, width=24)


@pytest.fixture
def corpus():
    return number_corpus(24)


@pytest.fixture
def player(monkeypatch):
    player = Player()
    monkeypatch.setattr(mt.train.acceleration.cuda_graphs, "capture", player)
    return player


def graphed(model, precision=Precision.fp32):
    graph = GraphedBatches(model, SHAPE, precision=precision, smoothing=0.1)
    return updater_of(model, precision, accelerate=lambda eager: GraphedGradients(eager, graph))


def weights(updater):
    return {name: p.detach().clone() for name, p in updater.model.named_parameters()}


@pytest.mark.parametrize("options", [{}, {"positions": "rotary"}, {"norm": "post"}, {"tying": "none"}], ids=str)
def test_loss_and_gradient_equal_those_of_the_unpadded_batch(corpus, small_model, options):
    size = corpus.tokenizer.tgt_size
    model = small_model(src_size=size, tgt_size=size, dropout=0.0, **options).train()
    buffers = Buffers.of(SHAPE, torch.device("cpu"))
    for indices in (range(10), range(8), [20, 3, 11, 4, 0, 9]):  # what the last batch left is no matter
        batch = corpus.batch(indices)
        assert buffers.take(batch, 3)
        for smoothing in (0.0, 0.1):
            losses = [
                batch_loss(model, batch, Precision.fp32, smoothing),
                buffers.loss(model, Precision.fp32, smoothing),
            ]
            plain, filled = (
                [*map(torch.detach, loss), *torch.autograd.grad(loss.smoothed, list(model.parameters()))]
                for loss in losses
            )
            torch.testing.assert_close(filled, plain, rtol=1e-4, atol=2e-5)
    assert buffers.divisor == 3


def test_padding_rows_have_no_gradient(corpus):
    model, buffers = tiny_model(), Buffers.of(SHAPE, torch.device("cpu"))
    assert buffers.take(corpus.batch(range(8)), 1)
    seen = {}

    def listen(module, args, out):
        out.register_hook(lambda grad: seen.update(grad=grad))

    model.decoder.norm.register_forward_hook(listen)
    buffers.loss(model, Precision.fp32, 0.1).smoothed.backward()
    own = int(buffers.own_rows)
    assert 0 < own < SHAPE.num_target_rows
    assert seen["grad"][:own].abs().sum(1).min() > 0 and not seen["grad"][own:].any()


def test_updates_are_the_same_and_batches_that_do_not_fit_use_the_fallback(corpus, player):
    batches = [
        [corpus.batch(range(8)), corpus.batch(range(8, 18))],
        [corpus.batch(range(24)), corpus.batch(range(2, 11))],  # the first is too large
        [corpus.batch(range(5, 14))],
    ]
    plain, fast = updater_of(tiny_model()), graphed(tiny_model())
    for update in batches:
        one, other = (updater(update, lr=1e-3, seeds=range(len(update))).read() for updater in (plain, fast))
        assert (other.loss, other.nll) == pytest.approx((one.loss, one.nll), rel=1e-5)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
        assert (other.src_tokens, other.tgt_tokens) == (one.src_tokens, one.tgt_tokens)
    assert player.replays == 4
    for name, weight in weights(plain).items():
        # One bias on all keys changes no weight of attention: its gradient is rounding, and Adam steps by its sign.
        if not name.endswith("key_value.bias"):
            torch.testing.assert_close(weights(fast)[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_the_results_of_a_replay_outlive_the_next(corpus, player):
    updater = graphed(tiny_model())
    first = updater.gradients(corpus.batch(range(8)), 1)
    kept = [*first, *(p.grad for p in updater.model.parameters())]
    before = [tensor.clone() for tensor in kept]
    updater.optimizer.zero_grad(set_to_none=True)
    updater.gradients(corpus.batch(range(8, 18)), 1)
    assert all(torch.equal(one, other) for one, other in zip(before, kept, strict=True))


def test_a_failed_capture_causes_one_warning_and_training_goes_on(corpus, monkeypatch, caplog):
    def fails(work, device):
        raise RuntimeError("operation not permitted when stream is capturing\nat great length")

    monkeypatch.setattr(mt.train.acceleration.cuda_graphs, "capture", fails)
    batches = [corpus.batch(range(8)), corpus.batch(range(8, 18))]
    plain, fast = updater_of(tiny_model(dropout=0.2)), graphed(tiny_model(dropout=0.2))
    for step in range(2):
        one, other = (updater(batches, lr=1e-3, seeds=[step, 7]).read() for updater in (plain, fast))
        assert one == other
    assert all(torch.equal(weight, weights(fast)[name]) for name, weight in weights(plain).items())
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warning == (
        "CUDA graphs cannot be used here, and training goes on without (RuntimeError: operation not permitted when "
        "stream is capturing)"
    )


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_graphed_gradients_equal_eager_ones(corpus, precision, caplog):
    plain, fast = updater_of(tiny_model().cuda(), precision), graphed(tiny_model().cuda(), precision)
    for indices in (range(8), range(8, 18), range(24), range(3, 12)):
        batch = corpus.batch(indices).to(plain.device)
        one, other = (updater.gradients(batch, 50) for updater in (plain, fast))
        rough = {"rtol": 1e-4, "atol": 1e-5} if precision is Precision.fp32 else {"rtol": 3e-2, "atol": 3e-2}
        torch.testing.assert_close(list(other), list(one), rtol=1e-3, atol=1e-3)
        for (name, p), q in zip(plain.model.named_parameters(), fast.model.parameters(), strict=True):
            torch.testing.assert_close(q.grad, p.grad, msg=lambda text, name=name: f"{name}: {text}", **rough)
    assert fast.compute_gradients.graphed.replay is not None and not caplog.records


@pytest.mark.gpu
def test_replays_follow_the_seed_and_do_not_wait(corpus):
    updater = graphed(tiny_model(dropout=0.3).cuda(), Precision.bf16)
    batch = corpus.batch(range(8)).to(updater.device)

    def loss(seed):
        torch.manual_seed(seed)
        return updater.gradients(batch, 50)[0]

    loss(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [loss(seed) for seed in (1, 2, 1)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    first, second, again = (x.item() for x in losses)
    assert first == again != second
