"""Updates on a stand-in for a GPU (`tests/stand_in_gpu.py`): `pytest -m fake_gpu`.

The promise that nothing in an update waits for the device is a test: a question for a value is an error without values,
and is counted with them.
"""

import json
from copy import deepcopy
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from player import Player
from stand_in_gpu import HAS_CUDA, HAS_DRIVER, driver, give_values, stand_in_gpu, value, without_values  # noqa: F401
from torch._subclasses.fake_tensor import DataDependentOutputException
from toy import number_corpus, number_pairs, number_tokenizer, tiny_config, tiny_model

import mt.train.acceleration.cuda_graphs
from mt.config import Fusion, Input, InputKind, ModelConfig, OptimConfig, OptimizerKind, Precision
from mt.config.from_json import from_plain
from mt.data.batching import Shape, make_batch
from mt.data.training_links import LinkTable
from mt.inputs.several import SeveralInputs
from mt.nn.encoders import input_model, text_model
from mt.train.acceleration.cuda_graphs import GraphedBatches
from mt.train.acceleration.memory import fits_memory, worst_batches
from mt.train.gradients import EagerGradients, GraphedGradients
from mt.train.guided_alignment import GuidedAlignment
from mt.train.objective import TranslationLoss, batch_loss
from mt.train.optim import Ema, make_optimizer
from mt.train.step import Updater

pytestmark = [
    pytest.mark.fake_gpu,
    pytest.mark.skipif(not HAS_CUDA, reason="this build of torch has no CUDA; install a CUDA build"),
    pytest.mark.skipif(not HAS_DRIVER, reason="no stand-in driver: give -m fake_gpu, and install a C compiler"),
]
MODELS = Path(__file__).parents[2] / "configs" / "model"
PRESETS = sorted(path.stem for path in MODELS.glob("*.yaml"))
PRECISIONS = [Precision.fp32, Precision.bf16, Precision.fp16]
CUDA = torch.device("cuda")
SIZE = number_tokenizer().tgt_size
SENTENCES = [[5, 6, 7, 3], [8, 9, 3], [4, 4, 4, 4, 4, 3]]
SHAPE = Shape(num_source_rows=96, num_target_rows=112, sentences=14, width=24)


def preset(name="tiny", **options):
    """With two layers in each stack: more of them do the same."""
    values = yaml.safe_load((MODELS / f"{name}.yaml").read_text(encoding="utf-8"))["model"]
    usual = json.loads(json.dumps(asdict(ModelConfig())))
    return from_plain(ModelConfig, {**usual, **values, "encoder_layers": 2, "decoder_layers": 2, **options}, name)


def batch():
    targets = [sentence[:-1] for sentence in SENTENCES]
    return make_batch(SENTENCES, targets, range(len(SENTENCES)), bos=2, eos=3)


def plain(x):
    return x.detach().clone()


def all_have_gradients(model):
    for name, p in model.named_parameters():
        found = (p.grad.device.type, p.grad.dtype, p.grad.shape)
        assert found == ("cuda", torch.float32, p.shape), name


@pytest.mark.parametrize("name, precision, dropout", list(product(PRESETS, PRECISIONS, [0.0, 0.1])))
def test_every_preset_has_a_loss_and_gradients_without_waiting(name, precision, dropout):
    with without_values():
        with CUDA:
            model = text_model(preset(name, attention_dropout=dropout), src_size=SIZE, tgt_size=SIZE).train()
        loss = batch_loss(model, batch().to(CUDA), precision, 0.1)
        assert [(x.device.type, x.dtype, x.shape) for x in loss] == [("cuda", torch.float32, ())] * 2
        loss.smoothed.backward()
        all_have_gradients(model)


def copies(**options):
    """A model on the CPU, and a function that makes its copy on the stand-in."""
    model = tiny_model(dim=32, heads=4, **options)

    def copy():
        with CUDA:
            twin = text_model(model.config, src_size=SIZE, tgt_size=SIZE)
        give_values(twin, model)
        return twin

    return model, copy


def diagonal(count):
    """Every word of `number_pairs` with the one at its place."""
    lengths = [len(pair.src.split()) for pair in number_pairs(count)]
    links = [[i, i] for length in lengths for i in range(length)]
    return LinkTable(np.cumsum([0, *lengths]), np.array(links, np.int32))


def updater_on(model, precision, *, guide=False, graphed=False, ema=0.9):
    corpus = number_corpus(24)
    objective = TranslationLoss(model, precision=precision, smoothing=0.1)
    if guide:
        objective = GuidedAlignment(objective, corpus, diagonal(24), layer=0, head=1, weight=0.5)
    gradients = EagerGradients(objective)
    if graphed:
        gradients = GraphedGradients(gradients, GraphedBatches(model, SHAPE, precision=precision, smoothing=0.1))
    optimizer = make_optimizer(model, OptimConfig(name=OptimizerKind.adamw, lr=1e-2))
    return corpus, Updater(gradients, optimizer, clip_norm=1.0, ema=Ema(model, ema))


def train(model, precision, read, steps=2, **options):
    """Updates of two batches each. Returns: the numbers of each update, the weights and their means."""
    corpus, updater = updater_on(model, precision, **options)
    batches = [corpus.batch(range(n, n + 6)) for n in (0, 6, 12, 18)]
    pending = [updater([batches[i % 4], batches[(i + 1) % 4]], lr=1e-2, seeds=[i, 99]) for i in range(steps)]
    tensors = updater.tensors()
    found = {f"{file}/{name}": read(x) for file in ("model", "ema") for name, x in tensors[file].items()}
    return [read(one._numbers) for one in pending], found, updater


def far(found, wanted):
    """The share of weights that differ by a tenth of a step of Adam. Its first steps have the size of the learning rate
    whatever the gradient's: those of biases of keys, whose gradient is zero but for rounding, differ."""
    return torch.cat([((found[name] - wanted[name]).abs() > 1e-3).float().flatten() for name in wanted]).mean()


TOLERANCE = {Precision.fp32: 1e-4, Precision.bf16: 0.05, Precision.fp16: 0.02}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "guide, options",
    [(False, {}), (True, {}), (True, {"kv_heads": 2, "positions": "rotary"}), (False, {"norm": "post"})],
    ids=["plain", "guided", "guided-grouped-rotary", "post-norm"],
)
def test_updates_do_not_wait_and_give_what_a_cpu_gives(precision, guide, options):
    """Two batches each, with EMA, clipping, seeds, and the scaler of fp16."""
    model, copy = copies(**options)
    numbers, weights, _ = train(deepcopy(model), Precision.fp32, plain, guide=guide)
    with stand_in_gpu() as questions:
        found, moved, updater = train(copy(), precision, value, guide=guide)
        assert not questions
        assert updater.scaler.is_enabled() == (precision is Precision.fp16)
        devices = {x.device.type for state in updater.optimizer.state.values() for x in state.values()}
        assert devices == {"cuda"}
    for ours, wanted in zip(found, numbers, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=TOLERANCE[precision], atol=0.0)
    assert far(moved, weights) <= (0.01 if precision is Precision.fp32 else 0.25)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_dropout_and_grouped_queries(precision):
    kinds = ("dropout", "attention_dropout", "activation_dropout", "word_dropout")
    _, copy = copies(kv_heads=2, **dict.fromkeys(kinds, 0.1))
    with stand_in_gpu() as questions:
        numbers, _, _ = train(copy(), precision, value)
        assert not questions and all(x.isfinite().all() for x in numbers)


def test_an_update_that_is_not_finite_is_skipped_without_waiting():
    _, copy = copies()
    with stand_in_gpu() as questions:
        corpus, updater = updater_on(copy(), Precision.fp16)
        before = {name: value(p) for name, p in updater.model.named_parameters()}
        updater.scaler.scale(torch.ones((), device=CUDA))  # makes the scale
        updater.scaler._scale.fill_(1e30)
        pending = updater([corpus.batch(range(6))], lr=1e-2)
        assert not questions
        assert all(torch.equal(value(p), before[name]) for name, p in updater.model.named_parameters())
        assert value(updater.scaler._scale) == 5e29 and not value(pending._numbers[-1]).isfinite()
        updater.scaler._scale.fill_(1024.0)
        updater([corpus.batch(range(6))], lr=1e-2)
        assert not questions
        assert any(not torch.equal(value(p), before[name]) for name, p in updater.model.named_parameters())


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_the_work_of_a_graph_does_not_wait_and_gives_what_eager_updates_give(monkeypatch, precision):
    """Nothing of the captured work may ask the host; on a GPU the capture would fail."""
    player = Player()
    monkeypatch.setattr(mt.train.acceleration.cuda_graphs, "capture", player)
    _, copy = copies()
    with stand_in_gpu() as questions:
        eager, wanted, _ = train(copy(), precision, value)
        found, weights, _ = train(copy(), precision, value, graphed=True)
        assert not questions and player.replays == 4
    for ours, theirs in zip(found, eager, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE[precision], atol=0.0)
    assert far(weights, wanted) <= (0.01 if precision is Precision.fp32 else 0.25)


def test_a_batch_that_is_split_asks_nothing():
    """Halves are cut on the device after memory ran out, at lengths that the host has kept."""
    _, copy = copies()
    with stand_in_gpu() as questions:
        corpus, updater = updater_on(copy(), Precision.bf16)
        whole = value(updater.gradients(corpus.batch(range(6)), 10))
        updater.splitter.too_many = 1
        halves = value(updater.gradients(corpus.batch(range(6)), 10))
        torch.testing.assert_close(halves, whole, rtol=0.02, atol=0.0)
        assert not questions


AUDIO, WORDS = Input(column="x", kind=InputKind.audio, size=5, rate=8000), Input(column="en", kind=InputKind.text)
FRAMES = [[9, 5], [4, 5], [1, 5]]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("fusion", [None, Fusion.concat, Fusion.co_attention])
def test_frames_and_several_inputs_do_not_wait_and_give_what_a_cpu_gives(precision, fusion):
    """The convolutions over frames halve the rows, so the number of rows hangs on the lengths."""
    config = tiny_config(dim=32, heads=4, fusion=fusion or Fusion.concat)
    torch.manual_seed(1)
    frames = [torch.randn(shape) for shape in FRAMES]
    missing = [(True, True), (False, True), (True, False)]
    several = [SeveralInputs(tuple(parts), one) for *parts, one in zip(SENTENCES, frames, missing, strict=True)]
    inputs, items = ([WORDS, AUDIO], several) if fusion else ([AUDIO], frames)
    model = input_model(config, inputs, src_size=SIZE, tgt_size=SIZE)
    one = replace(batch(), source=model.encoder.pack(items))
    wanted = batch_loss(model, one, Precision.fp32, 0.1).smoothed
    wanted.backward()
    with stand_in_gpu() as questions:
        with CUDA:
            copy = input_model(config, inputs, src_size=SIZE, tgt_size=SIZE)
        give_values(copy, model)
        found = batch_loss(copy, one.to(CUDA), precision, 0.1).smoothed
        found.backward()
        assert not questions
    torch.testing.assert_close(value(found), wanted.detach(), rtol=TOLERANCE[precision], atol=0.0)
    for (name, ours), p in zip(copy.named_parameters(), model.parameters(), strict=True):
        gradient = value(ours.grad)
        # A rounded number may lie on the other side of ReLU's bend, which the loss does not show.
        assert (gradient - p.grad).norm() <= 3 * TOLERANCE[precision] * p.grad.norm() + 1e-6, name


def test_the_largest_batches_are_tried_on_the_device():
    _, copy = copies()
    with stand_in_gpu() as questions:
        _, updater = updater_on(copy(), Precision.bf16)
        batches = worst_batches(64, shortest=3, longest=9, vocabularies=(SIZE, SIZE))
        moved = (one.to(CUDA) for one in batches)
        parameters = list(updater.model.parameters())
        assert fits_memory(lambda one: updater.gradients(one, 1), moved, parameters, copies=2)
        assert not questions and all(p.grad is None for p in parameters)


def test_a_question_to_the_host_is_noticed():
    """The oracle of the tests above."""
    with without_values(), pytest.raises(DataDependentOutputException):
        torch.ones(3, device="cuda").sum().item()
    with stand_in_gpu() as questions:
        x = torch.arange(3, device="cuda")
        assert x.sum().item() == 3 and x.nonzero().shape == (2, 1) and len(x[x > 1]) == 1
        assert questions == {"a test": 3}
        x.to("cpu", non_blocking=True)
        assert questions == {"a test": 3}
        x.cpu()
        assert questions == {"a test": 4}
        with pytest.raises(RuntimeError, match=r"two (different )?devices"):
            x + torch.ones(3)
